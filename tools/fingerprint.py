"""Whether something must be made again: digests of its inputs, remembered beside the result.

Contents and not times: a fresh clone, a branch switched there and back, a file touched by an editor
change nothing. Knows nothing of what is built.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BUILD = ROOT / "build"


def digest_bytes(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def digest_file(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def digest_tree(folder: Path) -> str:
    """A digest of every file's name and content below a folder."""
    sums = hashlib.sha256()
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        sums.update(f"{path.relative_to(folder).as_posix()}\0{digest_file(path)}\n".encode())
    return sums.hexdigest()


def files_below(*places: Path) -> list[Path]:
    """All files in and below the places, without hidden ones, caches and built libraries."""
    found: set[Path] = set()
    for place in places:
        candidates = place.rglob("*") if place.is_dir() else [place]
        found.update(path for path in candidates if path.is_file() and not _ignored(path))
    return sorted(found)


def _ignored(path: Path) -> bool:
    parts = path.relative_to(ROOT).parts if path.is_relative_to(ROOT) else path.parts
    hidden = any(part.startswith(".") or part == "__pycache__" for part in parts)
    return hidden or path.suffix in (".pyc", ".so", ".dylib", ".dll")


def fingerprint(paths: Iterable[Path], *words: str) -> str:
    """One digest of files, their names, and whatever else the result depends on."""
    sums = hashlib.sha256()
    for path in sorted(set(paths)):
        name = path.relative_to(ROOT).as_posix() if path.is_relative_to(ROOT) else path.name
        sums.update(f"{name}\0{digest_file(path)}\n".encode())
    for word in words:
        sums.update(f"{word}\n".encode())
    return sums.hexdigest()


def is_fresh(stamp: Path, value: str) -> bool:
    """Whether the stamp file holds this fingerprint."""
    return stamp.is_file() and stamp.read_text(encoding="utf-8").strip() == value


def remember(stamp: Path, value: str) -> None:
    stamp.parent.mkdir(parents=True, exist_ok=True)
    stamp.write_text(value + "\n", encoding="utf-8")
