"""One file from an address to a place on the disk: resumed after a break, and checked.

What has come lies beside the place under a name with `.part` until it is whole. After a break the
next byte is asked for, of the same file only (`If-Range`, RFC 9110, 13.1.5); a host without ranges
begins anew. Nothing is left at the place that is not whole and right.
"""

from __future__ import annotations

import contextlib
import hashlib
import http.client
import json
import os
import re
import shutil
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any
from urllib.parse import urlsplit

from ..errors import FormatError, LoadError, OptionError
from .address import check_url, shown

PIECE = 1 << 18
TIMEOUT = 30.0
"""Seconds without a byte after which a connection counts as broken."""
PAUSES = (0.5, 1.0, 2.0, 4.0)
"""Seconds before each new attempt, as long as nothing more comes."""
TOKEN = "HF_TOKEN"
MAGIC = b"GGUF"
_AGAIN = (408, 425, 429, 500, 502, 503, 504)
_RANGE = re.compile(r"bytes (\d+)-(\d+)/(\d+|\*)")
_SHA256 = re.compile(r"[0-9a-f]{64}")

Progress = Callable[[int, int], None]
"""Called with bytes done and bytes in all, 0 where nobody said it."""


class _Redirects(urllib.request.HTTPRedirectHandler):
    """Goes where it is sent, if that is as safe; keeps a token from other hosts, and what the hub
    says of the file on the way."""

    def __init__(self) -> None:
        self.linked: dict[str, str] = {}

    def redirect_request(
        self, req: urllib.request.Request, fp: IO[bytes], code: int, msg: str,
        headers: http.client.HTTPMessage, newurl: str,
    ) -> urllib.request.Request | None:  # fmt: skip
        try:
            check_url(newurl)
            if req.full_url.startswith("https:") and not newurl.startswith("https:"):
                raise OptionError(f"{shown(newurl)} is not https://")
        except OptionError as error:
            raise LoadError(f"{shown(req.full_url)} sends elsewhere: {error}") from None
        for name in ("X-Linked-Etag", "X-Linked-Size"):
            if value := headers.get(name):
                self.linked.setdefault(name, value)
        request = super().redirect_request(req, fp, code, msg, headers, newurl)
        token = req.unredirected_hdrs.get("Authorization")
        if request and token and urlsplit(newurl)[:2] == urlsplit(req.full_url)[:2]:
            request.add_unredirected_header("Authorization", token)
        return request


def _open(
    url: str, headers: dict[str, str], *, hub: bool
) -> tuple[http.client.HTTPResponse, dict[str, str]]:
    """The answer, and what the hub said of the file. Raises LoadError for what will not change."""
    request = urllib.request.Request(url, headers={"Accept-Encoding": "identity", **headers})
    request.add_header("User-Agent", "thimble")
    token = os.environ.get(TOKEN, "").strip() if hub else ""
    if token:
        request.add_unredirected_header("Authorization", f"Bearer {token}")
    redirects = _Redirects()
    try:
        answer = urllib.request.build_opener(redirects).open(request, timeout=TIMEOUT)
    except urllib.error.HTTPError as error:
        if error.code in _AGAIN or error.code == 416:
            raise
        with error:
            raise LoadError(_refusal(url, error, hub=hub, token=bool(token))) from None
    return answer, redirects.linked


def _refusal(url: str, error: urllib.error.HTTPError, *, hub: bool, token: bool) -> str:
    """Why a host gives nothing, and what can be done."""
    host, where = urlsplit(url).netloc, shown(url)
    if hub and error.code in (401, 403):
        if error.headers.get("X-Error-Code") == "RepoNotFound" and token:
            return f"{where}: there is no such repository, or the token in {TOKEN} may not see it"
        page = url.partition("/resolve/")[0].replace("/api/models/", "/").partition("/tree/")[0]
        how = (
            f"the token in {TOKEN} may not read it" if token
            else f"set {TOKEN} to a token of yours"
        )  # fmt: skip
        return f"{where} is gated, private or not there: accept its terms at {page}, and {how}"
    if error.code in (401, 403):
        return f"{host} does not give {where} to everybody (status {error.code})"
    if error.code in (404, 410):
        return f"there is nothing at {where} (status {error.code})"
    return f"{host} answered {where} with status {error.code}"


def read(url: str, most: int, *, hub: bool) -> bytes:
    """What an address says, of `most` bytes at most. Raises LoadError."""
    try:
        answer, _ = _open(url, {}, hub=hub)
        with answer:
            data = answer.read(most + 1)
    except urllib.error.HTTPError as error:
        with error:
            raise LoadError(_refusal(url, error, hub=hub, token=False)) from None
    except (OSError, http.client.HTTPException) as error:
        raise LoadError(f"{urlsplit(url).netloc} cannot be asked: {_reason(error)}") from None
    if len(data) > most:
        raise LoadError(f"{shown(url)} has more than {most:,} bytes")
    return data


def _reason(error: Exception) -> str:
    reason = getattr(error, "reason", None) or error
    return str(getattr(reason, "strerror", None) or reason) or type(error).__name__


class Download:
    """The way of one file, `source` being what tells it from others under the same name."""

    def __init__(
        self,
        url: str,
        place: Path,
        *,
        source: str,
        sha256: str | None = None,
        hub: bool = False,
        progress: Progress | None = None,
    ) -> None:
        self.url, self.place, self.wanted, self.hub = url, place, sha256, hub
        self._progress = progress
        self._part = place.with_name(f".{place.name}.part")
        self._notes = place.with_name(f".{place.name}.part.json")
        self._known: dict[str, Any] = {"source": source, "etag": None, "total": None}
        self._at = 0
        self._digest = hashlib.sha256()
        self._received = 0
        self._answered = False

    def run(self) -> str:
        """Bring it to its place; returns its SHA-256.

        Raises LoadError where it does not come, with what has come kept for the next time;
        FormatError where it is another file than was wanted, or no model.
        """
        self.place.parent.mkdir(parents=True, exist_ok=True)
        with self._part.open("ab") as file, _alone(file, self._part):
            self._take_up(file)
            self._fetch(file)
            found = self._digest.hexdigest()
            if self.wanted and found != self.wanted:
                self._drop()
                raise FormatError(
                    f"{shown(self.url)} has SHA-256 {found}; {self.wanted} was expected, so it was "
                    "changed on its way or is another file"
                )
            file.flush()
            os.fsync(file.fileno())
        os.replace(self._part, self.place)
        self._notes.unlink(missing_ok=True)
        return found

    def _take_up(self, file: IO[bytes]) -> None:
        """Go on from what an earlier attempt left of the same file."""
        with contextlib.suppress(OSError, ValueError):
            known = json.loads(self._notes.read_bytes())
            if isinstance(known, dict) and known.get("source") == self._known["source"]:
                self._known = known
                with self._part.open("rb") as there:
                    while piece := there.read(PIECE):
                        self._digest.update(piece)
                        self._at += len(piece)
                return
        self._restart(file)

    def _restart(self, file: IO[bytes]) -> None:
        file.truncate(0)
        self._at, self._digest = 0, hashlib.sha256()
        self._known |= {"etag": None, "total": None}
        # What lies there counts for nothing without these notes.
        self._notes.write_text(json.dumps(self._known), encoding="utf-8")

    def _fetch(self, file: IO[bytes]) -> None:
        """Attempts, until all is there."""
        failures = 0
        while True:
            before = self._received
            try:
                if self._attempt(file):
                    return
                error: Exception = LoadError("the connection ended")
            except (OSError, http.client.HTTPException) as broken:
                error = broken
                self._answered |= isinstance(broken, urllib.error.HTTPError)
            failures = 0 if self._received > before else failures + 1
            if failures > len(PAUSES) or not self._answered:
                kept = f"; the next attempt goes on at byte {self._at:,}" if self._at else ""
                host = urlsplit(self.url).netloc
                raise LoadError(f"{host} cannot be reached: {_reason(error)}{kept}")
            time.sleep(_pause(error, failures))

    def _attempt(self, file: IO[bytes]) -> bool:
        """Ask for what is missing and take what comes; whether that was all."""
        headers: dict[str, str] = {}
        etag = self._known["etag"]
        if self._at:
            headers["Range"] = f"bytes={self._at}-"
            if etag and not etag.startswith("W/"):
                headers["If-Range"] = etag
        try:
            answer, linked = _open(self.url, headers, hub=self.hub)
        except urllib.error.HTTPError as error:
            if error.code != 416:
                raise
            with error:
                size = (error.headers.get("Content-Range") or "").rpartition("/")[2]
            if size == str(self._at):
                return True
            self._restart(file)
            return False
        self._answered = True
        with answer:
            if not self._goes_on(answer):
                self._restart(file)
                if answer.status == 206:
                    return False  # the middle of another file
            self._note(answer, linked)
            return self._take(file, answer)

    def _goes_on(self, answer: http.client.HTTPResponse) -> bool:
        """Whether the answer begins where what is here ends, and is of the same file."""
        if answer.status != 206:
            return self._at == 0
        match = _RANGE.fullmatch(answer.headers.get("Content-Range", ""))
        etag, known = answer.headers.get("ETag"), self._known
        return (
            match is not None
            and int(match[1]) == self._at
            and (known["total"] is None or match[3] in ("*", str(known["total"])))
            and (known["etag"] is None or etag is None or etag == known["etag"])
        )

    def _note(self, answer: http.client.HTTPResponse, linked: dict[str, str]) -> None:
        """Remember what the host says of the file, and refuse what cannot be right."""
        if answer.headers.get("Content-Encoding", "identity") != "identity":
            raise LoadError(f"{shown(self.url)} comes packed, which nobody asked for")
        length = answer.headers.get("Content-Length", "")
        if length.isdigit() and len(length) < 16:
            free = shutil.disk_usage(self.place.parent).free
            if int(length) > free:
                raise LoadError(
                    f"{self.place.name} needs {int(length):,} bytes more in {self.place.parent}, "
                    f"where {free:,} are free"
                )
            self._known["total"] = self._at + int(length)
        self._known["etag"] = answer.headers.get("ETag")
        self._notes.write_text(json.dumps(self._known), encoding="utf-8")
        said = linked.get("X-Linked-Etag") or answer.headers.get("X-Linked-Etag") or ""
        if self.hub and _SHA256.fullmatch(said := said.strip('"')):
            if self.wanted and self.wanted != said:
                raise FormatError(
                    f"the hub says that {shown(self.url)} has SHA-256 {said}; {self.wanted} was "
                    "expected"
                )
            self.wanted = said

    def _take(self, file: IO[bytes], answer: http.client.HTTPResponse) -> bool:
        total = self._known["total"]
        while piece := answer.read1(PIECE):
            if self._at == 0 and not piece.startswith(MAGIC[: len(piece)]):
                self._drop()
                raise FormatError(
                    f"{shown(self.url)} is no GGUF file: it begins with {piece[:16]!r}"
                )
            try:
                file.write(piece)
            except OSError as error:  # not the connection's
                raise LoadError(f"{self._part}: {error.strerror or error}") from None
            self._digest.update(piece)
            self._at += len(piece)
            self._received += len(piece)
            if self._progress:
                self._progress(self._at, total or 0)
        file.flush()
        # Without a length the end of the body is the end of the file: in chunks it is marked.
        return total is None or self._at == total

    def _drop(self) -> None:
        """Leave nothing of what is not wanted."""
        self._part.unlink(missing_ok=True)
        self._notes.unlink(missing_ok=True)


def _pause(error: Exception, failures: int) -> float:
    """Seconds until the next attempt: what the host asks for, up to a minute, or ours."""
    if isinstance(error, urllib.error.HTTPError):
        with error:
            asked = error.headers.get("Retry-After") or ""
        if asked.isdigit() and len(asked) < 6:
            return min(float(asked), 60.0)
    return PAUSES[max(0, failures - 1)]


@contextlib.contextmanager
def _alone(file: IO[bytes], part: Path) -> Iterator[None]:
    """Hold the file, so that no other program writes into it too."""
    try:
        import fcntl
    except ImportError:  # Windows
        yield
        return
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        raise LoadError(f"another program is downloading {part.name[1:-5]} just now") from None
    yield
