"""How a browser for the tests is found, and what is said where there is none."""

from __future__ import annotations

from pathlib import Path

import pytest

from tools import browsers


@pytest.fixture
def bare(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A machine without any browser; programs put into the returned folder are on its PATH."""
    monkeypatch.delenv("THIMBLE_CHROMIUM", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(browsers, "_playwrights_own", lambda name: None)
    return tmp_path


def program(folder: Path, name: str) -> str:
    path = folder / name
    path.write_text("#!/bin/sh\n")
    path.chmod(0o755)
    return str(path)


def test_the_environment_s_choice_comes_first(bare: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program(bare, "chromium")
    monkeypatch.setenv("THIMBLE_CHROMIUM", "a/browser")
    assert browsers.find() == "a/browser"


@pytest.mark.parametrize("name", browsers.BROWSERS["chromium"])
def test_a_browser_that_is_there_is_used(bare: Path, name: str) -> None:
    assert browsers.find() is None
    assert program(bare, name) == browsers.find()


@pytest.mark.parametrize(("user", "first"), [(0, "apt-get"), (1000, "-m")])
def test_where_there_is_none_it_is_installed(
    bare: Path, monkeypatch: pytest.MonkeyPatch, user: int, first: str
) -> None:
    """As root on Debian its package, else Playwright's; neither works here."""
    ran: list[tuple[str, ...]] = []
    program(bare, "apt-get")
    monkeypatch.setattr("os.geteuid", lambda: user, raising=False)
    monkeypatch.setattr("sys.platform", "linux")
    monkeypatch.setattr("subprocess.run", lambda command, **_: ran.append(command))
    assert browsers.ensure() is None
    assert first in ran[0]
    assert ran[-1][1:] == ("-m", "playwright", "install", "chromium")


def test_one_line_says_what_to_install() -> None:
    assert "\n" not in browsers.HELP
    assert "apt-get install chromium" in browsers.HELP
