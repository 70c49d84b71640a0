"""What the page needs offline: the service worker's list of files, the app's manifest.

The list is made of the files that there are: whatever the page or its panels may ask for is kept by
an install, but no model (kept when it is used) and no source map.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from thimble.hosting import precache
from tools.fingerprint import ROOT

TEMPLATES = ROOT / "web" / "templates"

SCRIPTS_AND_LOOKS = (".js", ".mjs", ".css", ".wasm", ".svg", ".png")
AT_ROOT = ("build.json", "thimble.js", "widget.js", "THIRD-PARTY.txt")
"""Files with fixed names that the page or one of its panels asks for."""
MANIFEST = "manifest.webmanifest"
ICONS = (
    ("icon-192.png", "192x192", "any"),
    ("icon-512.png", "512x512", "any"),
    ("icon-maskable-512.png", "512x512", "maskable"),
    ("icon.svg", "any", "any"),
)
GROUND = "#f8f6f3"
"""The page's ground in the light scheme: what an app shows before its first picture."""


def write_service_worker(site: Path, build: dict[str, Any], *, offline: bool = True) -> None:
    """Give the bundled service worker its list, or put the one in its place that removes it."""
    worker = site / precache.NAME
    if not offline:
        worker.write_bytes((site / precache.WITHDRAWN).read_bytes())
        return
    files = {name: (site / name).read_bytes() for name in precached_files(site, build)}
    later = {extra["file"]: (site / extra["file"]).read_bytes() for extra in build["extras"]}
    listing = precache.listing(files, later, build)
    worker.write_bytes(listing + worker.read_bytes())


def precached_files(site: Path, build: dict[str, Any]) -> list[str]:
    """What an install fetches besides the pages."""
    single = [build[name] for name in ("engine", "stdlib", "library", "lock")]
    single += [text["file"] for text in (*build.get("corpora", ()), build.get("sample")) if text]
    found = {*single, *(name for name in (*AT_ROOT, MANIFEST) if (site / name).is_file())}
    for path in (site / "assets").rglob("*"):
        if path.suffix in SCRIPTS_AND_LOOKS:
            found.add(path.relative_to(site).as_posix())
    return sorted(found)


def extras(site: Path, pyodide: Path) -> list[dict[str, Any]]:
    """What is kept once somebody has asked for it, by the name that people know it by."""
    names = {"numpy": "NumPy"}
    return [
        {
            "name": names[path.name.partition("-")[0]],
            "file": path.relative_to(site).as_posix(),
            "bytes": path.stat().st_size,
        }
        for path in sorted(pyodide.glob("*.whl"))
    ]


def write_manifest(site: Path, assets: dict[str, str]) -> dict[str, str]:
    """The web app's manifest: how the page looks among the machine's other programs.

    Its addresses are relative to itself, so the app is the folder that it lies in.
    """
    icons = [
        {"src": assets[name], "sizes": sizes, "type": _type(name), "purpose": purpose}
        for name, sizes, purpose in ICONS
        if name in assets
    ]
    manifest = {
        "id": "./",
        "name": "Thimble",
        "short_name": "Thimble",
        "description": "Small language models that run on this machine, with or without a network.",
        "start_url": "./",
        "scope": "./",
        "display": "standalone",
        "background_color": GROUND,
        "theme_color": GROUND,
        "categories": ["education", "developer tools"],
        "icons": icons,
    }
    text = json.dumps(manifest, indent=1, ensure_ascii=False) + "\n"
    (site / MANIFEST).write_text(text, encoding="utf-8")
    return {MANIFEST: MANIFEST}


def _type(name: str) -> str:
    return "image/svg+xml" if name.endswith(".svg") else "image/png"
