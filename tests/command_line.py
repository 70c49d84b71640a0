"""How tests call the command `thimble` without a process of its own."""

from __future__ import annotations

import io
import json
import sys
from typing import Any

import pytest

from thimble.cli import main

Capture = pytest.CaptureFixture[str]


def run_json(capsys: Capture, *argv: str) -> Any:
    assert main(argv) == 0
    return json.loads(capsys.readouterr().out)


def run_failing(capsys: Capture, code: int, *argv: str) -> str:
    """The one line that a failing command says."""
    assert main(argv) == code
    captured = capsys.readouterr()
    lines = captured.err.splitlines()
    assert len(lines) == 1 and lines[0].startswith("thimble: error: "), captured.err
    assert captured.out == ""
    return lines[0]


def type_in(monkeypatch: pytest.MonkeyPatch, data: bytes) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data)))
