"""The training panel, as a visitor uses it."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Locator, Page, expect

import thimble
from tests.browser.conftest import turn_to, violations
from thimble.train.verifying import verify
from tools import corpora

STEPS = 120
RECIPE = {"separator": "\n", "size": 0.05, "context": 32, "micro_tokens": 1024, "steps": STEPS,
          "eval_every": 20, "log_every": 20, "hash_every": 60}  # fmt: skip
"""Seconds of training, and names that can be told from noise."""


@pytest.fixture(scope="module")
def bench(visit: Page) -> Page:
    """One page for all tests: what one training leaves, the next one finds."""
    open_panel(visit)
    return visit


@pytest.fixture(scope="module")
def trained(bench: Page) -> Page:
    """The page after a run that was stopped, left and taken up again."""
    fill_recipe(bench, RECIPE)
    bench.get_by_role("button", name="Train", exact=True).click()
    expect(bench.locator("#train-at-words")).to_contain_text("steps")  # a sample of what it learned
    bench.get_by_role("button", name="Stop", exact=True).click()
    expect(bench.locator("#train-outcome")).to_have_text(
        re.compile(rf"^Stopped after \d+ of {STEPS} steps\.$")
    )
    bench.reload()
    expect(bench.locator("#train-saved-words")).to_contain_text("Names of places")
    expect(bench.locator("#train-saved-words")).to_contain_text(f"of {STEPS}")
    bench.locator("#train-saved").get_by_role("button", name="Go on").click()
    expect(bench.locator("#train-outcome")).to_contain_text(f"Trained: {STEPS} steps")
    return bench


def open_panel(page: Page) -> None:
    page.goto("/#panel=train")
    expect(page.get_by_role("button", name="Train", exact=True)).to_be_enabled()


def fill_recipe(page: Page, recipe: dict[str, Any]) -> None:
    if not page.locator("#train-recipe-text").is_visible():
        page.locator("#train-recipe summary").click()
    page.locator("#train-recipe-text").fill(json.dumps(recipe))


def rows(chart: Locator) -> list[list[float]]:
    """The numbers of a chart, from the table beside its picture."""
    if not chart.locator("table").is_visible():
        chart.get_by_text("As a table").click()
        expect(chart.locator("tbody tr").first).to_be_visible()
    return [
        [float(cell.replace(",", "")) for cell in row.locator("td").all_inner_texts()]
        for row in chart.locator("tbody tr").all()
    ]


def test_names_are_learned_across_a_reload(trained: Page) -> None:
    loss = rows(trained.locator("#train-loss"))
    heldout = rows(trained.locator("#train-heldout"))
    assert loss[-1][0] == heldout[-1][0] == STEPS
    assert loss[-1][1] < loss[0][1] / 2
    assert heldout[0][1] > 7  # eight bits a byte, before the first step
    assert heldout[-1][1] < 3.5
    names = trained.locator("#train-lines").inner_text().split("\n")
    assert len(names) == 12
    assert sum(bool(re.fullmatch(r"[A-Z][A-Za-z' -]+", name)) for name in names) >= 7


def test_earlier_samples_can_be_looked_at_again(trained: Page) -> None:
    latest = trained.locator("#train-lines").inner_text()
    trained.locator("#train-at").fill("0")
    expect(trained.locator("#train-at-words")).to_have_text("Before the first step")
    assert trained.locator("#train-lines").inner_text() != latest
    trained.locator("#train-at").fill("1000")
    expect(trained.locator("#train-at-words")).to_have_text(f"After {STEPS} steps")
    assert trained.locator("#train-lines").inner_text() == latest


def test_the_receipt_holds_here_and_natively(trained: Page) -> None:
    receipt = trained.locator("#train-receipt-text").text_content() or ""
    trained.get_by_label("A receipt, as JSON").fill(receipt)
    trained.get_by_role("button", name="Check", exact=True).click()
    expect(trained.locator("#verify-verdict")).to_contain_text("Every bit matches")

    text = next(corpus.text() for corpus in corpora.CORPORA if corpus.name == "names")
    checks = list(verify(json.loads(receipt), text, steps=STEPS // 2))
    assert checks[-1].step == STEPS // 2
    assert all(check.agrees for check in checks)


def test_a_forged_receipt_is_told_by_the_step(trained: Page) -> None:
    receipt = json.loads(trained.locator("#train-receipt-text").text_content() or "")
    receipt["curve"][0]["loss"] += 1e-9
    trained.get_by_label("A receipt, as JSON").fill(json.dumps(receipt))
    trained.get_by_role("button", name="Check", exact=True).click()
    expect(trained.locator("#verify-verdict")).to_contain_text("It first differs at step 20")


def test_the_model_can_be_downloaded_and_runs(trained: Page, tmp_path: Path) -> None:
    with trained.expect_download() as waiting:
        trained.get_by_role("button", name="Download GGUF").click()
    assert waiting.value.suggested_filename == "names-of-places-q8_0.gguf"
    path = tmp_path / "names.gguf"
    waiting.value.save_as(path)
    model = thimble.load(path)
    session = model.session()
    written = "".join(piece.text for piece in session.generate("", thimble.SamplingParams(seed=1)))
    assert written
    session.close()
    model.close()


def test_every_panel_can_use_it(trained: Page) -> None:
    trained.get_by_role("button", name="Use it in every panel").click()
    expect(trained.locator("#train-outcome")).to_contain_text("Every panel now uses it")
    turn_to(trained, "Write")
    title = f"Names of places, {STEPS} steps"
    assert trained.locator("#model option:checked").inner_text() == title
    trained.locator("#prompt").fill("")
    trained.get_by_role("button", name="Write", exact=True).click()
    expect(trained.locator("#outcome")).to_contain_text("token")
    assert trained.locator("#written").text_content()
    turn_to(trained, "Train")


def test_bad_input_is_told_in_words(bench: Page) -> None:
    alert = bench.locator("#train-notice")
    train = bench.get_by_role("button", name="Train", exact=True)
    bench.get_by_label("Your own text Paste it").check()
    train.click()
    expect(alert).to_contain_text("The text is empty")
    bench.locator("#train-own-text").fill("a" * 5000)
    train.click()
    expect(alert).to_contain_text("again and again")
    bench.locator("#train-own-text").fill("a few words")
    train.click()
    expect(alert).to_contain_text("tokens to learn from")
    bench.locator("#train-own-file").set_input_files(
        {"name": "cat.png", "mimeType": "image/png", "buffer": b"\x89PNG\r\n\x00\x1a"}
    )
    expect(bench.locator("#train-own-words")).to_contain_text("“cat.png” is not text")

    bench.get_by_role("radio", name=re.compile("^Names of places")).check()
    fill_recipe(bench, {"stepz": 5})
    expect(bench.locator("#train-size-words")).to_contain_text("did you mean 'steps'")
    train.click()
    expect(alert).to_contain_text("did you mean 'steps'")

    bench.get_by_label("A receipt, as JSON").fill("{}")
    bench.get_by_role("button", name="Check", exact=True).click()
    expect(bench.locator("#verify-notice")).to_contain_text("The receipt's format")


def test_a_step_is_timed_for_the_dial(bench: Page) -> None:
    bench.get_by_label("Small arithmetic").check()
    bench.locator("#train-size").fill("0")
    expect(bench.locator("#train-size-name")).to_have_text("48,352 parameters")
    expect(bench.locator("#train-size-words")).to_have_text(
        re.compile(r"^3 layers, 32 wide; 800 steps, about \d+ (s|min) here$")
    )


def test_a_tab_that_closed_while_it_wrote_loses_the_last_copy_only(trained: Page) -> None:
    words = trained.evaluate("""async () => {
      const folder = await (await navigator.storage.getDirectory())
        .getDirectoryHandle("thimble-training");
      const sizes = [];
      for (const name of ["state-0", "state-1"]) {
        const handle = await folder.getFileHandle(name);
        const file = await handle.getFile();
        const head = new DataView(await file.slice(0, 16).arrayBuffer());
        const said = JSON.parse(await file.slice(16, 16 + head.getUint32(8, true)).text());
        sizes.push([said.step, handle, file.size]);
      }
      sizes.sort((a, b) => a[0] - b[0]);
      const [, newest, size] = sizes[1];
      const writer = await newest.createWritable({ keepExistingData: true });
      await writer.truncate(size - 1);
      await writer.close();
      return sizes.map(([step]) => step);
    }""")
    assert words[1] == STEPS
    page = trained.context.new_page()  # another visit
    page.goto("/#panel=train")
    expect(page.locator("#train-saved-words")).to_contain_text(f"step {words[0]} of {STEPS}")
    page.get_by_role("button", name="Forget it").click()
    expect(page.locator("#train-saved")).to_be_hidden()
    page.reload()
    expect(page.get_by_role("button", name="Train", exact=True)).to_be_enabled()
    expect(page.locator("#train-saved")).to_be_hidden()
    # One tab keeps its training; another one is told.
    fill_recipe(page, RECIPE | {"steps": 2})
    page.get_by_role("button", name="Train", exact=True).click()
    expect(page.locator("#train-outcome")).to_contain_text("Trained: 2 steps")
    expect(page.locator("#train-outcome")).to_contain_text("another tab is already saving")
    page.close()


@pytest.mark.parametrize("width", [360, 1440])
def test_the_panel_fits_its_width(trained: Page, width: int) -> None:
    trained.set_viewport_size({"width": width, "height": 740})
    overflow = trained.evaluate("""() => {
      const panel = document.querySelector("[data-panel=train]");
      return [...panel.querySelectorAll("*")]
        .filter((one) => one.checkVisibility() && !one.closest("pre, .chart-rows"))
        .filter((one) => one.getBoundingClientRect().right > document.documentElement.clientWidth)
        .map((one) => one.outerHTML.slice(0, 80));
    }""")
    assert overflow == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_no_serious_accessibility_violations(trained: Page, scheme: str) -> None:
    trained.emulate_media(
        color_scheme="dark" if scheme == "dark" else "light", reduced_motion="reduce"
    )
    assert violations(trained) == []
