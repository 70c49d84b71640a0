"""How big the site is: what each part weighs raw and as a browser receives it.

python -m tools.size_report [FOLDER]
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

from tools import pyodide_core
from tools.compress import transfer_size
from tools.fingerprint import BUILD

PAGE = ("page.js", "write.js", "page.css", "icon.svg", "thimble.js", "worker.js")
"""What a page fetches that shows the first panel; the others come when they are shown."""

IMPORTED = re.compile(r"""(?:from|import)\s*"\./([^"]+)"(?!\))""")


def first_visit(site: Path) -> list[Path]:
    """What a visitor's browser fetches until the default model has written: page and engine."""
    build = json.loads((site / "build.json").read_text(encoding="utf-8"))
    files = [site / "build.json"]
    for name in PAGE:
        if name in build["assets"]:
            files += with_imports(site / build["assets"][name], files)
    files += [site / build["pyodide"] / name for name in pyodide_core.CORE]
    files += [site / build[name] for name in ("engine", "stdlib", "lock")]
    files += [site / model["file"] for model in build["models"] if model.get("default")]
    return files


def with_imports(path: Path, known: list[Path]) -> list[Path]:
    """A file and the modules that it imports at once, as far as they are not known yet."""
    found = [path]
    for module in found:
        if module.suffix == ".js":
            named = IMPORTED.findall(module.read_text(encoding="utf-8"))
            new = [path.with_name(name) for name in named]
            found += [one for one in new if one not in found and one not in known]
    return found


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
