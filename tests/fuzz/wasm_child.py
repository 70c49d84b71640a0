"""What `wasm.mjs` runs in Pyodide: reads one input of a batch after another."""

from __future__ import annotations

import contextlib
import pickle
import tempfile
import traceback
from pathlib import Path

from tests.fuzz.fuzz_constraint import import_all
from tests.fuzz.kinds import Case, counting
from tests.fuzz.registry import KINDS

Input = tuple[int, str, Case, bool]
"""Its number, its kind, its files, and whether Python's memory is counted."""

import_all()  # what is imported when it is first needed, is no memory of an input's
_inputs: list[Input] = []
_scratch = Path(tempfile.mkdtemp())


def begin(path: str) -> int:
    """Take the inputs of this file, which `wasm.py` has written; how many they are."""
    _inputs[:] = pickle.loads(Path(path).read_bytes())
    return len(_inputs)


def check(index: int) -> str:
    """Read this input: what came of it, or "!" and what was wrong."""
    _, name, case, counted = _inputs[index]
    kind = KINDS[name]
    size = sum(map(len, case.values()))
    try:
        with counting(kind.each * size + kind.room) if counted else contextlib.nullcontext():
            return kind.check(case, _scratch)
    except Exception as error:
        return "!" + "".join(traceback.format_exception(error, limit=-4))
