"""A client that asks for files as fast as they come: HTTP/1.1 over kept connections, nothing else.

It knows as much of HTTP as our server's answers need: a status, a Content-Length, a body. Each
connection has one request under way; a latency is the time from sending it to the last byte.
"""

from __future__ import annotations

import asyncio
import time
from array import array
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import cast


@dataclass(frozen=True, slots=True)
class Ask:
    """One request, and what is right as an answer."""

    path: str
    status: int
    length: int
    """Bytes of the body."""
    headers: tuple[tuple[str, str], ...] = ()

    def encode(self, host: str) -> bytes:
        lines = [f"GET {self.path} HTTP/1.1", f"Host: {host}"]
        lines += [f"{name}: {value}" for name, value in self.headers]
        return "\r\n".join([*lines, "", ""]).encode()


@dataclass(slots=True)
class Tally:
    """What has come."""

    latencies: array[float] = field(default_factory=lambda: array("d"))
    """Seconds, in the order in which answers ended."""
    received: int = 0
    """Bytes, headers included."""
    errors: Counter[str] = field(default_factory=Counter)
    seconds: float = 0.0

    def quantile(self, part: float) -> float:
        """The latency that this part of all answers kept to."""
        ordered = sorted(self.latencies)
        return ordered[min(len(ordered) - 1, int(part * len(ordered)))]


class _Connection(asyncio.Protocol):
    """Goes round the requests, one at a time, until it is told to stop."""

    def __init__(self, asks: Sequence[tuple[bytes, Ask]], first: int, tally: Tally) -> None:
        self._asks = asks
        self._next = first % len(asks)
        self._tally = tally
        self._head = b""
        self._missing = -1  # bytes of the body; -1 while the head is incomplete
        self._sent = 0.0
        self._stopping = False
        self._transport: asyncio.Transport | None = None
        self.ended = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is not one by its class
        self._ask()

    def stop(self) -> None:
        """Ask no more; the answer under way is waited for."""
        self._stopping = True

    def _ask(self) -> None:
        assert self._transport is not None
        if self._stopping:
            self._transport.close()
            return
        data, self._wanted = self._asks[self._next]
        self._next = (self._next + 1) % len(self._asks)
        self._head, self._missing = b"", -1
        self._sent = time.perf_counter()
        self._transport.write(data)

    def data_received(self, data: bytes) -> None:
        self._tally.received += len(data)
        if self._missing < 0:
            self._head += data
            end = self._head.find(b"\r\n\r\n")
            if end < 0:
                return
            self._missing = self._length(self._head[:end]) - (len(self._head) - end - 4)
        else:
            self._missing -= len(data)
        if self._missing == 0:
            self._tally.latencies.append(time.perf_counter() - self._sent)
            self._ask()
        elif self._missing < 0:
            self._fail("more than the answer's length came")

    def _length(self, head: bytes) -> int:
        """Bytes of the body that belongs to a head; what is wrong with it is counted."""
        status = int(head[9:12])
        if status != self._wanted.status:
            self._tally.errors[f"status {status}"] += 1
        if status == 304:
            return 0
        place = head.lower().find(b"content-length:")
        length = int(head[place + 15 :].split(b"\r\n", 1)[0]) if place >= 0 else -1
        if length != self._wanted.length and status == self._wanted.status:
            self._tally.errors["another length"] += 1
        return max(length, 0)

    def _fail(self, why: str) -> None:
        self._tally.errors[why] += 1
        assert self._transport is not None
        self._transport.abort()

    def connection_lost(self, error: Exception | None) -> None:
        if not self._stopping:
            self._tally.errors["connection lost"] += 1
        if not self.ended.done():
            self.ended.set_result(None)


def _same(connection: _Connection) -> _Connection:
    return connection


async def load(
    host: str, port: int, asks: Sequence[Ask], *, seconds: float, connections: int
) -> Tally:
    """Keep so many connections busy for so long. Raises OSError where nobody answers."""
    tally, loop = Tally(), asyncio.get_running_loop()
    encoded = [(ask.encode(f"{host}:{port}"), ask) for ask in asks]
    began = time.perf_counter()
    open_: list[_Connection] = []
    for number in range(connections):
        # Each begins elsewhere in the list, so that all requests are under way at any time.
        made = _Connection(encoded, number * len(asks) // connections, tally)
        _, connection = await loop.create_connection(partial(_same, made), host, port)
        open_.append(connection)
    ended = asyncio.gather(*(connection.ended for connection in open_))
    await asyncio.wait([ended], timeout=seconds)
    for connection in open_:
        connection.stop()
    await asyncio.wait_for(ended, timeout=30)
    tally.seconds = time.perf_counter() - began
    return tally
