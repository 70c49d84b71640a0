"""How big the site is: what each part weighs raw and as a browser receives it.

python -m tools.size_report [FOLDER]
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from tools import stdlib
from tools.compress import CODINGS, transfer_size
from tools.fingerprint import BUILD


def first_visit(site: Path) -> list[Path]:
    """What a visitor's browser fetches until the default model has written: page and engine."""
    build = json.loads((site / "build.json").read_text(encoding="utf-8"))
    files = [site / "build.json"]
    files += [site / name for name in build["assets"].values()]
    files += needed(site / build["pyodide"])
    files += [site / model["file"] for model in build["models"] if model.get("default")]
    return files


def needed(pyodide: Path) -> list[Path]:
    """The files of Pyodide's folder that every visitor's browser fetches."""
    later = ("numpy-", stdlib.WHOLE)
    return [
        path
        for path in sorted(pyodide.iterdir())
        if path.suffix not in CODINGS and not path.name.startswith(later)
    ]


def report(site: Path) -> str:
    """A table for people: the files of a first visit, then the whole folder."""
    rows = [(path.relative_to(site).as_posix(), path) for path in first_visit(site)]
    lines = [f"{'first visit':<72} {'raw':>11} {'brotli':>11}"]
    for name, path in rows:
        lines.append(f"{name:<72} {path.stat().st_size:>11,} {transfer_size(path):>11,}")
    raw = sum(path.stat().st_size for _, path in rows)
    packed = sum(transfer_size(path) for _, path in rows)
    lines.append(f"{'all of it':<72} {raw:>11,} {packed:>11,}")
    files = [path for path in site.rglob("*") if path.is_file()]
    whole = sum(path.stat().st_size for path in files)
    lines.append(f"{'the folder, compressed copies included':<72} {whole:>11,}")
    return "\n".join(lines)


if __name__ == "__main__":
    print(report(Path(sys.argv[1]) if len(sys.argv) > 1 else BUILD / "site"))
