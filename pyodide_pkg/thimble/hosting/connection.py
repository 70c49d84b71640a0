"""One visitor's connection: what it may send, how long it may take, and answers that are ready.

Uvicorn's protocol over httptools sets no limit to what a client sends before a request is whole,
nor to how long that takes. Here both have one, and so has how many connections there are. An
answer that lies in memory is written from the parser's own callback, without a task and without
the application, which is most of what a small file costs. It knows HTTP as far as Uvicorn hands it
on, and of the site only that it may be asked for what is ready.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Callable, Sequence
from typing import Any, Protocol, cast

from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

MAX_HEAD = 32 << 10
"""Bytes of a request's line and headers; browsers send some 700, addresses of long texts 8,000."""
MAX_BODY = 64 << 10
"""Bytes of a request's body, which no address here reads."""
MAX_PIPELINED = 16
"""Requests that wait on one connection for the answer to an earlier one."""
MAX_CONNECTIONS = 2048
"""Open at once in one process."""
REQUEST_SECONDS = 20.0
"""From a request's first byte, or the connection's beginning, to its last."""
IDLE_SECONDS = 75.0
"""Between an answer and the next request; longer than nginx keeps its own (60 s)."""
STALLED_SECONDS = 60.0
"""For which a client may take nothing of an answer that waits for it."""
UNSENT = 16 << 10
"""Bytes of one answer that wait in this process before its making pauses."""
UNSENT_IN_KERNEL = 128 << 10
"""The same in the system's own memory, beyond what is on its way."""
SPARE_FILES = 64
"""Descriptors that are left for what is neither a connection nor the file it is answered with."""

STATE = "thimble.ready"
"""The name, in the application's lifespan state, of what finds a ready answer."""

_UNIX = getattr(socket, "AF_UNIX", None)
_IDLE, _HEAD, _BODY = range(3)

Headers = Sequence[tuple[bytes, bytes]]


class Ready(Protocol):
    """An answer that needs no application."""

    def ready(self, headers: Headers, method: bytes) -> tuple[bytes, bytes, bytes] | None:
        """Status line, headers with the empty line, body; None where it is not so simple."""


Find = Callable[[bytes, Headers], Ready | None]
"""From the address as it was asked for, and the request's headers, to a ready answer."""


def settings() -> dict[str, Any]:
    """What `uvicorn.run` is told so that connections have limits."""
    return {
        "http": f"{__name__}:Connection",
        "ws": "none",
        "timeout_keep_alive": round(IDLE_SECONDS),
        "server_header": False,
    }


def refusal(status: str, words: str) -> bytes:
    """A whole answer that ends the connection."""
    body = words.encode()
    head = (
        f"HTTP/1.1 {status}\r\ncontent-type: text/plain; charset=utf-8\r\n"
        f"content-length: {len(body)}\r\ncache-control: no-store\r\nconnection: close\r\n\r\n"
    )
    return head.encode() + body


class Watch:
    """All connections of a process, looked at once a second: who has to go."""

    def __init__(self, state: ServerState, loop: asyncio.AbstractEventLoop) -> None:
        self.connections = cast("set[Connection]", state.connections)
        self.most = most_connections()
        self._loop = loop
        self._tick()

    def _tick(self) -> None:
        now = self._loop.time()
        for connection in tuple(self.connections):
            connection.check(now)
        self._loop.call_later(1.0, self._tick)

    def make_room(self, newest: Connection) -> None:
        """Where there are too many, end those that have waited longest for their own client.

        A sixteenth at once, so that a flood of new ones does not sort the old ones each time.
        """
        if len(self.connections) <= self.most:
            return
        others = [(one.waits_since, one) for one in self.connections if one is not newest]
        waiting = [(since, one) for since, one in others if since is not None]
        waiting.sort(key=lambda pair: pair[0])
        for _, connection in waiting[: max(1, self.most // 16)]:
            connection.transport.abort()


def most_connections() -> int:
    """How many this process can have: `MAX_CONNECTIONS`, or what its descriptors allow."""
    try:
        import resource
    except ImportError:  # Windows has no such limit
        return MAX_CONNECTIONS
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 2 * MAX_CONNECTIONS + SPARE_FILES
    if 0 <= soft < wanted:
        soft = wanted if hard < 0 else min(wanted, hard)
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    return MAX_CONNECTIONS if soft < 0 else max(1, min(MAX_CONNECTIONS, (soft - SPARE_FILES) // 2))


class Connection(HttpToolsProtocol):
    """Uvicorn's connection with limits, and with answers that are ready."""

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        watch: Watch | None = getattr(server_state, "watch", None)
        if watch is None:
            watch = Watch(server_state, self.loop)
            server_state.watch = watch  # type: ignore[attr-defined]
        self._watch = watch
        self._find: Find | None = None if self.access_log else app_state.get(STATE)
        self._root = self.root_path.encode()
        self._state = _IDLE
        self._since = self.loop.time()
        """When the request that comes began, the connection was made, or the last answer ended."""
        self._asked = False
        self._bytes = 0
        self._unsent, self._taken = 0, self._since
        self.headers = []

    # What uvloop or asyncio calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(cast(asyncio.Transport, transport))
        self.transport.set_write_buffer_limits(high=UNSENT)
        plain = transport.get_extra_info("socket")
        option = getattr(socket, "TCP_NOTSENT_LOWAT", None)
        if option is not None and plain is not None and plain.family != _UNIX:
            plain.setsockopt(socket.IPPROTO_TCP, option, UNSENT_IN_KERNEL)
        self._watch.make_room(self)

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self._state != _IDLE:
            self._bytes += len(data)
            self._limit()

    def _limit(self) -> None:
        """Refuse a request that is too long, before it is whole or as soon as it is."""
        if self._state == _HEAD and self._bytes > MAX_HEAD:
            self._refuse("431 Request Header Fields Too Large", f"more than {MAX_HEAD:,} bytes")
        elif self._state == _BODY and self._bytes > MAX_HEAD + MAX_BODY:
            self._refuse("413 Content Too Large", f"more than {MAX_BODY:,} bytes")

    def _refuse(self, status: str, words: str) -> None:
        if self.transport.is_closing():
            return
        if self.cycle is None or self.cycle.response_complete:
            self.transport.write(refusal(status, words))
        self.transport.close()

    # What the parser calls.

    def on_message_begin(self) -> None:
        self.url = b""
        self.headers = []
        self._state, self._bytes, self._since = _HEAD, 0, self.loop.time()

    def on_header(self, name: bytes, value: bytes) -> None:
        self.headers.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        self._state, self._asked = _BODY, True
        if self.transport.is_closing() or self._write_ready():
            return
        url, headers = self.url, self.headers
        if len(self.pipeline) >= MAX_PIPELINED or len(url) + _length(headers) > MAX_HEAD:
            self._refuse("431 Request Header Fields Too Large", f"more than {MAX_HEAD:,} bytes")
            return
        super().on_message_begin()
        self.url = url
        for name, value in headers:
            super().on_header(name, value)
        super().on_headers_complete()

    def _write_ready(self) -> bool:
        """Answer from memory where nothing stands against it, and say whether that was done."""
        busy = self.cycle is not None and not self.cycle.response_complete
        if self._find is None or busy or self.pipeline or self.flow.write_paused:
            return False
        found = self._find(self.url.removeprefix(self._root), self.headers)
        parser = self.parser
        if found is None or not parser.should_keep_alive() or parser.should_upgrade():
            return False
        answer = found.ready(self.headers, parser.get_method())
        if answer is None:
            return False
        status, head, body = answer
        date = b"".join(b"%b: %b\r\n" % pair for pair in self.server_state.default_headers)
        self.transport.writelines((status, date, head, body))
        self.server_state.total_requests += 1
        return True

    def on_body(self, body: bytes) -> None:
        if self.cycle is not None:
            super().on_body(body)

    def on_message_complete(self) -> None:
        self._state, self._since = _IDLE, self.loop.time()
        if self.cycle is not None:
            super().on_message_complete()

    def on_response_complete(self) -> None:
        self._since = self.loop.time()
        super().on_response_complete()

    # What the watch asks, once a second.

    @property
    def waits_since(self) -> float | None:
        """Since when nothing happens but for the client; None while an answer is made."""
        if self._state != _IDLE or not self._answering():
            return self._since
        return self._taken if self._unsent else None

    def _answering(self) -> bool:
        return bool(self._unsent) or (self.cycle is not None and not self.cycle.response_complete)

    def check(self, now: float) -> None:
        """End the connection where its client has taken too long."""
        unsent = self.transport.get_write_buffer_size()
        if unsent != self._unsent or not unsent:
            self._unsent, self._taken = unsent, now
        if unsent and now - self._taken > STALLED_SECONDS:
            self.transport.abort()
        elif self._state != _IDLE:
            if now - self._since > REQUEST_SECONDS:
                self._refuse("408 Request Timeout", f"not whole after {REQUEST_SECONDS:g} s")
        elif not self._answering() and now - self._since > self._patience():
            self.transport.close()  # without a word: it would be taken for the next answer

    def _patience(self) -> float:
        return IDLE_SECONDS if self._asked else REQUEST_SECONDS


def _length(headers: Headers) -> int:
    return sum(len(name) + len(value) + 4 for name, value in headers)
