"""Several models as one, as a visitor uses them: members, their weights, the measured table."""

from __future__ import annotations

import dataclasses
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Locator, Page, expect

import thimble
from tests.browser.conftest import kill_engine, new_visitor, too_wide, violations
from tests.conftest import ROOT, free_port, wait_for
from tests.tiny_models import SPECS, make

FOUR = ("tiny 1", "tiny 2", "tiny 3", "tiny 4")
TEXT = "\n\n".join(f"Mia had {n} red boats, and {n} ducks swam to the boat." for n in range(12))
PANEL = "[data-panel=ensemble]"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Models of one's own beside the site's: four that fit, and three that do not."""
    made = tmp_path_factory.mktemp("members")
    for number, name in enumerate(FOUR):
        spec = dataclasses.replace(SPECS["q8_0"], seed=50 + number)
        (made / f"{name}.gguf").write_bytes(make(spec))
    (made / "twin.gguf").write_bytes((made / "tiny 1.gguf").read_bytes())
    (made / "other words.gguf").write_bytes(make(SPECS["spm"]))
    # Its last weight is no number.
    (made / "broken.gguf").write_bytes(make(SPECS["f32"])[:-4] + b"\xff\xff\xff\x7f")
    return made


@pytest.fixture(scope="module")
def address(site: Path, folder: Path) -> Iterator[str]:
    """A server that offers them."""
    port = free_port()
    found = f"http://127.0.0.1:{port}"
    command = [sys.executable, "-m", "thimble", "serve", "--site", str(site), "--port", str(port)]
    log = folder / "log"
    with log.open("w") as output:
        process = subprocess.Popen(
            [*command, "--models", str(folder)], cwd=ROOT, stdout=output, stderr=output
        )
        try:
            wait_for(f"{found}/healthz", process, log)
            yield found
        finally:
            process.terminate()
            process.wait(timeout=20)


@pytest.fixture(scope="module")
def panel(chromium: Browser, address: str) -> Iterator[Page]:
    """One visitor for all of these tests, with four members in memory."""
    context = new_visitor(chromium, address)
    page = context.new_page()
    page.goto("/#panel=ensemble")
    choose(page, *FOUR)
    page.get_by_role("button", name="Load 4 models").press("Enter")
    expect(page.locator("#ensemble-desk")).to_be_visible()
    yield page
    context.close()


def choose(page: Page, *names: str) -> None:
    expect(page.locator("#ensemble-loaded")).not_to_have_text("Waiting for the page’s script")
    if not page.locator("#ensemble-picks").is_visible():
        page.locator("#ensemble-chosen summary").click()
    for box in page.locator("#ensemble-picks input").all():
        box.set_checked(box.input_value() in names)


def bars(page: Page, name: str) -> Locator:
    """What a column expects, the most probable first."""
    return page.locator(f".voice[aria-label^='{name}'] .bar-table tbody")


def slider(page: Page, letter: str) -> Locator:
    return page.get_by_role("slider", name=re.compile(f"Weight of {letter},"))


def reset(page: Page) -> None:
    page.locator("#ensemble-method").select_option("mixture")
    page.get_by_role("button", name="Reset weights").click()
    expect(slider(page, "D")).to_have_value("0.25")


def write(page: Page, length: int = 30) -> None:
    page.locator("#ensemble-length").fill(str(length))
    page.locator("#ensemble-prompt").press("Control+Enter")
    expect(page.locator("#ensemble-outcome")).to_contain_text(re.compile(r"\d token"))


def test_a_slider_changes_what_is_expected_at_once(panel: Page) -> None:
    expect(panel.locator(".voice")).to_have_count(5)
    expect(bars(panel, "Together").locator("tr")).to_have_count(6)
    before = bars(panel, "Together").inner_text()
    others = [bars(panel, letter).inner_text() for letter in "ACD"]
    for letter in "ACD":
        slider(panel, letter).press("Home")
    slider(panel, "B").press("End")
    expect(slider(panel, "B")).to_have_attribute("aria-valuetext", "100 %")
    expect(bars(panel, "Together")).to_have_text(bars(panel, "B").inner_text(), use_inner_text=True)
    assert bars(panel, "Together").inner_text() != before
    assert [bars(panel, letter).inner_text() for letter in "ACD"] == others

    slider(panel, "B").press("Home")
    expect(panel.locator("#ensemble-notice")).to_contain_text("All weights are 0")
    panel.get_by_role("button", name="Reset weights").click()
    expect(panel.locator("#ensemble-notice")).to_be_hidden()
    expect(bars(panel, "Together")).to_have_text(before, use_inner_text=True)
    panel.locator("#ensemble-method").select_option("contrastive")
    # Four members have no usual contrast: the weights have to be said.
    expect(panel.locator("#ensemble-notice")).to_contain_text("Say the weights of 4 members")
    panel.locator("#ensemble-method").select_option("vote")
    expect(bars(panel, "Together")).not_to_have_text(before, use_inner_text=True)
    reset(panel)


def test_every_token_says_which_member_it_came_from(panel: Page) -> None:
    reset(panel)
    write(panel)
    tokens = panel.get_by_role("listbox", name=re.compile("each with its member")).locator(".token")
    expect(tokens).to_have_count(int(panel.locator("#ensemble-tokens").inner_text()))
    marks = tokens.evaluate_all("(all) => all.map((one) => one.dataset.mark)")
    assert set(marks) <= set("ABCD")
    assert len(set(marks)) > 1
    lines = tokens.evaluate_all(
        "(all) => all.map((one) => getComputedStyle(one).textDecorationStyle)"
    )
    assert len(set(zip(marks, lines, strict=True))) == len(set(lines)) == len(set(marks))

    tokens.nth(4).click()
    card = panel.locator("#ensemble-view .token-card")
    expect(card).to_contain_text(f"from {marks[4]}")
    for letter in "ABCD":
        expect(card).to_contain_text(f"by {letter}")
    assert f"from {marks[4]}" in (tokens.nth(4).get_attribute("aria-label") or "")
    expect(panel.locator("#ensemble-where")).to_contain_text("token 5 of the text")
    current = bars(panel, "Together").locator("tr.current")
    assert current.count() <= 1
    # There too a weight counts at once.
    then = bars(panel, "Together").inner_text()
    slider(panel, "A").press("End")
    expect(bars(panel, "Together")).not_to_have_text(then, use_inner_text=True)
    panel.get_by_role("button", name="Back to the end").click()
    expect(panel.locator("#ensemble-where")).to_have_text("Predictions for the next token.")
    reset(panel)


def test_a_text_is_stopped_and_gone_on_with(panel: Page) -> None:
    reset(panel)
    panel.locator("#ensemble-length").fill("200")
    panel.locator("#ensemble-prompt").press("Control+Enter")
    expect(panel.locator("#ensemble-view .token").first).to_be_visible()
    panel.keyboard.press("Escape")
    expect(panel.locator("#ensemble-outcome")).to_contain_text(re.compile("^Stopped|tokens?"))
    before = panel.locator("#ensemble-view .token").count()
    write(panel, 20)
    whole = panel.locator("#ensemble-view .token-list").text_content() or ""
    panel.locator("#ensemble-length").fill("10")
    if panel.locator("#ensemble-continue").is_enabled():
        panel.locator("#ensemble-continue").click()
        expect(panel.locator("#ensemble-view .token")).not_to_have_count(20)
        longer = panel.locator("#ensemble-view .token-list").text_content() or ""
        assert longer.startswith(whole)
    assert before


def test_the_table_has_what_the_engine_measures(panel: Page, folder: Path) -> None:
    reset(panel)
    panel.locator("#measure-text").fill(TEXT)
    panel.locator("#measure-rival").select_option("other words")
    panel.get_by_role("button", name="Measure", exact=True).press("Enter")
    rows = panel.locator("#measured-table tbody tr")
    expect(rows).to_have_count(6)
    found = [row.locator("td").nth(1).inner_text() for row in rows.all()]
    models = [thimble.load(folder / f"{name}.gguf") for name in (*FOUR, "other words")]
    stories = TEXT.split("\n\n")
    measured = [*models, thimble.Ensemble(models[:4])]
    wanted = [thimble.evaluate_text(one, stories).bits_per_byte for one in measured]
    for model in models:
        model.close()
    assert found == [f"{bits:.4f}" for bits in wanted]
    expect(panel.locator("#measured-words")).to_contain_text(
        re.compile(r"Together they need [\d.]+ % (fewer|more) bits .* in 95 % of resamplings")
    )
    chart = panel.get_by_role("img", name=re.compile(f"Bits per byte: .*Together {wanted[-1]:.3f}"))
    expect(chart).to_be_visible()
    # Other weights are another ensemble: what was measured is no longer true of it.
    slider(panel, "A").press("End")
    expect(panel.locator("#measured")).to_be_hidden()


def test_weights_are_fitted_to_a_text(panel: Page, folder: Path) -> None:
    reset(panel)
    panel.locator("#measure-text").fill(TEXT)
    panel.get_by_role("button", name="Fit weights").click()
    expect(panel.locator("#measure-outcome")).to_contain_text("Fitted to")
    models = [thimble.load(folder / f"{name}.gguf") for name in FOUR]
    wanted = thimble.fit_weights(models, TEXT.split("\n\n"))
    for model in models:
        model.close()
    for letter, weight in zip("ABCD", wanted, strict=True):
        value = float(slider(panel, letter).input_value())
        assert value == pytest.approx(weight, abs=0.0051)
    panel.locator("#measure-text").fill("")
    panel.get_by_role("button", name="Measure", exact=True).click()
    expect(panel.locator("#measure-notice")).to_contain_text("The text is empty")
    panel.get_by_role("button", name="Sample").click()
    expect(panel.locator("#measure-text-words")).to_contain_text("60 very short stories")
    panel.get_by_role("button", name="Measure", exact=True).press("Enter")
    panel.get_by_role("button", name="Cancel").locator("visible=true").press("Enter")
    expect(panel.locator("#measure-outcome")).to_have_text("Cancelled.")
    expect(panel.get_by_role("button", name="Measure", exact=True)).to_be_focused()
    reset(panel)


def test_members_draft_for_each_other_and_judge_several_texts(panel: Page) -> None:
    panel.locator("#ensemble-length").fill("12")
    panel.get_by_role("button", name="Try it", exact=True).press("Enter")
    words = panel.locator("#together-words")
    expect(words).to_contain_text(
        re.compile("the same [0-9]+ tokens?, .* tokens a second, against")
    )
    expect(panel.locator("#together-texts li")).to_have_count(1)
    panel.locator("#choose-count").fill("3")
    panel.locator("#choose-judge").select_option("1")
    panel.get_by_role("button", name="Try it on several texts").click()
    expect(words).to_contain_text("3 texts, the most likely first")
    bits = [
        float(line.inner_text().split()[0])
        for line in panel.locator("#together-texts small").all()
        if "bits" in line.inner_text()
    ]
    assert bits == sorted(bits)
    assert bits
    panel.locator("#draft-helper").select_option("0")
    panel.get_by_role("button", name="Try it", exact=True).click()
    expect(panel.locator("#together-notice")).to_contain_text("cannot draft for itself")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_nothing_bars_anyone(panel: Page, scheme: str) -> None:
    panel.emulate_media(color_scheme="dark" if scheme == "dark" else "light")
    write(panel, 12)
    panel.locator("#measure-text").fill(TEXT)
    panel.get_by_role("button", name="Measure", exact=True).click()
    expect(panel.locator("#measured")).to_be_visible()
    panel.locator("#ensemble-view .token").nth(3).focus()
    assert violations(panel, PANEL) == []
    panel.set_viewport_size({"width": 360, "height": 740})
    assert too_wide(panel) == []
    assert violations(panel, PANEL) == []
    panel.set_viewport_size({"width": 1280, "height": 720})
    panel.emulate_media(color_scheme="no-preference")


def test_what_does_not_fit_is_named_and_the_rest_works(panel: Page) -> None:
    choose(panel, "tiny 1", "tiny 2", "twin", "other words", "broken")
    panel.get_by_role("button", name="Load 3 models").click()
    notice = panel.locator("#ensemble-refused")
    expect(notice).to_contain_text(
        re.compile("“tiny-f32-1” did not load: .*not finite.*The others work", re.DOTALL)
    )
    expect(notice).to_contain_text(re.compile("“tiny-q8_0-50 .twin.” is left out: it is the same"))
    expect(notice).to_contain_text(re.compile("is left out: it cuts text into other tokens"))
    expect(panel.locator(".voice")).to_have_count(3)
    write(panel, 5)
    choose(panel, "tiny 1")
    expect(panel.locator("#ensemble-loaded")).to_have_text("Choose at least two.")
    expect(panel.locator("#ensemble-load")).to_be_disabled()


def test_an_engine_that_dies_takes_the_members_with_it_and_they_come_again(panel: Page) -> None:
    choose(panel, *FOUR)
    panel.locator("#ensemble-load").click()
    expect(panel.locator(".voice")).to_have_count(5)
    panel.locator("#ensemble-length").fill("200")
    kill_engine(panel)
    panel.locator("#ensemble-prompt").press("Control+Enter")
    expect(panel.locator("#ensemble-refused")).to_contain_text("engine died")
    expect(panel.locator("#ensemble-desk")).to_be_hidden()
    panel.get_by_role("button", name="Load 4 models").click()
    expect(panel.locator("#ensemble-desk")).to_be_visible()
    write(panel, 5)
