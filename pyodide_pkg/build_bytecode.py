"""How the WebAssembly wheel gets its bytecode: Pyodide compiles it, under Node.

Bytecode belongs to one version of Python, and the one that counts is the page's, not the one that
builds. Compiling in the page instead would cost every visitor time at every start.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from build_archive import HERE, Entry

CHECKOUT = HERE.parent


def find_node() -> str | None:
    """Node: named by THIMBLE_NODE, in this Python's own environment, or on the PATH.

    The environment has one only where the machine's is missing or too old.
    """
    beside = Path(sys.executable).parent / "node"
    for name in (os.environ.get("THIMBLE_NODE"), str(beside), "node"):
        found = shutil.which(name) if name else None
        if found:
            return found
    return None


def find_pyodide() -> Path | None:
    """The folder that holds `pyodide.mjs`: the front end's npm package, or pyodide-build's own."""
    places = [
        os.environ.get("THIMBLE_PYODIDE"),
        str(CHECKOUT / "web" / "node_modules" / "pyodide"),
        os.path.join(os.environ.get("PYODIDE_ROOT", os.devnull), "dist"),
    ]
    for place in places:
        if place and (Path(place) / "pyodide.mjs").is_file():
            return Path(place)
    return None


def compile_entries(sources: list[Entry]) -> list[Entry]:
    """The `.pyc` files of all `.py` entries, named as the import system looks for them.

    Without Node or Pyodide there is none, said aloud: the wheel works, but starts slower.
    """
    node, pyodide = find_node(), find_pyodide()
    if node is None or pyodide is None:
        missing = "Node" if node is None else "Pyodide (npm package `pyodide`)"
        print(f"thimble: no bytecode in this wheel: {missing} was not found", file=sys.stderr)
        return []
    with tempfile.TemporaryDirectory() as scratch:
        root, made = Path(scratch) / "in", Path(scratch) / "out"
        for entry in sources:
            if entry.path.endswith(".py"):
                path = root / entry.path
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(entry.data)
        made.mkdir()
        script = HERE / "build_bytecode.mjs"
        command = [node, str(script), str(pyodide), str(root), str(made)]
        ran = subprocess.run(command, capture_output=True, text=True)
        if ran.returncode:
            raise RuntimeError(f"{' '.join(command)}\n{ran.stdout}{ran.stderr}")
        return [
            Entry(path.relative_to(made).as_posix(), path.read_bytes())
            for path in sorted(made.rglob("*.pyc"))
        ]
