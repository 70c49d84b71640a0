"""One real run of the eleven claims in Chromium, into `docs/claims.md`: `make claims`.

    python -m tools.claims_report [--site FOLDER] [--report FILE.json]

Serves `build/site`, lets a visitor come for the first time, measures everything as the button
does, and writes `docs/claims.json` (the report as the page saves it), `docs/claims.png`, and what
is told of them in `docs/claims.md` and `docs/claims.txt`. With `--report` it tells of a report that
was saved before; `--site` takes another site. No number in it is typed.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path
from typing import Any

from playwright.sync_api import Page, expect, sync_playwright

import server
from tools import browsers
from tools.fingerprint import ROOT
from tools.marked import put_between
from tools.visit_report import SITE, Counter, serving

DOCS = ROOT / "docs"
PAGE, REPORT, PICTURE = DOCS / "claims.md", DOCS / "claims.json", DOCS / "claims.png"
TABLE = DOCS / "claims.txt"
PATIENCE_MS = 600_000
FLAGS = ["--disable-gpu", "--no-first-run", "--disable-background-networking"]


def measure(site: Path) -> None:
    """Let Chromium measure all claims, and save what the page saves."""
    with serving(Counter(server.create_app(site))) as address, sync_playwright() as playwright:
        root = hasattr(os, "geteuid") and os.geteuid() == 0
        flags = [*FLAGS, "--no-sandbox"] if root else FLAGS
        browser = playwright.chromium.launch(executable_path=browsers.find(), args=flags)
        page = browser.new_page(viewport={"width": 1280, "height": 900})
        page.goto(address)
        expect(page.locator("#metrics")).to_be_visible(timeout=120_000)
        page.get_by_role("link", name="Claims", exact=True).click()
        run = page.get_by_role("button", name="Measure all")
        run.click()
        expect(run).to_be_visible(timeout=PATIENCE_MS)
        _save(page, "Save as JSON", REPORT)
        _save(page, "Save as picture", PICTURE)
        browser.close()


def _save(page: Page, name: str, path: Path) -> None:
    with page.expect_download() as waiting:
        page.get_by_role("button", name=name).click()
    waiting.value.save_as(path)


def about(report: dict[str, Any]) -> str:
    """What was measured, where, and what disturbed or failed it, in Markdown."""
    machine, model = report["machine"], report["model"]
    lines = [
        f"Measured {report['made'][:10]} by Thimble {report['thimble']}, build "
        f"`{report['build'][:16]}`, on {machine['cores']} cores of a shared machine with "
        f"`{machine['browser']}`; the model is `{model['name']}`, {model['parameters']:,} "
        f"parameters, SHA-256 `{model['sha256'][:16]}`.",
    ]
    failed = [
        f"{one['title']} ({one['status']}: {one['error'] or 'cancelled'})"
        for one in report["results"]
        if one["status"] != "done"
    ]
    if failed:
        lines.append(f"Not measured: {', '.join(failed)}.")
    doubted = [one["title"] for one in report["results"] if one["doubts"]]
    if doubted:
        lines.append(f"Disturbed, as the report says for each: {', '.join(doubted)}.")
    return "\n\n".join(lines)


def table(report: dict[str, Any]) -> str:
    """Every quantity of every claim, then the page's own words and doubts, as text."""
    lines = []
    for result in report["results"]:
        lines += [result["title"], ""]
        lines += [
            f"  {one['name']}: {_spread(one)}, n = {one['n']}" for one in result["quantities"]
        ]
        words = [result["words"], result["error"], *result["doubts"]]
        lines += [*(f"  {text}" for text in words if text), ""]
    return "\n".join(lines)


def _spread(quantity: dict[str, Any]) -> str:
    """The median with its unit, and the range where there is one."""
    median, low, high = (_number(quantity[name]) for name in ("median", "lowest", "highest"))
    spread = "" if low == high else f" ({low}–{high})"
    return f"{median} {quantity['unit']}{spread}"


def _number(value: float) -> str:
    if float(value).is_integer():
        return f"{value:,.0f}"
    return f"{value:,.4g}" if abs(value) < 1000 else f"{value:,.0f}"


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--report", type=Path, help="a report that the page has saved")
    parser.add_argument("--site", type=Path, default=SITE, help="the folder that `make site` made")
    options = parser.parse_args()
    if options.report is None:
        measure(options.site)
    report = json.loads((options.report or REPORT).read_text(encoding="utf-8"))
    put_between(PAGE, "run", about(report))
    TABLE.write_text(table(report), encoding="utf-8")
    failed = [one["claim"] for one in report["results"] if one["status"] != "done"]
    if failed:
        print(f"not measured: {', '.join(failed)}", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
