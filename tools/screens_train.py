"""The states of the training panel, for `tools/screens.py`."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from playwright.sync_api import Page, expect

if TYPE_CHECKING:
    from tools.screens import Shot

QUICK = {"separator": "\n", "size": 0.1, "context": 64, "steps": 150,
         "eval_every": 10, "log_every": 10}  # fmt: skip
PIRATES = "".join(
    f"Captain {name} sailed the black ship to {place} and took all {thing}. Arr, said {name}!\n\n"
    for name in ("Hook", "Morgan", "Bones", "Anne")
    for place in ("Tortuga", "Nassau", "the bay")
    for thing in ("the rum", "the gold", "the maps", "the parrots")
)
TUNE = {"lora_rank": 8, "steps": 40, "context": 64, "micro_tokens": 512}
RUN = "#train-form .toolbar"
TAKEAWAY = "#train-form .colophon"


def train(page: Page, address: str, shot: Shot) -> None:
    page.goto(f"{address}/#panel=train")
    start = page.get_by_role("button", name="Train", exact=True)
    expect(start).to_be_enabled(timeout=120_000)
    expect(page.locator("#train-size-words")).to_contain_text("here")
    shot("train-ready")
    page.locator("#train-recipe summary").click()
    page.locator("#train-recipe-text").fill(json.dumps(QUICK, indent=1))
    shot("train-recipe")
    start.click()
    expect(page.locator("#train-at-words")).to_contain_text("100 steps", timeout=300_000)
    shot("train-running", RUN)
    expect(page.locator("#train-outcome")).to_contain_text("Trained", timeout=300_000)
    page.locator("#train-receipt summary").click()
    receipt = json.loads(page.locator("#train-receipt-text").text_content() or "")
    shot("train-done", TAKEAWAY)
    receipt["curve"][1]["loss"] += 1e-9
    receipt["thimble"] = "0.0.9"
    page.get_by_label("A receipt, as JSON").fill(json.dumps(receipt, indent=1))
    page.get_by_role("button", name="Check", exact=True).click()
    expect(page.locator("#verify-verdict")).to_be_visible()
    shot("train-receipt", "#verify-title")
    page.locator("#train-form input[value=own]").check()
    start.click()
    expect(page.locator("#train-notice")).to_be_visible()
    shot("train-failed", "#train-own")
    tune(page, shot)


def tune(page: Page, shot: Shot) -> None:
    """From the loaded model on, and its adapter turned."""
    shot("adapter-none", "#adapter-title")
    page.get_by_label("The loaded model").check()
    page.locator("#train-own-text").fill(PIRATES)
    page.mouse.click(0, 0)
    shot("tune-ready")
    page.locator("#tune summary").click()
    page.locator("#tune-recipe-text").fill(json.dumps(TUNE, indent=1))
    page.get_by_role("button", name="Fine-tune", exact=True).click()
    expect(page.locator("#train-outcome")).to_contain_text("Trained", timeout=300_000)
    expect(page.locator("#tune-after")).to_contain_text("e")
    shot("tune-done", "#tune-result")
    page.locator("#adapter-file").set_input_files(
        {"name": "a.gguf", "mimeType": "", "buffer": b"GGUF"}
    )
    expect(page.locator("#adapter-notice")).to_be_visible()
    page.get_by_role("button", name="Apply to the model").click()
    expect(page.locator("#train-outcome")).to_contain_text("Every panel now uses it")
    page.locator("#adapter-prompt").fill("Captain")
    expect(page.locator("#adapter-next")).to_have_attribute("aria-busy", "false")
    shot("adapter-on", "#adapter-title")
