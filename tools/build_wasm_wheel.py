"""Makes the engine's WebAssembly wheel without `pyodide build`: the package's own backend, called.

    python -m tools.build_wasm_wheel [FOLDER]

The kernels need no emscripten, so nothing is downloaded. docs/build.md has the other way.
"""

from __future__ import annotations

import sys
from pathlib import Path

import backend
import build_archive
import build_bytecode
import build_kernels
from tools.fingerprint import BUILD, ROOT, files_below, fingerprint, is_fresh, remember

WHEELS = BUILD / "wheels"
PACKAGE = ROOT / "pyodide_pkg"


def inputs() -> list[Path]:
    """Everything that the wheel depends on, the version of Pyodide included."""
    pyodide = build_bytecode.find_pyodide()
    own = [*PACKAGE.glob("*.py"), *PACKAGE.glob("*.mjs"), PACKAGE / "pyproject.toml"]
    if pyodide:
        own.append(pyodide / "package.json")
    return own + files_below(PACKAGE / "kernels", PACKAGE / "thimble") + [ROOT / "LICENSE"]


def wasm_wheel(folder: Path = WHEELS) -> Path:
    """The wheel for Pyodide, made anew only when one of its inputs has changed."""
    target = build_kernels.target("wasm")
    wheel = folder / f"{build_archive.stem()}-{target.wheel_tag}.whl"
    stamp, value = folder / ".wasm", fingerprint(inputs(), wheel.name)
    if not (wheel.is_file() and is_fresh(stamp, value)):
        backend.build_wheel(str(folder), {"target": "wasm"})
        remember(stamp, value)
    return wheel


if __name__ == "__main__":
    print(wasm_wheel(Path(sys.argv[1]) if len(sys.argv) > 1 else WHEELS))
