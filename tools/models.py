"""The models that the site offers: the GGUF files of `web/models/` and what is said of them.

Facts come from the file itself; a `NAME.json` beside it may name what the file cannot know.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from thimble import gguf
from thimble.hosting.models import describe
from tools.fingerprint import ROOT, digest_file

FOLDER = ROOT / "web" / "models"


def listings() -> list[tuple[Path, dict[str, Any]]]:
    """Every model file with its entry for `build.json`, the default one first."""
    found = [(path, _listing(path)) for path in sorted(FOLDER.glob("*.gguf"))]
    if found and not any(entry.get("default") for _, entry in found):
        # The shipped model is the one called `story`; without it, the first by name.
        _, first = min(found, key=lambda pair: (pair[0].stem != "story", pair[0].name))
        first["default"] = True
    return sorted(found, key=lambda pair: (not pair[1].get("default"), pair[0].name))


def _listing(path: Path) -> dict[str, Any]:
    header = gguf.read_file_header(path)
    entry: dict[str, Any] = {**describe(path, header), "sha256": digest_file(path)}
    said = path.with_suffix(".json")
    if said.is_file():
        entry |= json.loads(said.read_text(encoding="utf-8"))
    return entry
