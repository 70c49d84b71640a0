"""THIRD-PARTY.txt: what the site brings of others, each with its version and its licence.

It is made of what the build really takes: the front end's packages that `package-lock.json` lists
for use in the page, with the licence files that came with them, and Pyodide with what is in it,
whose npm package has no licence text (web/licenses/).
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tools.fingerprint import ROOT

WEB = ROOT / "web"
TEXTS = WEB / "licenses"
NAME = "THIRD-PARTY.txt"

ONLY_UNDER_NODE = ("ws", "commander")
"""What Pyodide and KaTeX's command want outside of browsers; nothing of it is in the site."""
SAME_AS = {"@lit-labs/ssr-dom-shim": "lit"}
"""Packages without a licence file of their own: those of the same authors under the same one."""
PYODIDE = "pyodide"


@dataclass(frozen=True, slots=True)
class Part:
    """Something of somebody else's that the site brings."""

    name: str
    version: str
    license: str
    text: str


def packages(modules: Path = WEB / "node_modules") -> Iterator[Part]:
    """The npm packages that are bundled into the site's scripts."""
    lock = json.loads((WEB / "package-lock.json").read_text(encoding="utf-8"))["packages"]
    for path, entry in sorted(lock.items()):
        name = path.removeprefix("node_modules/")
        if not path or entry.get("dev") or name in (PYODIDE, *ONLY_UNDER_NODE):
            continue
        if name.startswith("@types/"):
            continue  # words for the compiler
        files = (modules / SAME_AS.get(name, name)).iterdir()
        [found, *_] = sorted(path for path in files if path.name.lower().startswith("license"))
        text = found.read_text(encoding="utf-8")
        yield Part(name, entry["version"], entry["license"], text.strip())


def python() -> Iterator[Part]:
    """Pyodide, and what is in its files and in those that the site carries for it."""
    lock = json.loads((WEB / "package-lock.json").read_text(encoding="utf-8"))["packages"]
    listed = json.loads((WEB / "node_modules/pyodide/pyodide-lock.json").read_text("utf-8"))
    texts = {path.stem: path.read_text(encoding="utf-8").strip() for path in TEXTS.glob("*.txt")}
    version = lock["node_modules/pyodide"]["version"]
    yield Part("Pyodide", version, "MPL-2.0", texts["MPL-2.0"])
    yield Part("CPython", listed["info"]["python"], "PSF-2.0", texts["python"])
    yield Part("In Pyodide", version, "several", texts["in-pyodide"])
    numpy = listed["packages"]["numpy"]["version"]
    yield Part("NumPy", numpy, "BSD-3-Clause", texts["numpy"])


def text(parts: Iterator[Part]) -> str:
    """All of them as one text; a licence that several share word by word stands there once."""
    by_text: dict[str, list[Part]] = {}
    for part in parts:
        by_text.setdefault(part.text, []).append(part)
    said = [
        "Thimble itself is under the MIT licence. It brings these, unchanged but for bundling; the "
        "source of each is in the registry that its name and version say: npm's, PyPI's, and "
        "https://github.com/pyodide/pyodide for Pyodide."
    ]
    for words, sharing in by_text.items():
        names = "\n".join(f"{part.name} {part.version} ({part.license})" for part in sharing)
        said.append(f"{'=' * 80}\n{names}\n{'=' * 80}\n\n{words}".rstrip())
    return "\n\n".join(said) + "\n"


def write(site: Path) -> None:
    """Put it at the site's root."""
    (site / NAME).write_text(text(iter([*python(), *packages()])), encoding="utf-8")
