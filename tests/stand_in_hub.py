"""A host of files on this machine that answers as told: whole, in ranges, broken off, or not.

It also answers as Hugging Face's hub documents: the list of a repository's files, and redirects
that tell the SHA-256 of a file.
"""

from __future__ import annotations

import hashlib
import json
import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote


@dataclass
class Held:
    """A file, and how its next requests are answered."""

    data: bytes
    ranges: bool = True
    etag: str | None = '"one"'
    breaks: deque[int] = field(default_factory=deque)
    """After so many bytes of a body the connection ends, one request after the other."""
    statuses: deque[int] = field(default_factory=deque)
    """What the next requests get instead."""
    length: bool = True
    headers: dict[str, str] = field(default_factory=dict)
    redirect: str | None = None
    token: str | None = None
    """What the Authorization header must hold."""


class Host:
    """The files by their paths, and the requests that came: (path, headers)."""

    def __init__(self, address: str) -> None:
        self.address = address
        self.files: dict[str, Held] = {}
        self.asked: list[tuple[str, dict[str, str]]] = []

    def hold(self, path: str, data: bytes, **how: object) -> Held:
        self.files[path] = Held(data, **how)  # type: ignore[arg-type]
        return self.files[path]

    def repository(self, name: str, files: dict[str, bytes], *, token: str | None = None) -> None:
        """What the hub knows of a repository; the files themselves come from another path."""
        tree = []
        for path, data in files.items():
            digest = hashlib.sha256(data).hexdigest()
            lfs = {"oid": digest, "size": len(data), "pointerSize": 134}
            tree.append({"type": "file", "path": path, "size": len(data), "oid": "0", "lfs": lfs})
            self.hold(f"/cdn/{digest}", data, etag=f'"{digest}"')
            self.hold(
                f"/{name}/resolve/main/{path}", b"", redirect=f"/cdn/{digest}", token=token,
                headers={"X-Linked-Etag": f'"{digest}"', "X-Linked-Size": str(len(data))},
            )  # fmt: skip
        listed = json.dumps(tree).encode()
        self.hold(f"/api/models/{name}/tree/main", listed, token=token, ranges=False)

    def ranges(self) -> list[str | None]:
        return [headers.get("range") for _, headers in self.asked]


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    host: Host

    def log_message(self, format: str, *args: object) -> None:
        pass

    def do_GET(self) -> None:
        path = unquote(self.path.partition("?")[0])
        headers = {name.lower(): value for name, value in self.headers.items()}
        self.host.asked.append((self.path, headers))
        held = self.host.files.get(path)
        if held is None:
            self._say(404, {"X-Error-Code": "EntryNotFound"})
        elif held.token is not None and headers.get("authorization") != f"Bearer {held.token}":
            self._say(401, {"X-Error-Code": "GatedRepo"})
        elif held.statuses:
            self._say(held.statuses.popleft(), {"Retry-After": "0"})
        elif held.redirect:
            self._say(302, {"Location": held.redirect, **held.headers})
        else:
            self._send(held, headers)

    def _say(self, status: int, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in {**headers, "Content-Length": "0"}.items():
            self.send_header(name, value)
        self.end_headers()

    def _send(self, held: Held, headers: dict[str, str]) -> None:
        data, begin = held.data, 0
        wanted = headers.get("range")
        same = headers.get("if-range") in (None, held.etag)
        if wanted and held.ranges and same:
            begin = int(wanted.removeprefix("bytes=").rstrip("-"))
            if begin >= len(data):
                self._say(416, {"Content-Range": f"bytes */{len(data)}"})
                return
            self.send_response(206)
            self.send_header("Content-Range", f"bytes {begin}-{len(data) - 1}/{len(data)}")
        else:
            self.send_response(200)
        if held.etag:
            self.send_header("ETag", held.etag)
        for name, value in held.headers.items():
            self.send_header(name, value)
        if held.length:
            self.send_header("Content-Length", str(len(data) - begin))
        else:
            self.close_connection = True
        self.end_headers()
        body = data[begin:]
        if held.breaks:
            body, self.close_connection = body[: held.breaks.popleft()], True
        self.wfile.write(body)


@contextmanager
def serving() -> Iterator[Host]:
    """A host that is there until the end of the block."""
    handler: Any = type("Handler", (_Handler,), {})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    server.handle_error = lambda *_: None  # type: ignore[method-assign]  # who asked has gone away
    handler.host = Host(f"http://127.0.0.1:{server.server_address[1]}")
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield handler.host
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
