"""Takes pictures of the page in every state, phone and desktop, both schemes: `make screens`.

    python -m tools.screens [--address URL] [--docs] [PANEL ...]

Serves `build/site`, unless `--address` names a server that runs, and writes `build/screens/`. With
`--docs` it also copies the pictures that the documents show into `docs/screens/`. A panel is a
function that brings its states about, and a line in `PANELS`.
"""

from __future__ import annotations

import argparse
import os
import shutil
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Protocol

from playwright.sync_api import Browser, Page, expect, sync_playwright

import server
from tools import browsers
from tools.fingerprint import BUILD, ROOT
from tools.screens_claims import claims, front
from tools.screens_embed import embed
from tools.screens_ensemble import ensemble
from tools.screens_lens import lens
from tools.screens_lens_change import lens_change, lens_probes, lens_tour
from tools.screens_read import read, seen
from tools.screens_step import step
from tools.screens_talk import talk
from tools.screens_train import train
from tools.visit_report import SITE, Counter, serving

expect.set_options(timeout=60_000)

FOLDER = BUILD / "screens"
DOCS = ROOT / "docs" / "screens"
SHOWN = ("written", "step-token", "lens-attention")
"""The states that the documents show, on a desktop and in light."""

SIZES = {"phone": (360, 740), "desktop": (1440, 900)}
SCHEMES = ("light", "dark")
SEED = 7

CONSOLE = "[data-panel=python] .sheet"

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


class Shot(Protocol):
    """Takes a picture of a state, with this place at the window's top."""

    def __call__(self, state: str, place: str = "body") -> None: ...


def take(browser: Browser, address: str, size: str, scheme: str, panels: list[str]) -> None:
    """All states of one window."""
    width, height = SIZES[size]

    for panel in panels:
        page = browser.new_page(
            viewport={"width": width, "height": height},
            color_scheme="dark" if scheme == "dark" else "light",
        )

        def shot(state: str, place: str = "body", page: Page = page) -> None:
            page.evaluate("(place) => document.querySelector(place).scrollIntoView()", place)
            page.screenshot(path=FOLDER / f"{state}-{size}-{scheme}.png", animations="disabled")

        PANELS[panel](page, address, shot)
        page.close()


def _write(page: Page, address: str, shot: Shot) -> None:
    page.goto(address)
    expect(page.locator("#progress")).to_be_visible()
    shot("loading")
    expect(page.locator("#metrics")).to_be_visible(timeout=120_000)
    shot("ready")
    page.get_by_role("button", name="Settings").click()
    page.locator("#seed").fill(str(SEED))
    shot("settings")
    constraint = page.get_by_label("Constraint", exact=True)
    constraint.select_option("JSON Schema")
    page.get_by_role("button", name="Write").click()
    expect(page.locator("#outcome")).to_contain_text("token", timeout=60_000)
    shot("constrained", ".constraint")
    constraint.select_option("Any text")
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


def _fail(page: Page) -> None:
    page.locator("#prompt").fill("a word and another " * 1500)
    page.get_by_role("button", name="Write").click()
    expect(page.get_by_role("alert")).to_be_visible()
    page.locator("#prompt").fill("Once upon a time")


def _python(page: Page, address: str, shot: Shot) -> None:
    page.goto(f"{address}/#panel=python")
    expect(page.locator("#python-version")).to_contain_text("3.14", timeout=120_000)
    page.get_by_role("button", name="Run").wait_for()
    shot("python-ready")
    outcome = page.locator("#python-outcome")
    editor = page.get_by_role("textbox", name="Python code")

    def run(code: str) -> None:
        editor.click()
        page.keyboard.press("Control+A")
        page.keyboard.insert_text(code)
        page.get_by_role("button", name="Run", exact=True).click()

    run("model.config.n_layers, model.config.dim")
    expect(outcome).to_contain_text("Done")
    page.locator("[data-example=entropy_plot]").click()
    page.get_by_role("button", name="Run", exact=True).click()
    expect(page.locator("#python-log img")).to_be_visible()
    shot("python-plot", CONSOLE)
    page.get_by_role("button", name="Clear").click()
    run("def mean(values):\n    return sum(values) / len(values)\n\nmean([])")
    expect(outcome).to_contain_text("An error")
    page.locator("[data-example=own_sampler]").click()
    page.get_by_role("button", name="Run", exact=True).click()
    expect(page.locator("[data-panel=python] [data-sampler]")).to_be_visible()
    shot("python-sampler", CONSOLE)
    run("while True:\n    pass")
    page.get_by_role("button", name="Stop", exact=True).wait_for()
    shot("python-running", CONSOLE)
    page.get_by_role("button", name="Stop", exact=True).click()
    expect(outcome).to_contain_text("Stopped")
    editor.click()
    page.keyboard.press("Control+A")
    page.keyboard.type("session.")
    page.keyboard.press("Control+Space")
    expect(page.get_by_role("option").first).to_be_visible()
    shot("python-completion", CONSOLE)


def _machine(page: Page, address: str, shot: Shot) -> None:
    page.goto(address)
    expect(page.locator("#metrics")).to_be_visible(timeout=120_000)
    page.goto(f"{address}/#panel=machine")
    page_itself = page.locator("#kinds li").first
    expect(page_itself).to_contain_text("works without a network", timeout=120_000)
    shot("machine")
    page.get_by_role("button", name="Clear all…").click()
    shot("machine-sure", "#sure")
    page.get_by_role("button", name="Keep everything", exact=True).click()
    page.goto(f"{address}/#model=https://example.org/models/tiny.gguf&sha256={'5eed' * 16}")
    expect(page.locator("#incoming-title")).to_be_visible()
    shot("incoming-link")


PANELS: dict[str, Callable[[Page, str, Shot], None]] = {
    "write": _write,
    "seen": seen,
    "front": front,
    "claims": claims,
    "talk": talk,
    "read": read,
    "step": step,
    "python": _python,
    "train": train,
    "lens": lens,
    "lens-change": lens_change,
    "lens-probes": lens_probes,
    "lens-tour": lens_tour,
    "ensemble": ensemble,
    "embed": embed,
    "machine": _machine,
}


def take_all(address: str, panels: list[str]) -> None:
    """Every window and scheme of the site at this address."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    flags = ["--disable-gpu", "--no-first-run", "--disable-background-networking"]
    flags.append("--force-prefers-reduced-motion")  # nothing is to write by itself
    if hasattr(os, "geteuid") and os.geteuid() == 0:
        flags.append("--no-sandbox")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=browsers.find(), args=flags)
        for scheme in SCHEMES:
            for size in SIZES:
                take(browser, address, size, scheme, panels)
        browser.close()


def shown() -> list[Path]:
    """The pictures that stand in `docs/screens/`."""
    return [DOCS / f"{state}-desktop-light.png" for state in SHOWN]


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("panels", nargs="*", metavar="PANEL", help=f"of {', '.join(PANELS)}")
    parser.add_argument("--address", help="a server that runs; else build/site is served")
    parser.add_argument("--docs", action="store_true", help="renew docs/screens too")
    options = parser.parse_args()
    unknown = sorted(set(options.panels) - set(PANELS))
    if unknown:
        parser.error(f"no panel {', '.join(unknown)}; there are {', '.join(PANELS)}")
    given = options.address
    with nullcontext(given) if given else serving(Counter(server.create_app(SITE))) as address:
        take_all(address.rstrip("/"), options.panels or list(PANELS))
    if options.docs:
        DOCS.mkdir(exist_ok=True)
        for picture in shown():
            shutil.copyfile(FOLDER / picture.name, picture)


if __name__ == "__main__":
    main()
