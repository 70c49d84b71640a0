"""Takes the pictures in `docs/screens/`: the page in every state, phone and desktop, both schemes.

make play &            # or any server of the site
.venv/bin/python -m tools.screens [http://127.0.0.1:8000]
"""

from __future__ import annotations

import os
import sys

from playwright.sync_api import Browser, Page, expect, sync_playwright

from tools import browsers
from tools.fingerprint import ROOT

FOLDER = ROOT / "docs" / "screens"
SIZES = {"phone": (360, 740), "desktop": (1440, 900)}
SCHEMES = ("light", "dark")
SEED = 7

# Presses Stop when so much is written that the picture shows a text, and before it ends.
STOP_AFTER = """(length) => {
  const text = document.getElementById("written");
  const watch = new MutationObserver(() => {
    if (text.textContent.length < length) return;
    watch.disconnect();
    document.getElementById("stop").click();
  });
  watch.observe(text, { childList: true });
}"""


def take(browser: Browser, address: str, size: str, scheme: str) -> None:
    """All states of one window."""
    width, height = SIZES[size]
    page = browser.new_page(
        viewport={"width": width, "height": height},
        color_scheme="dark" if scheme == "dark" else "light",
    )

    def shot(state: str) -> None:
        page.evaluate("scrollTo(0, 0)")
        page.screenshot(path=FOLDER / f"{state}-{size}-{scheme}.png", animations="disabled")

    page.goto(address)
    expect(page.locator("#progress")).to_be_visible()
    shot("loading")
    expect(page.locator("#metrics")).to_be_visible(timeout=120_000)
    shot("ready")
    page.get_by_role("button", name="Settings").click()
    page.locator("#seed").fill(str(SEED))
    shot("settings")
    page.get_by_role("button", name="Settings").click()
    page.get_by_role("button", name="Write").click()
    expect(page.locator("#outcome")).to_contain_text("token", timeout=60_000)
    shot("written")
    page.evaluate(STOP_AFTER, 250)
    page.get_by_role("button", name="Regenerate").click()
    expect(page.locator("#outcome")).to_contain_text("token", timeout=60_000)
    shot("stopped")
    _fail(page)
    shot("failed")
    page.close()


def _fail(page: Page) -> None:
    page.locator("#prompt").fill("a word and another " * 1500)
    page.get_by_role("button", name="Write").click()
    expect(page.get_by_role("alert")).to_be_visible()
    page.locator("#prompt").fill("Once upon a time")


def main(address: str) -> None:
    FOLDER.mkdir(parents=True, exist_ok=True)
    flags = ["--disable-gpu", "--no-first-run", "--disable-background-networking"]
    if hasattr(os, "geteuid") and os.geteuid() == 0:
        flags.append("--no-sandbox")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=browsers.find(), args=flags)
        for scheme in SCHEMES:
            for size in SIZES:
                take(browser, address, size, scheme)
        browser.close()


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "http://127.0.0.1:8000")
