"""Which browsers this machine has, and how one is had where there is none.

    python -m tools.browsers        makes sure of Chromium, or says in one line what to install

Tests drive Chromium through Playwright. Firefox and WebKit only compare bits: they are installed
where that is one of Debian's packages away, and their tests say so where they are missing.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

BROWSERS = {"chromium": ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")}

HELP = (
    "no Chromium for the browser tests: install one (Debian and Ubuntu: apt-get install chromium; "
    "macOS: brew install --cask google-chrome) or set THIMBLE_CHROMIUM to its path"
)


def find(name: str = "chromium") -> str | None:
    """The path of a browser: named by the environment, on the PATH, or Playwright's own."""
    named = os.environ.get(f"THIMBLE_{name.upper()}")
    if named:
        return named
    for command in BROWSERS[name]:
        found = shutil.which(command)
        if found:
            return found
    return _playwrights_own(name)


def _playwrights_own(name: str) -> str | None:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        path = str(getattr(playwright, name).executable_path)
    return path if Path(path).is_file() else None


OTHERS = {"firefox-esr": "firefox-esr", "WebKitWebDriver": "webkit2gtk-driver", "Xvfb": "xvfb"}
"""What the other engines' tests need: a command, and Debian's package that has it."""


def ensure_others() -> None:
    """Install the other engines where Debian's packages may be installed; else leave it."""
    missing = [package for command, package in OTHERS.items() if shutil.which(command) is None]
    if missing and _may_install():
        _run("apt-get", "update", "-q")
        _run("apt-get", "install", "-q", "-y", "--no-install-recommends", *missing)


def _may_install() -> bool:
    return sys.platform == "linux" and os.geteuid() == 0 and shutil.which("apt-get") is not None


def ensure(name: str = "chromium") -> str | None:
    """Find a browser, or install it: Debian's package where we may, else Playwright's."""
    found = find(name)
    if found:
        return found
    if _may_install():
        _run("apt-get", "update", "-q")
        _run("apt-get", "install", "-q", "-y", "--no-install-recommends", name)
        if find(name):
            return find(name)
    _run(sys.executable, "-m", "playwright", "install", name)
    return find(name)


def _run(*command: str) -> None:
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    print("$", *command, flush=True)
    subprocess.run(command, env=environment)


if __name__ == "__main__":
    if ensure() is None:
        print(HELP, file=sys.stderr)
        sys.exit(1)
    ensure_others()
