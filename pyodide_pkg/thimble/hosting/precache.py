"""The service worker's list: which files of a site it keeps, their digests and their headers.

The list is the first line of `service-worker.js`, a statement of JavaScript whose value is JSON. A
browser compares the file's bytes to find out whether there is a new version, so whatever a version
consists of has to show in it. The browser keeps that file where no script of the page can write, so
the list is what the service worker trusts: it answers with nothing but bytes that have these
digests, under these headers. `web/src/service-worker.ts` uses it.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote, unquote

from .headers import (
    FETCHING_HEADERS,
    FILE_HEADERS,
    FRAME_HEADERS,
    MEDIA_TYPES,
    SECURITY_HEADERS,
)

NAME = "service-worker.js"
WITHDRAWN = "service-worker.withdrawn.js"
"""To be put in its place where offline use is taken back; see docs/offline.md."""

PAGE = "./"
FETCHING = "save-model/"
"""The page that may reach other hosts (docs/offline.md)."""
BUILD = "build.json"

_BEGIN = b"self.THIMBLE_PRECACHE="
_END = b";\n"


def pages(build: Mapping[str, Any]) -> list[str]:
    """The addresses of what the server renders: the page, and those that stand in frames.

    They end with a slash, as no file does.
    """
    frames = [f"embed/{quote(model['name'], safe='')}/" for model in build["models"]]
    return [PAGE, FETCHING, *frames]


def file_of(page: str) -> str:
    """Where a page lies that is a file of an export."""
    return unquote(page).removeprefix(PAGE) + "index.html"


def integrity(data: bytes) -> str:
    """A digest as browsers check it (Subresource Integrity)."""
    return "sha256-" + base64.b64encode(hashlib.sha256(data).digest()).decode()


def listing(
    files: Mapping[str, bytes], extras: Mapping[str, bytes], build: Mapping[str, Any]
) -> bytes:
    """The list as the first line of the service worker.

    `files` are kept by an install, `extras` when something asks for them. Files below assets/ are
    named by their content; others get a revision. So do the pages, and a digest, once they are
    rendered: see `for_pages`.
    """
    entries = _pages(build)
    for name, data in sorted(files.items()):
        revision = None if name.startswith("assets/") else _revision(data)
        entries.append({"url": name, "revision": revision, "integrity": integrity(data)})
    later = [{"url": name, "integrity": integrity(data)} for name, data in sorted(extras.items())]
    headers = {
        "page": SECURITY_HEADERS,
        "fetching": FETCHING_HEADERS,
        "frame": FRAME_HEADERS,
        "file": FILE_HEADERS,
    }
    value = {"build": str(build["build"]), "entries": entries, "extras": later}
    return _line({**value, "headers": headers, "types": MEDIA_TYPES})


def for_build(worker: bytes, build: Mapping[str, Any], build_json: bytes) -> bytes:
    """The service worker of a site whose `build.json` is another: with models of one's own."""
    value, rest = _split(worker)
    value["build"] = str(build["build"])
    files = [entry for entry in value["entries"] if not entry["url"].endswith("/")]
    value["entries"] = _pages(build) + files
    for entry in files:
        if entry["url"] == BUILD:
            entry["revision"], entry["integrity"] = _revision(build_json), integrity(build_json)
    return _line(value) + rest


def for_pages(worker: bytes, rendered: Mapping[str, bytes]) -> bytes:
    """The service worker of a site whose pages are these, by their addresses in `pages`."""
    value, rest = _split(worker)
    for entry in value["entries"]:
        if entry["url"].endswith("/"):
            page = rendered[entry["url"]]
            entry["revision"], entry["integrity"] = _revision(page), integrity(page)
    return _line(value) + rest


def read(worker: bytes) -> dict[str, Any]:
    """The list in a service worker. Raises ValueError where there is none."""
    line, _, _ = worker.partition(_END)
    if not line.startswith(_BEGIN):
        raise ValueError(f"{NAME} begins with {line[:40]!r}, not with its list of files")
    value: dict[str, Any] = json.loads(line.removeprefix(_BEGIN))
    return value


def _split(worker: bytes) -> tuple[dict[str, Any], bytes]:
    return read(worker), worker.partition(_END)[2]


def _revision(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:16]


def _pages(build: Mapping[str, Any]) -> list[dict[str, Any]]:
    return [{"url": url, "revision": str(build["build"])[:16]} for url in pages(build)]


def _line(value: Mapping[str, Any]) -> bytes:
    # ASCII without "<" needs no thought about encodings or where the script is put.
    return _BEGIN + json.dumps(value, separators=(",", ":")).encode() + _END
