"""Tests that run in the engines beside Chromium."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.browser import station


def other_engines(firefox: Callable[..., Any], webkit: Callable[..., Any]) -> pytest.MarkDecorator:
    """Run a test in Firefox and in WebKit: its `start` is how the engine is started."""
    return pytest.mark.parametrize(
        "start",
        [
            _engine("firefox", firefox, station.firefox(), "firefox-esr"),
            _engine("webkit", webkit, station.webkit(), "webkit2gtk-driver and xvfb"),
        ],
    )


def _engine(name: str, start: Callable[..., Any], binary: str | None, package: str) -> Any:
    missing = pytest.mark.skipif(
        binary is None, reason=f"this browser is not installed (Debian: {package})"
    )
    return pytest.param(start, id=name, marks=missing)
