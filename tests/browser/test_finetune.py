"""Fine-tuning in the page: the story model on a pasted text, in seconds, and its adapter turned up
and down, as a visitor does it."""

from __future__ import annotations

import json
import math
import re
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, expect

import thimble
from tests.browser.conftest import turn_to, violations
from tests.tiny_adapters import make_adapter
from tests.tiny_folders import converted
from tests.tiny_models import SPECS
from thimble.train.finetune import Base
from thimble.train.verifying import verify

STORY = Path(__file__).resolve().parents[2] / "web" / "models" / "story.gguf"
TEXT = "".join(
    f"Captain {name} sailed the black ship to {place} and took all {thing}. Arr, said {name}!\n\n"
    for name in ("Hook", "Morgan", "Bones", "Anne")
    for place in ("Tortuga", "Nassau", "the bay")
    for thing in ("the rum", "the gold", "the maps", "the parrots")
)
STEPS = 16
RECIPE: dict[str, Any] = {
    "lora_rank": 4, "steps": STEPS, "context": 64, "micro_tokens": 256, "eval_every": 8,
    "log_every": 8, "hash_every": 8, "warmup_steps": 2, "adam_lr": 0.02,
}  # fmt: skip
PROMPT = "Captain"


@pytest.fixture(scope="module")
def tuned(visit: Page) -> Page:
    """The page after an adapter was trained on TEXT and put on the model."""
    page = visit
    page.goto("/#panel=train")
    page.get_by_label("The loaded model").check()
    expect(page.get_by_label("Your own text Paste it")).to_be_checked()
    fill(page, TEXT, RECIPE)
    page.get_by_role("button", name="Fine-tune", exact=True).click()
    expect(page.locator("#train-outcome")).to_contain_text(f"Trained: {STEPS} steps")
    page.get_by_role("button", name="Apply to the model").click()
    expect(page.locator("#train-outcome")).to_contain_text("Every panel now uses it")
    page.locator("#adapter-prompt").fill(PROMPT)
    return page


def fill(page: Page, text: str, recipe: dict[str, Any]) -> None:
    page.locator("#train-own-text").fill(text)
    if not page.locator("#tune-recipe-text").is_visible():
        page.locator("#tune summary").click()
    page.locator("#tune-recipe-text").fill(json.dumps(recipe))


def next_tokens(page: Page, strength: float) -> list[tuple[str, str]]:
    """What the bars say at a strength."""
    page.locator("#adapter-strength").fill(str(strength))
    expect(page.locator("#adapter-strength-words")).to_have_text(f"{strength:.2f}")
    expect(page.locator("#adapter-next")).to_have_attribute("aria-busy", "false")
    found = []
    for row in page.locator("#adapter-next tbody tr").all():
        cells = row.locator("th, td").all_inner_texts()
        found.append((cells[0], cells[-1]))
    return found


def bits(page: Page, when: str) -> float:
    words = page.locator(f"#tune-{when}-bits").inner_text()
    found = re.match(r"([\d.]+) bits per byte", words)
    assert found, words
    return float(found[1])


def test_before_and_after_stand_side_by_side(tuned: Page) -> None:
    assert bits(tuned, "after") < 0.8 * bits(tuned, "before")
    tuned.locator("#tune-prompt").fill(PROMPT)
    tuned.get_by_role("button", name="Write both").click()
    expect(tuned.get_by_role("button", name="Write both")).to_be_enabled()
    before, after = (tuned.locator(f"#tune-{when}").inner_text() for when in ("before", "after"))
    assert before.startswith(PROMPT) and after.startswith(PROMPT)
    assert before != after
    params = thimble.SamplingParams(max_tokens=120, temperature=0.8, seed=1)
    pieces = thimble.load(STORY).session().generate(PROMPT, params)
    wanted = PROMPT + "".join(piece.text for piece in pieces)
    assert before.split() == wanted.split()  # the same bits natively


def test_the_slider_changes_the_model_at_once_and_everywhere(tuned: Page, tmp_path: Path) -> None:
    with tuned.expect_download() as download:
        tuned.get_by_role("button", name="Download adapter").click()
    assert download.value.suggested_filename.endswith("-adapter.gguf")
    path = tmp_path / "adapter.gguf"
    download.value.save_as(path)
    model = thimble.load(STORY)
    adapter = model.adapt(path)
    session = model.session()
    seen = []
    for strength in (0.0, 1.0, 1.5):
        adapter.strength = strength
        found = next_tokens(tuned, strength)
        seen.append(found)
        session.rollback(0)
        top = list(session.generate(PROMPT, thimble.SamplingParams(max_tokens=1, top_logprobs=8)))
        best = [f"{100 * math.exp(p):.1f} %" for _, p in top[0].top]
        assert [words for _, words in found] == best, strength
    assert seen[0] != seen[1] != seen[2]

    # The same in the Write panel, whose session was there before the adapter.
    texts = []
    turn_to(tuned, "Write")
    tuned.locator("#prompt").fill(PROMPT)
    for strength in (1.0, 0.0):
        turn_to(tuned, "Train")
        next_tokens(tuned, strength)
        turn_to(tuned, "Write")
        tuned.get_by_role("button", name="Write", exact=True).click()
        expect(tuned.locator("#outcome")).to_contain_text("token")
        texts.append(tuned.locator("#written").inner_text())
    assert texts[0] != texts[1]
    turn_to(tuned, "Train")


def test_the_receipt_names_the_base_and_holds_natively(tuned: Page) -> None:
    receipt = json.loads(tuned.locator("#train-receipt-text").text_content() or "")
    base = Base(STORY.read_bytes())
    assert receipt["base"]["sha256"] == base.sha256
    checks = list(verify(receipt, TEXT, base=base))
    assert checks[-1].step == STEPS
    assert all(check.agrees for check in checks)


def test_an_adapter_comes_from_a_file_and_is_taken_off(tuned: Page) -> None:
    alert = tuned.locator("#adapter-notice")
    bad = {"name": "tiny.gguf", "mimeType": "", "buffer": make_adapter(SPECS["f32"])}
    tuned.locator("#adapter-file").set_input_files(bad)  # type: ignore[arg-type]
    expect(alert).to_contain_text("it is for another model")
    expect(tuned.locator("#adapter-on")).to_be_visible()  # the one that was on stays on
    tuned.locator("#adapter-file").set_input_files(str(STORY))
    expect(alert).to_contain_text("is no adapter")
    alone = next_tokens(tuned, 0.0)
    next_tokens(tuned, 1.0)
    tuned.get_by_role("button", name="Remove").click()
    expect(tuned.locator("#adapter-off")).to_be_visible()
    with tuned.expect_download() as download:
        tuned.get_by_role("button", name="Download adapter").click()
    tuned.locator("#adapter-file").set_input_files(download.value.path())
    expect(tuned.locator("#adapter-name")).to_contain_text("rank 4")
    assert next_tokens(tuned, 0.0) == alone


def test_every_panel_says_that_an_adapter_is_on_and_takes_it_off(tuned: Page) -> None:
    next_tokens(tuned, 0.5)
    for panel in ("write", "talk", "step", "read", "lens", "ensemble"):
        words = tuned.locator(f"[data-panel={panel}] [data-adapter-words]")
        expect(words).to_contain_text("is on the model at strength 0.50.")
    turn_to(tuned, "Write")
    tuned.get_by_role("button", name="Copy link").click()
    expect(tuned.locator("#outcome")).to_contain_text("The link does not hold the adapter")
    said = tuned.locator("[data-panel=write] [data-adapter]")
    assert violations(tuned, "[data-panel=write]") == []
    said.get_by_role("button", name="Take it off").click()
    expect(said).to_be_hidden()
    turn_to(tuned, "Train")
    expect(tuned.locator("#adapter-off")).to_be_visible()


def test_texts_that_teach_nothing_are_told_in_words(tuned: Page) -> None:
    alert = tuned.locator("#train-notice")
    tune = tuned.get_by_role("button", name="Fine-tune", exact=True)
    for text, words in (("", "The text is empty"), ("a few words", "tokens to learn from")):
        fill(tuned, text, RECIPE)
        tune.click()
        expect(alert).to_contain_text(words)
    fill(tuned, TEXT, RECIPE | {"dim": 64})
    tune.click()
    expect(alert).to_contain_text("the base model decides it")


@pytest.mark.parametrize("width", [360, 1440])
def test_the_panel_fits_and_is_accessible(tuned: Page, width: int) -> None:
    tuned.set_viewport_size({"width": width, "height": 740})
    tuned.wait_for_function("""() => [...document.querySelectorAll(".u-wrap")]
      .every((one) => one.getBoundingClientRect().right <= document.documentElement.clientWidth)""")
    overflow = tuned.evaluate("""() => {
      const panel = document.querySelector("[data-panel=train]");
      return [...panel.querySelectorAll("*")]
        .filter((one) => one.checkVisibility() && !one.closest("pre, .chart-rows"))
        .filter((one) => one.getBoundingClientRect().right > document.documentElement.clientWidth)
        .map((one) => one.outerHTML.slice(0, 80));
    }""")
    assert overflow == []
    assert violations(tuned, "[data-panel=train]") == []


def test_a_model_of_another_architecture_is_tuned_and_its_cost_told_first(
    tuned: Page, tmp_path: Path
) -> None:
    """Phi-3, whose matrices are fused: what it takes before the click, then as for any other."""
    page = tuned
    page.set_viewport_size({"width": 1280, "height": 900})
    data = converted("phi3", "q8_0")
    path = tmp_path / "small-phi3.gguf"
    path.write_bytes(data)
    page.set_input_files("#model-file", path)
    expect(page.locator("#tune-model")).to_contain_text("small-phi3")
    fill(page, TEXT, RECIPE | {"lora_rank": 0})
    expect(page.locator("#tune-words")).to_contain_text("is a phi3, and no llama: train an adapter")
    page.get_by_role("button", name="Fine-tune", exact=True).click()
    expect(page.locator("#train-notice")).to_contain_text("train an adapter")
    fill(page, TEXT, RECIPE | {"context": 32, "micro_tokens": 64})
    expect(page.locator("#tune-words")).to_have_text(re.compile(r"About \d+ s, and up to \d+"))
    page.get_by_role("button", name="Fine-tune", exact=True).click()
    expect(page.locator("#train-outcome")).to_contain_text(f"Trained: {STEPS} steps")
    assert bits(page, "after") < bits(page, "before")
    page.get_by_role("button", name="Apply to the model").click()
    expect(page.locator("#train-outcome")).to_contain_text("Every panel now uses it")
    expect(page.locator("#adapter-name")).to_contain_text("rank 4")
    receipt = json.loads(page.locator("#train-receipt-text").text_content() or "")
    assert "attn_qkv" in receipt["recipe"]["lora_matrices"]
    checks = list(verify(receipt, TEXT, base=Base(data)))
    assert checks[-1].step == STEPS and all(check.agrees for check in checks)
