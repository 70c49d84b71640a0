"""The Step panel, as a visitor uses it."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser.conftest import too_wide, turn_to, violations

TOKENS = "#step-view .token:not(.given)"
"""Those that were written; the prompt's stand before them."""


@pytest.fixture
def panel(visit: Page) -> Page:
    """The panel with a new text of no tokens, no breakpoints and the settings as at first."""
    page = visit
    page.goto("/#panel=step")
    expect(page.get_by_role("button", name="Start over")).to_be_enabled()
    for _ in range(page.locator("#step-stops li").count()):
        count = page.locator("#step-stops li").count()
        page.locator("#step-stops li button").first.click()
        expect(page.locator("#step-stops li")).to_have_count(count - 1)
    page.evaluate("() => document.getElementById('desk').reset()")
    begin(page)
    return page


def begin(page: Page) -> None:
    page.get_by_role("button", name="Start over").click()
    expect(page.locator(TOKENS)).to_have_count(0)
    expect(page.locator("#step-draw-words")).to_contain_text("stay")
    expect(page.locator("#step-branches li")).to_have_count(1)


def tokens(page: Page) -> list[str]:
    return page.locator(TOKENS).all_text_contents()


def steps(page: Page, n: int) -> list[str]:
    """Step by the keyboard, one token after another."""
    before = len(tokens(page))
    for at in range(before, before + n):
        page.keyboard.press("F10")
        expect(page.locator(TOKENS)).to_have_count(at + 1)
    return tokens(page)


def drawn(page: Page) -> str:
    """The token that the draw falls on."""
    return page.locator("#step-stages tr[aria-current] th").inner_text()


def logits_hash(page: Page) -> str:
    """Of the bits that the next token is drawn from, as the panel tells it."""
    words = page.locator("#step-bits").inner_text()
    assert re.fullmatch("logits [0-9a-f]{8}", words)
    return words


def stop_at(page: Page, kind: str, value: object) -> None:
    count = page.locator("#step-stops li").count()
    page.locator("#step-stop-kind").select_option(kind)
    page.locator("#step-stop-value").fill(str(value))
    page.locator("#step-stop-value").press("Enter")
    expect(page.locator("#step-stops li")).to_have_count(count + 1)


def run(page: Page) -> str:
    """Run until something stops it; what the panel says then."""
    page.keyboard.press("F8")
    expect(page.locator("#step-outcome")).to_contain_text(re.compile("Stopped|end|length"))
    return page.locator("#step-outcome").inner_text()


def test_what_step_writes_is_in_write_and_the_other_way_round(panel: Page) -> None:
    shown = steps(panel, 6)
    turn_to(panel, "Write")
    expect(panel.locator("#written")).to_have_text("".join(shown), use_inner_text=False)
    panel.evaluate("""() => {
      const text = document.getElementById("written");
      new MutationObserver((_, watch) => {
        if (text.textContent.length < 60) return;
        watch.disconnect();
        document.getElementById("stop").click();
      }).observe(text, { childList: true });
    }""")
    panel.get_by_role("button", name="Continue").click()
    expect(panel.locator("#outcome")).to_contain_text(re.compile("Stopped|end|continue"))
    written = panel.locator("#written").text_content() or ""
    assert len(written) >= 60
    turn_to(panel, "Step")
    expect(panel.locator("#step-tokens")).not_to_have_text("–")
    assert "".join(tokens(panel)) == written
    assert tokens(panel)[:6] == shown
    count = panel.locator("#step-tokens").inner_text()
    expect(panel.locator("#step-branches li")).to_have_count(1)
    # It goes on from there, and one text is one text.
    last = tokens(panel)[-1]
    panel.get_by_role("button", name="Back").click()
    expect(panel.locator("#step-tokens")).to_have_text(str(int(count) - 1))
    expect(panel.locator("#step-bits")).to_have_text(re.compile("logits"))
    assert "".join(tokens(panel)) + last == written


def test_a_step_back_and_forward_comes_to_the_same_bits(panel: Page) -> None:
    hashes = [logits_hash(panel)]
    for _ in range(5):
        steps(panel, 1)
        hashes.append(logits_hash(panel))
    assert len(set(hashes)) == 6
    shown = tokens(panel)
    for at in (4, 3, 2):
        panel.keyboard.press("F9")
        expect(panel.locator(TOKENS)).to_have_count(at)
        expect(panel.locator("#step-bits")).to_have_text(hashes[at])
        assert drawn(panel).strip("“”").replace("␣", " ") == shown[at]
    for at in (3, 4, 5):
        steps(panel, 1)
        expect(panel.locator("#step-bits")).to_have_text(hashes[at])
    assert tokens(panel) == shown
    expect(panel.locator("#step-branches li")).to_have_count(1)


def test_the_prompts_tokens_are_shaded_and_described_too(panel: Page) -> None:
    prompt = panel.locator("#step-prompt").input_value()
    given = panel.locator("#step-view .token.given")
    expect(given.last).to_be_visible()
    assert "".join(given.all_text_contents()) == prompt
    levels = given.evaluate_all("(all) => all.map((one) => one.style.getPropertyValue('--level'))")
    assert len({*levels}) > 1
    given.nth(1).focus()
    card = panel.locator("#step-view .token-card")
    expect(card).to_contain_text(re.compile("from the prompt.*Probability.*Surprise.*Entropy"))
    expect(card.locator("tbody tr")).to_have_count(10)
    expect(card.locator("button")).to_have_count(0)  # nobody chose it
    steps(panel, 2)
    expect(panel.locator("#step-view .token")).to_have_count(given.count() + 2)
    panel.locator(TOKENS).nth(1).focus()
    panel.keyboard.press("Home")
    expect(given.first).to_be_focused()
    # The same where Write has read it.
    before = given.evaluate_all("(all) => all.map((one) => one.style.cssText)")
    turn_to(panel, "Write")
    panel.get_by_role("button", name="Write", exact=True).click()
    expect(panel.locator("#outcome")).to_contain_text("token")
    turn_to(panel, "Step")
    expect(given).to_have_count(len(before))
    assert given.evaluate_all("(all) => all.map((one) => one.style.cssText)") == before


def test_an_alternative_is_a_branch_and_the_other_one_is_there_again(panel: Page) -> None:
    first = steps(panel, 8)
    panel.locator(TOKENS).nth(4).click()
    card = panel.locator(".token-card")
    expect(card).to_be_visible()
    expect(panel.locator("#step-draw-title")).to_contain_text("Token 5")
    chosen = card.locator(".choice").nth(2)
    text = chosen.inner_text().strip("“”").replace("␣", " ")
    chosen.click()
    expect(panel.locator(TOKENS)).to_have_count(5)
    assert tokens(panel) == [*first[:4], text]
    second = steps(panel, 3)
    branches = panel.locator("#step-branches li")
    expect(branches).to_have_count(2)
    expect(branches.nth(1)).to_contain_text("8 tokens, diverging at token 5")

    panel.get_by_role("button", name="Rename Branch 2").click()
    panel.keyboard.type("the other way")
    panel.keyboard.press("Enter")
    expect(branches.nth(1)).to_contain_text("the other way")
    panel.get_by_role("button", name="Compare Branch 1").click()
    comparison = panel.locator("#step-comparison")
    expect(comparison).to_contain_text("After 4 common tokens")
    columns = comparison.locator(".compare-text")
    assert columns.nth(0).text_content() == "".join(second[4:])
    assert columns.nth(1).text_content() == "".join(first[4:])

    panel.get_by_role("button", name="Branch 1", exact=True).click()
    expect(panel.locator("#step-branches .current")).to_contain_text("Branch 1")
    assert tokens(panel) == first
    panel.get_by_role("button", name="Remove the other way").click()
    expect(branches).to_have_count(1)


def test_each_kind_of_breakpoint_stops_a_run(panel: Page) -> None:
    whole = steps(panel, 14)
    panel.locator(TOKENS).nth(9).focus()
    tenth = whole[9].strip()
    begin(panel)
    prompt = int(panel.locator("#step-tokens").inner_text())
    cases = {
        "position": (prompt + 6, "The number of tokens"),
        "token": (whole[9], "The token is"),
        "text": (tenth, "The text reaches"),
        "entropy": (0.01, "The entropy is above"),
        "probability": (99.9, "The token's probability is below"),
    }
    for kind, (value, words) in cases.items():
        begin(panel)
        stop_at(panel, kind, value)
        outcome = run(panel)
        assert outcome.startswith("Stopped before")
        assert words in outcome
        shown = tokens(panel)
        assert shown == whole[: len(shown)]
        if kind == "position":
            assert len(shown) == 6
        if kind == "token":
            assert whole[9] not in shown
            assert drawn(panel).strip("“”").replace("␣", " ") == whole[9]
        expect(panel.locator("#step-stops li.hit")).to_have_count(1)
        # A step goes past it; switched off, it stops nothing.
        panel.keyboard.press("F10")
        expect(panel.locator(TOKENS)).to_have_count(len(shown) + 1)
        panel.locator("#step-stops li button").first.click()
        expect(panel.locator("#step-stops li")).to_have_count(0)
    begin(panel)
    stop_at(panel, "position", prompt + 3)
    panel.locator("#step-stops input").uncheck()
    assert "Stopped" not in run(panel)


def test_an_edited_logit_changes_the_draw_and_a_ban_and_force_do(panel: Page) -> None:
    steps(panel, 3)
    before = drawn(panel)
    rows = panel.locator("#step-stages .choice")
    other = rows.nth(6).inner_text()
    assert other != before
    rows.nth(6).click()
    panel.locator("#step-logit").fill("40")
    panel.get_by_role("button", name="Set", exact=True).click()
    expect(panel.locator("#step-stages tr[aria-current] th")).to_have_text(other)
    expect(panel.locator("#step-draw-words")).to_contain_text(f"falls on {other}")
    panel.get_by_role("button", name="Undo all").click()
    expect(panel.locator("#step-stages tr[aria-current] th")).to_have_text(before)

    token = re.compile(f"^{re.escape(before)}")  # as it is written: “A” is another one than “a”
    panel.locator("#step-stages .choice", has_text=token).click()
    panel.get_by_role("button", name="Ban", exact=True).click()
    expect(panel.locator("#step-stages tr", has_text=token)).to_contain_text("banned")
    assert drawn(panel) != before
    panel.locator("#step-stages .choice").nth(3).click()
    forced = panel.locator("#step-stages .choice").nth(3).inner_text()
    panel.get_by_role("button", name="Force", exact=True).click()
    expect(panel.locator("#step-draw-words")).to_contain_text("orced")
    assert steps(panel, 1)[-1] == forced.strip("“”").replace("␣", " ")
    assert panel.locator(TOKENS).last.get_attribute("data-note") == "forced"


def test_settings_are_those_of_write_and_change_the_next_draw(panel: Page) -> None:
    steps(panel, 2)
    stages = panel.locator("#step-stages")
    before = stages.inner_text()
    if not panel.locator("#step-top_k").is_visible():
        panel.locator(".step-settings summary").click()
    panel.locator("#step-top_k").fill("3")
    panel.locator("#step-top_k").press("Tab")
    expect(stages).to_contain_text("out: top-k")
    expect(panel.locator("#step-draw-words")).to_contain_text(re.compile("^[123] of"))
    assert panel.locator("#top_k").input_value() == "3"
    assert stages.inner_text() != before
    panel.locator("#step-temperature").fill("0")
    panel.locator("#step-temperature").press("Tab")
    expect(panel.locator("#step-draw-words")).to_contain_text("Temperature 0 takes the best")
    panel.locator("#step-temperature").fill("-1")
    panel.locator("#step-temperature").press("Tab")
    expect(panel.locator("#step-notice")).to_contain_text("Temperature is -1")
    panel.locator("#step-temperature").fill("0.8")
    panel.locator("#step-temperature").press("Tab")
    expect(panel.locator("#step-notice")).to_be_hidden()


def test_a_run_can_be_paused_and_gone_on_with(panel: Page) -> None:
    panel.evaluate("""() => {
      const list = document.querySelector("#step-view .token-list");
      new MutationObserver((_, watch) => {
        watch.disconnect();
        document.getElementById("step-run").click();
      }).observe(list, { childList: true });
    }""")
    panel.get_by_role("button", name="Run", exact=True).click()
    expect(panel.locator("#step-outcome")).to_contain_text("Paused after")
    paused = tokens(panel)
    assert paused
    expect(panel.locator("#step-stages")).to_be_visible()
    run(panel)
    assert tokens(panel)[: len(paused)] == paused
    assert len(tokens(panel)) > len(paused)


def test_a_run_is_exported_and_replayed_identically_in_a_fresh_profile(
    panel: Page, chromium: Browser, server: str, tmp_path: Path
) -> None:
    steps(panel, 4)
    panel.locator("#step-stages tr[aria-current] .choice").click()
    panel.get_by_role("button", name="Ban", exact=True).click()
    expect(panel.locator("#step-stages")).to_contain_text("banned")
    steps(panel, 4)
    stop_at(panel, "position", 40)
    run(panel)
    whole, stages = tokens(panel), panel.locator("#step-stages").inner_text()
    with panel.expect_download() as download:
        panel.get_by_role("button", name="Export run").click()
    file = tmp_path / "run.json"
    download.value.save_as(file)
    recorded: dict[str, Any] = json.loads(file.read_text())
    assert recorded["format"] == "thimble-run"
    assert len(recorded["steps"]) == len(whole)
    assert recorded["steps"][4]["bans"]

    changed = json.loads(file.read_text())
    changed["steps"][7]["logprob"] -= 0.5
    (tmp_path / "changed.json").write_text(json.dumps(changed))
    (tmp_path / "nonsense.json").write_text('{"format": "gguf"}')

    context = chromium.new_context(base_url=server, reduced_motion="reduce")
    page = context.new_page()
    page.goto("/#panel=step")
    expect(page.locator("#step-open")).to_be_enabled()
    page.locator("#step-file").set_input_files(file)
    expect(page.locator("#step-outcome")).to_contain_text(
        f"Replayed {len(whole)} steps: bit for bit the same"
    )
    assert tokens(page) == whole
    expect(page.locator("#step-stages")).to_have_text(stages, use_inner_text=True)
    assert page.locator("#prompt").input_value() == recorded["prompt"]["text"]

    page.locator("#step-file").set_input_files(tmp_path / "changed.json")
    expect(page.locator("#step-notice")).to_contain_text("differs at step 8")
    assert tokens(page) == whole[:7]
    page.locator("#step-file").set_input_files(tmp_path / "nonsense.json")
    expect(page.locator("#step-notice")).to_contain_text("no recorded run")
    context.close()


def plug_in(page: Page, name: str, code: str) -> None:
    """Write a sampler in the Python panel, plug it in and come back."""
    page.goto("/#panel=python")
    editor = page.locator("#python-editor .cm-content")
    editor.fill(f"{code}\n\nthimble.page.sampler = {name}")
    page.locator("#python-run").click()
    place = page.locator("[data-panel=python] [data-sampler] code")
    expect(place).to_have_text(name)
    page.goto("/#panel=step")
    expect(page.locator(".step [data-sampler]")).to_be_visible()


def test_the_visitors_sampler_steps_and_its_failure_pauses(panel: Page) -> None:
    shown = steps(panel, 2)
    plug_in(panel, "tired", "def tired(logits, context):\n    raise ValueError('too tired')")
    panel.keyboard.press("F10")
    notice = panel.locator("#step-notice")
    expect(notice).to_contain_text("raised ValueError: too tired (line 2, in tired)")
    expect(notice).to_contain_text("Traceback")
    assert tokens(panel) == shown  # the text is kept

    for name, answer, words in (
        ("whole", "logits", "array('f'"),
        ("nothing", "float('nan')", "nan"),
    ):
        plug_in(panel, name, f"def {name}(logits, context):\n    return {answer}")
        panel.keyboard.press("F10")
        expect(notice).to_contain_text(words)
        assert tokens(panel) == shown

    plug_in(panel, "endless", "def endless(logits, context):\n    while True:\n        pass")
    panel.keyboard.press("F10")
    panel.get_by_role("button", name="Pause").click()
    expect(panel.get_by_role("button", name="Run", exact=True)).to_be_enabled()
    expect(panel.locator("#step-stages .choice").first).to_be_visible()
    assert tokens(panel) == shown

    if panel.locator(".step [data-sampler]").is_visible():
        panel.locator(".step [data-sampler] button").click()
    expect(panel.locator(".step [data-sampler]")).to_be_hidden()
    expect(panel.locator("#step-step")).to_be_enabled()
    steps(panel, 1)
    expect(notice).to_be_hidden()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_panel_is_accessible_and_fits_a_phone(panel: Page, scheme: str) -> None:
    size = panel.viewport_size
    panel.emulate_media(color_scheme="dark" if scheme == "dark" else "light")
    panel.set_viewport_size({"width": 360, "height": 740})
    steps(panel, 6)
    stop_at(panel, "text", "cat")
    panel.locator(TOKENS).nth(2).click()
    panel.locator(".token-card .choice").first.click()
    expect(panel.locator("#step-branches li")).to_have_count(2)
    assert too_wide(panel) == []
    # Nor do the stages, with all that can be in them.
    panel.locator("#step-stages tr[aria-current] .choice").click()
    panel.get_by_role("button", name="Ban", exact=True).click()
    expect(panel.locator("#step-stages")).to_contain_text("banned")
    panel.evaluate("""() => {
      const penalty = document.getElementById("repetition_penalty");
      penalty.value = "1.3";
      penalty.dispatchEvent(new Event("input"));
      document.getElementById("step-repetition_penalty").dispatchEvent(new Event("change"));
    }""")
    expect(panel.locator("#step-stages thead")).to_contain_text("Penalty")
    frame = panel.locator(".stages-frame")
    assert frame.evaluate("(frame) => frame.scrollWidth - frame.clientWidth") <= 0
    assert violations(panel, "[data-panel=step]") == []
    if size:
        panel.set_viewport_size(size)
