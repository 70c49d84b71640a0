"""The site as a folder of plain files, for hosts that run no program and may set no header.

It writes what the server would answer: pages rendered from the same templates, the files of the
built site, JSON that the server makes. What headers would say is said in the pages where a `meta`
can (the content policy), and in `_headers`, which some hosts read. The same input gives the same
bytes. The folder appears whole or not at all: it is written beside its place and renamed.
"""

from __future__ import annotations

import contextlib
import gzip
import hashlib
import json
import os
import shutil
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from ..errors import OptionError
from . import precache
from .assets import IMMUTABLE, REVALIDATE, SUFFIXES, Site, SiteError
from .front_end import FrontEnd
from .headers import FILE_HEADERS, SECURITY_HEADERS
from .models import OwnModel
from .pages import static_pages, static_rules

MARKER = ".thimble-export.json"
"""Names every file of an export with its size and digest, and marks the folder as ours."""

PACKED_FROM = 1024
"""Bytes; a smaller file is one packet anyway."""
WORTH = 0.95
"""A packed copy that is not at least this much smaller costs more to keep than it saves."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What to export."""

    found: FrontEnd
    base_url: str | None = None
    """As `check_base_url` gives it back."""
    own: Sequence[OwnModel] = ()
    only: Sequence[str] | None = None
    """Names of the models, the default one first; None for all."""


def check_base_url(url: str) -> str:
    """The address that the folder will have, with a slash at its end. Raises OptionError."""
    try:
        parts = urlsplit(url)
        right = parts.scheme in ("http", "https") and parts.hostname is not None
    except ValueError:
        right = False
    if not right or parts.query or parts.fragment or "@" in parts.netloc or url != url.strip():
        raise OptionError(
            f"the base URL is {url!r}; it must be like https://example.org/thimble/, without a "
            "query"
        )
    return url if url.endswith("/") else url + "/"


def check_folder(folder: Path, *, force: bool, sources: Iterable[Path] = ()) -> Path:
    """The folder's real path, if an export may take its place. Raises OptionError."""
    real = folder.resolve()
    for source in (path.resolve() for path in sources):
        if real == source or real in source.parents or source in real.parents:
            raise OptionError(
                f"{folder} overlaps with {source}, which is read; name another folder"
            )
    if not real.exists():
        return real
    if not real.is_dir():
        raise OptionError(f"{folder} is a file; a folder is wanted")
    names = sorted(_names(real))
    if force or not any(real.iterdir()):
        return real
    earlier = _earlier(real)
    strange = [name for name in names if name not in earlier] or [
        path.name for path in real.iterdir() if not earlier
    ]
    if strange:
        raise OptionError(
            f"{folder} is not empty, and {strange[0]!r} in it was written by no export: name "
            "another folder, or replace everything in it with --force"
        )
    return real


def _earlier(folder: Path) -> set[str]:
    """The names that an earlier export left in a folder; empty where there was none."""
    try:
        listed = json.loads((folder / MARKER).read_bytes())
        return {MARKER, *listed["files"]}
    except (OSError, ValueError, KeyError, TypeError):
        return set()


def _names(folder: Path) -> Iterator[str]:
    for path in folder.rglob("*"):
        if not path.is_dir() or path.is_symlink():
            yield path.relative_to(folder).as_posix()


def export(folder: Path, plan: Plan) -> dict[str, Any]:
    """Write the site into a folder that `check_folder` has allowed; returns the size report."""
    site = Site(plan.found.site, own=plan.own, only=plan.only)
    with _whole(folder) as fresh:
        pages = _pages(plan, site)
        for name in sorted(site.assets.keys() - pages.keys()):
            asset = site.assets[name]
            copies = {coding: asset.read(coding) for coding in asset.copies}
            data = copies.pop("identity")
            # What has no packed copy at all is not worth one, or is a large model of one's own,
            # with which trying it would take minutes.
            _write(fresh, name, data, copies, pack=bool(copies))
        for name, data in pages.items():
            _write(fresh, name, data, pack=name.endswith((".html", ".js", ".json")))
        if not site.is_current():
            raise SiteError(f"the site in {site.folder} was built anew meanwhile: export again")
        _write_marker(fresh, site)
        report = _report(fresh, site)
    return {"folder": str(folder), **report}


def _pages(plan: Plan, site: Site) -> dict[str, bytes]:
    """What the server renders, what hosts want to find, and the list that hangs on the page."""
    texts = static_pages(plan.found.templates, site, plan.base_url)
    texts |= {".nojekyll": "", "_headers": _headers(site)}
    pages = {name: text.encode() for name, text in texts.items()}
    if precache.NAME in site.assets and site.build.get("offline", True):
        worker = site.assets[precache.NAME].read()
        rendered = {url: pages[precache.file_of(url)] for url in precache.pages(site.build)}
        pages[precache.NAME] = precache.for_pages(worker, rendered)
    return pages


def _headers(site: Site) -> str:
    """The headers that the server sends, for hosts that read them from this file."""
    page = {"Cache-Control": REVALIDATE, **SECURITY_HEADERS}
    file = FILE_HEADERS
    rules: dict[str, Mapping[str, str]] = {"/": page, "/index.html": page}
    for name in site.assets:
        if "/" not in name and not name.endswith(".map"):
            rules[f"/{name}"] = {"Cache-Control": REVALIDATE, **file}
    rules["/assets/*"] = {"Cache-Control": IMMUTABLE, **file}
    rules |= static_rules()
    return "".join(
        f"{path}\n" + "".join(f"  {name}: {value}\n" for name, value in headers.items())
        for path, headers in rules.items()
    )


def _write(
    folder: Path, name: str, data: bytes, copies: Mapping[str, bytes] | None = None, *, pack: bool
) -> None:
    """Write a file and its packed copies: those that there are, and where `pack` says so, others
    that are worth it."""
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    for coding, suffix in SUFFIXES.items():
        packed = (copies or {}).get(coding)
        if packed is None and pack and len(data) >= PACKED_FROM:
            packed = _pack(coding, data)
        if packed is not None and len(packed) <= WORTH * len(data):
            path.with_name(path.name + suffix).write_bytes(packed)


def _pack(coding: str, data: bytes) -> bytes | None:
    if coding == "gzip":
        return gzip.compress(data, compresslevel=9, mtime=0)
    try:
        import brotli
    except ModuleNotFoundError:
        return None  # whoever serves the folder may have one
    made: bytes = brotli.compress(data, quality=11, lgwin=24)
    return made


def _write_marker(folder: Path, site: Site) -> None:
    files = {
        name: {
            "bytes": (folder / name).stat().st_size,
            "sha256": hashlib.sha256((folder / name).read_bytes()).hexdigest(),
        }
        for name in sorted(_names(folder))
    }
    marker = {"thimble": site.build["version"], "build": site.build["build"], "files": files}
    (folder / MARKER).write_text(json.dumps(marker, indent=1) + "\n", encoding="utf-8")


def _report(folder: Path, site: Site) -> dict[str, Any]:
    """How big the parts are, as files and as a browser that knows brotli receives them."""
    models = {model["file"]: f"model {model['name']}" for model in site.build["models"]}
    named = (value for value in site.build.values() if isinstance(value, str))
    python = tuple(value for value in named if value.startswith("assets/"))
    parts: dict[str, dict[str, int]] = {}
    packed = {"files": 0, "bytes": 0}
    for name in sorted(_names(folder)):
        size = (folder / name).stat().st_size
        if name.endswith(tuple(SUFFIXES.values())):
            packed = {"files": packed["files"] + 1, "bytes": packed["bytes"] + size}
            continue
        if name.startswith(python):
            part = "Python and engine"
        elif name.endswith(".map"):
            part = "source maps"
        else:
            part = models.get(name, "pages and scripts")
        sums = parts.setdefault(part, {"files": 0, "bytes": 0, "transferred": 0})
        beside = folder / (name + SUFFIXES["br"])
        sums["files"] += 1
        sums["bytes"] += size
        sums["transferred"] += beside.stat().st_size if beside.is_file() else size
    return {
        "build": site.build["build"],
        "models": [model["name"] for model in site.build["models"]],
        "files": packed["files"] + sum(part["files"] for part in parts.values()),
        "bytes": packed["bytes"] + sum(part["bytes"] for part in parts.values()),
        "parts": parts,
        "packed": packed,
    }


def lines(report: Mapping[str, Any]) -> Iterator[str]:
    """The report for people."""
    yield f"{'':<28} {'files':>6} {'bytes':>12} {'with brotli':>12}"
    for name, part in report["parts"].items():
        yield f"{name:<28} {part['files']:>6} {part['bytes']:>12,} {part['transferred']:>12,}"
    packed = report["packed"]
    yield f"{'packed copies':<28} {packed['files']:>6} {packed['bytes']:>12,}"
    yield f"{'all of ' + report['folder']:<28} {report['files']:>6} {report['bytes']:>12,}"


@contextlib.contextmanager
def _whole(folder: Path) -> Iterator[Path]:
    """A new folder that takes the place of `folder` at the end, and vanishes if that is not
    reached."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    _sweep(folder)
    fresh = folder.with_name(f".{folder.name}.{os.getpid()}.new")
    fresh.mkdir()
    try:
        yield fresh
        _swap(fresh, folder)
    except BaseException:
        shutil.rmtree(fresh, ignore_errors=True)
        raise


def _swap(fresh: Path, folder: Path) -> None:
    aside = fresh.with_suffix(".old")
    if folder.exists():
        folder.rename(aside)
    try:
        fresh.rename(folder)
    except BaseException:
        if aside.exists():
            aside.rename(folder)
        raise
    shutil.rmtree(aside, ignore_errors=True)


def _sweep(folder: Path) -> None:
    """Remove what killed exports into this folder have left beside it."""
    if sys.platform == "win32":
        return  # nobody can be asked there whether a process lives without ending it
    for path in folder.parent.glob(f".{folder.name}.*.*"):
        process, suffix = path.name.removeprefix(f".{folder.name}.").rsplit(".", 1)
        if suffix in ("new", "old") and process.isdigit() and not _lives(int(process)):
            if suffix == "old" and not folder.exists():
                path.rename(folder)  # it was killed between the two renames
            else:
                shutil.rmtree(path, ignore_errors=True)


def _lives(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True
