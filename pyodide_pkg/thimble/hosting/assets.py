"""The files of a built site as HTTP answers: coding, validators, ranges, caching.

Everything that can be known beforehand is: an answer's headers are built once, small bodies are
kept in memory, and a request for one passes no routing. It knows no template and no address but
those of the files that there are, so that nothing else can be asked for.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from starlette.responses import FileResponse, Response
from starlette.types import Receive, Scope, Send

from ..errors import ThimbleError
from . import precache
from .headers import media_type
from .models import OwnModel, with_models

IMMUTABLE = "public, max-age=31536000, immutable"
REVALIDATE = "no-cache"

SUFFIXES = {"br": ".br", "gzip": ".gz"}
"""Content codings in the order in which we like them, and how their files are named."""

SMALL = 512 * 1024
"""Bytes of a file that is answered from memory; all smaller files of a site are a few megabytes."""
CHUNK = 256 * 1024
"""Bytes of a larger file that are read at once: each reading waits for another thread."""
SMALL_CHUNK = 32 * 1024
MANY = 64
"""More answers under way than these get the small chunks: each holds one while its client reads."""

OK, NOT_MODIFIED = b"HTTP/1.1 200 OK\r\n", b"HTTP/1.1 304 Not Modified\r\n"

RawHeaders = list[tuple[bytes, bytes]]


class SiteError(ThimbleError):
    """The built site is missing or unreadable."""


class File(FileResponse):
    """A file from the disk, or the ranges of it that a client asks for."""

    under_way = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        File.under_way += 1
        self.chunk_size = CHUNK if File.under_way <= MANY else SMALL_CHUNK
        try:
            await super().__call__(scope, receive, send)
        finally:
            File.under_way -= 1


def raw(headers: Mapping[str, str]) -> RawHeaders:
    """Headers as ASGI sends them."""
    return [(name.lower().encode(), value.encode()) for name, value in headers.items()]


@dataclass(frozen=True, slots=True)
class Copy:
    """A file in one content coding, ready to be sent."""

    etag: str
    size: int
    headers: RawHeaders
    unchanged: RawHeaders
    """The headers of a 304."""
    lines: bytes
    """`headers` as they are written, with the empty line."""
    unchanged_lines: bytes
    body: bytes | None
    """None for what is read from `path`."""
    path: Path | None


class Asset:
    """One file and its precompressed copies."""

    def __init__(
        self, contents: Mapping[str, Path | bytes], media_type: str, headers: Mapping[str, str]
    ) -> None:
        """`contents` from content coding to a file or its bytes; `identity` is always there."""
        self.media_type = media_type
        self.copies: dict[str, Copy] = {}
        vary = {"Vary": "Accept-Encoding"} if len(contents) > 1 else {}
        for coding, content in contents.items():
            self.copies[coding] = _copy(coding, content, media_type, {**headers, **vary})
        self._codings = tuple(self.copies)

    def read(self, coding: str = "identity") -> bytes:
        """The bytes of the copy in a coding."""
        copy = self.copies[coding]
        if copy.body is not None:
            return copy.body
        assert copy.path is not None
        return copy.path.read_bytes()

    def _chosen(self, headers: Iterable[tuple[bytes, bytes]]) -> tuple[Copy, bool, bool]:
        """The copy that a request's headers ask for, whether they know it, and whether they ask
        for a range of it."""
        accept = known = None
        ranged = False
        for name, value in headers:
            if name == b"accept-encoding":
                accept = value
            elif name == b"if-none-match":
                known = value
            elif name == b"range":
                ranged = True
        # A range of a compressed copy would be a range of other bytes.
        coding = "identity" if ranged or accept is None else _negotiated(accept, self._codings)
        copy = self.copies[coding]
        return copy, known is not None and is_known(known.decode("latin-1"), copy.etag), ranged

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a GET or HEAD: an ASGI application, and so also a response of Starlette's."""
        copy, unchanged, ranged = self._chosen(scope["headers"])
        if unchanged:
            await _send(send, 304, copy.unchanged, b"")
        elif copy.body is not None and not ranged:
            body = b"" if scope["method"] == "HEAD" else copy.body
            await _send(send, 200, copy.headers, body)
        else:
            await self._from_disk(copy)(scope, receive, send)

    def ready(
        self, headers: Iterable[tuple[bytes, bytes]], method: bytes
    ) -> tuple[bytes, bytes, bytes] | None:
        """The same answer as it is written: status line, headers, body. None where it is none to a
        GET or HEAD, or has to be read."""
        if method not in (b"GET", b"HEAD"):
            return None
        copy, unchanged, ranged = self._chosen(headers)
        if unchanged:
            return NOT_MODIFIED, copy.unchanged_lines, b""
        if ranged or copy.body is None:
            return None
        return OK, copy.lines, b"" if method == b"HEAD" else copy.body

    def _from_disk(self, copy: Copy) -> Response:
        headers = {name.decode(): value.decode() for name, value in copy.headers}
        if copy.path is None:
            assert copy.body is not None
            return Response(copy.body, headers=headers)  # a range may be answered with the whole
        del headers["content-length"]  # a range has another
        return File(copy.path, headers=headers)


async def _send(send: Send, status: int, headers: RawHeaders, body: bytes) -> None:
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def _copy(coding: str, content: Path | bytes, media_type: str, common: Mapping[str, str]) -> Copy:
    # The tag is of the bytes that are sent: the same content may be packed another way some day.
    if isinstance(content, bytes):
        body: bytes | None = content
        path, size, digest = None, len(content), hashlib.sha256(content)
    else:
        path, size = content, content.stat().st_size
        with content.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256")
        body = content.read_bytes() if size <= SMALL else None
    headers = {"ETag": f'"{digest.hexdigest()[:32]}"', **common}
    full = {**headers, "Content-Type": media_type, "Content-Length": str(size)}
    if coding != "identity":
        full["Content-Encoding"] = coding
    if path is not None:
        full["Accept-Ranges"] = "bytes"
    head, unchanged = raw(full), raw(headers)
    etag = headers["ETag"]
    return Copy(etag, size, head, unchanged, lines(head), lines(unchanged), body, path)


def lines(headers: RawHeaders) -> bytes:
    """Headers as HTTP/1.1 writes them, with the empty line at their end."""
    return b"".join(b"%b: %b\r\n" % pair for pair in headers) + b"\r\n"


def is_known(known: str, etag: str) -> bool:
    """Whether an `If-None-Match` names the representation with this tag."""
    tags = {tag.strip().removeprefix("W/") for tag in known.split(",")}
    return etag in tags or "*" in tags


def negotiate(accept: str | None, available: Sequence[str]) -> str:
    """The content coding to send: the client's highest weight, then our own order (RFC 9110)."""
    if accept is None:
        return "identity"
    weights: dict[str, float] = {}
    for item in accept.lower().split(","):
        coding, _, parameters = item.partition(";")
        match = re.search(r"(?:^|;)\s*q\s*=\s*([^;]*)", parameters)
        try:
            weights[coding.strip()] = float(match[1]) if match else 1.0
        except ValueError:
            weights[coding.strip()] = 0.0
    best, best_weight = "identity", weights.get("identity", 0.0)
    for coding in SUFFIXES:
        weight = weights.get(coding, weights.get("*", 0.0))
        # On equal weight a smaller body wins over identity, and br (first) over gzip.
        if coding in available and weight > 0 and (
            weight > best_weight or (weight == best_weight and best == "identity")
        ):  # fmt: skip
            best, best_weight = coding, weight
    return best


def _negotiated(accept: bytes, available: tuple[str, ...]) -> str:
    # Browsers send a handful of values; only such short ones are worth remembering.
    if len(accept) <= 64:
        return _remembered(accept, available)
    return negotiate(accept.decode("latin-1"), available)


@lru_cache(maxsize=256)
def _remembered(accept: bytes, available: tuple[str, ...]) -> str:
    return negotiate(accept.decode("latin-1"), available)


def packed(data: bytes) -> dict[str, Path | bytes]:
    """Something made at run time, and its gzip copy."""
    return {"identity": data, "gzip": gzip.compress(data, mtime=0)}


class Site:
    """The built site: an index of the files there are, so that no other path can be asked for."""

    def __init__(
        self,
        folder: Path,
        *,
        headers: Mapping[str, str] | None = None,
        own: Sequence[OwnModel] = (),
        only: Sequence[str] | None = None,
    ) -> None:
        """`headers` go on every answer; `own` models are offered beside the built ones; `only`
        names those that are offered at all, the default one first."""
        self.folder = folder
        self.headers = dict(headers or {})
        try:
            self._listed = (folder / "build.json").read_bytes()
            listed: dict[str, Any] = json.loads(self._listed)
        except (OSError, ValueError) as error:
            raise SiteError(f"no built site in {folder} ({error}): run `make site`") from error
        self.build = with_models(listed, own, only)
        offered = {model["file"] for model in self.build["models"]}
        left_out = {model["file"] for model in listed["models"]} - offered
        self.assets: dict[str, Asset] = {}
        self.ready: dict[bytes, Asset] = {}
        """The same by the address that a request names, where that is written plainly."""
        for path in sorted(folder.rglob("*")):
            name = path.relative_to(folder).as_posix()
            if path.is_file() and path.suffix not in SUFFIXES.values() and name not in left_out:
                self._add(name, _copies(path))
        for model in own:
            if model.file in offered:
                self._add(model.file, {"identity": model.path})
        if self.build != listed:
            self._add_json("build.json", self.build)
            self._renew_service_worker()
        self._add_json("models.json", {"models": self._models()})

    def _add(self, name: str, contents: Mapping[str, Path | bytes]) -> None:
        caching = IMMUTABLE if name.startswith("assets/") else REVALIDATE
        asset = Asset(contents, media_type(name), {"Cache-Control": caching, **self.headers})
        self.assets[name] = self.ready[f"/{name}".encode()] = asset

    def replace(self, name: str, data: bytes) -> None:
        """Answer with other bytes under a file's name."""
        self._add(name, packed(data))

    def _add_json(self, name: str, value: dict[str, Any]) -> None:
        text = json.dumps(value, indent=1, ensure_ascii=False) + "\n"
        self.replace(name, text.encode())

    def _renew_service_worker(self) -> None:
        """Another `build.json` is another version for browsers that keep the site."""
        worker = self.assets.get(precache.NAME)
        if worker is not None and self.build.get("offline", True):
            listed = self.assets[precache.BUILD].read()
            renewed = precache.for_build(worker.read(), self.build, listed)
            self.replace(precache.NAME, renewed)

    def _models(self) -> list[dict[str, Any]]:
        wanted = ("name", "title", "bytes", "sha256", "license", "parameters", "chat", "default")
        return [
            {key: model[key] for key in wanted if key in model} | {"url": model["file"]}
            for model in self.build["models"]
        ]

    def is_current(self) -> bool:
        """Whether the folder still holds the build that this is an index of."""
        try:
            return (self.folder / "build.json").read_bytes() == self._listed
        except OSError:
            return False

    def url(self, name: str) -> str:
        """The hashed, relative URL of a source file's name."""
        try:
            return str(self.build["assets"][name])
        except KeyError:
            raise SiteError(f"build.json lists no asset {name!r}: run `make site`") from None


def _copies(path: Path) -> dict[str, Path | bytes]:
    """A file and the packed copies beside it."""
    found: dict[str, Path | bytes] = {"identity": path}
    for coding, suffix in SUFFIXES.items():
        beside = path.with_name(path.name + suffix)
        if beside.is_file():
            found[coding] = beside
    return found
