"""What a server does for others while some mean it ill: `make load-hostile`.

    python -m tools.load_hostile [--seconds 20] [--quick]

Starts `thimble serve` over `build/site` on the loopback and, in a process beside it, clients that
never finish a request, clients that never read an answer, and one whose header never ends. Each
that is shut out comes back at once. Meanwhile `/healthz` is asked every few milliseconds, by a new
connection each time. Nothing leaves the machine. Writes `docs/deploy/hostile.json` and the table in
`docs/deploy/README.md`.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

from tools.load_test import DOCS, HOST, SITE, Server, copy_of_site, machine, on_two_cores
from tools.marked import put_between

GOAL = {"p99_ms": 50.0, "memory_bytes": 200_000_000}
BEGUN = b"GET / HTTP/1.1\r\nHost: example.org\r\nX-Begun: "
BETWEEN = 0.005
"""Seconds from one question for `/healthz` to the next."""

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


async def drip(streams: Streams, path: str) -> None:
    """A header that grows by a line a second."""
    reader, writer = streams
    writer.write(BEGUN)
    while not reader.at_eof():
        writer.write(b"b\r\nX-More: ")
        await writer.drain()
        with suppress(TimeoutError):
            await asyncio.wait_for(reader.read(1 << 16), 1.0)


async def half(streams: Streams, path: str) -> None:
    """Half a request, and then silence."""
    reader, writer = streams
    writer.write(BEGUN)
    while await reader.read(1 << 16):
        pass


async def endless(streams: Streams, path: str) -> None:
    """One header, as fast as it is taken."""
    _, writer = streams
    writer.write(BEGUN)
    while True:
        writer.write(b"b" * (64 << 10))
        await writer.drain()


async def deaf(streams: Streams, path: str) -> None:
    """A request for something large, and no reading of it."""
    _, writer = streams
    writer.write(f"GET {path} HTTP/1.1\r\nHost: example.org\r\n\r\n".encode())
    await asyncio.sleep(3600)


Attack = Callable[[Streams, str], Awaitable[None]]
ATTACKS: dict[str, tuple[Attack, int]] = {
    "slow": (drip, 1000),
    "half": (half, 500),
    "endless": (endless, 1),
    "deaf": (deaf, 500),
}
NAMES = {
    "": "nobody else",
    "slow": "1,000 connections, each a header that grows by a line a second",
    "half": "500 half requests",
    "endless": "one header without an end, as fast as it is taken",
    "deaf": "500 that ask for the largest file and read nothing",
    "slow half endless deaf": "all of these together",
}


async def _again(attack: Attack, port: int, path: str) -> None:
    while True:
        with suppress(OSError):
            # A small window: what a client does not read stays with the server.
            with socket.socket() as plain:
                plain.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
                plain.setblocking(False)
                await asyncio.get_running_loop().sock_connect(plain, (HOST, port))
                streams = await asyncio.open_connection(sock=plain.dup(), limit=1 << 12)
            try:
                await attack(streams, path)
            finally:
                streams[1].transport.abort()
        await asyncio.sleep(0.05)


async def attack(names: list[str], port: int, path: str, scale: float) -> None:
    """Carry out the named attacks until this is cancelled."""
    async with asyncio.TaskGroup() as group:
        for name in names:
            how, many = ATTACKS[name]
            for number in range(max(1, round(many * scale))):
                group.create_task(_again(how, port, path))
                if number % 50 == 49:
                    await asyncio.sleep(0.01)


@contextmanager
def under_attack(names: str, port: int, path: str, scale: float = 1.0) -> Iterator[None]:
    """Attackers in a process of their own, that gives way to whoever measures."""
    if not names:
        yield
        return
    command = [sys.executable, "-m", "tools.load_hostile", "--attack", names, "--path", path]
    process = subprocess.Popen([*command, "--port", str(port), "--scale", str(scale)])
    try:
        yield
    finally:
        process.kill()
        process.wait()


def ask(port: int, path: str = "/healthz", timeout: float = 10.0) -> float:
    """Seconds from a new connection to the whole answer. Raises OSError where none comes."""
    began = time.perf_counter()
    with socket.create_connection((HOST, port), timeout) as connection:
        request = f"GET {path} HTTP/1.1\r\nHost: {HOST}\r\nConnection: close\r\n\r\n"
        connection.sendall(request.encode())
        answer = b""
        while part := connection.recv(1 << 16):
            answer += part
    if not answer.startswith(b"HTTP/1.1 200 "):
        raise OSError(f"the server answered {answer[:60]!r}")
    return time.perf_counter() - began


def measure(server: Server, names: str, path: str, seconds: float) -> dict[str, Any]:
    """One row of the table."""
    latencies: list[float] = []
    memory = errors = 0
    with under_attack(names, server.port, path):
        time.sleep(3.0)  # all of them are there
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            try:
                latencies.append(ask(server.port))
            except OSError:
                errors += 1
            memory = max(memory, server.memory())
            time.sleep(BETWEEN)
    latencies.sort()
    return {
        "asked": len(latencies) + errors,
        "errors": errors,
        "p50_ms": round(1000 * latencies[len(latencies) // 2], 2),
        "p99_ms": round(1000 * latencies[int(len(latencies) * 0.99)], 2),
        "longest_ms": round(1000 * latencies[-1], 2),
        "memory_bytes": memory,
    }


def largest(build: dict[str, Any]) -> str:
    """The address of the largest model."""
    return "/" + str(max(build["models"], key=lambda model: int(model["bytes"]))["file"])


def held(row: dict[str, Any]) -> bool:
    """Whether the goal is reached."""
    return not row["errors"] and all(row[name] <= most for name, most in GOAL.items())


def run(seconds: float) -> dict[str, Any]:
    """All rows; the same server throughout, as it would be."""
    with on_two_cores() as (core, _), copy_of_site() as site:
        path = largest(json.loads((site / "build.json").read_text(encoding="utf-8")))
        server = Server(site, core)
        try:
            rows = {names: measure(server, names, path, seconds) for names in NAMES}
        finally:
            server.close()
    return {"rows": rows, "seconds": seconds, "machine": machine()}


def table(result: dict[str, Any]) -> str:
    """The rows for docs/deploy/README.md."""
    lines = [
        "| who else is there | p50 | p99 | longest | errors | memory |",
        "|---|---|---|---|---|---|",
    ]
    for names, title in NAMES.items():
        row = result["rows"][names]
        lines.append(
            f"| {title} | {row['p50_ms']} ms | {row['p99_ms']} ms | {row['longest_ms']} ms | "
            f"{row['errors']} of {row['asked']:,} | {row['memory_bytes'] / 1e6:.0f} MB |"
        )
    about = result["machine"]
    lines += [
        "",
        f"One process on one core of {about['cores']} ({about['processor']}, Python "
        f"{about['python']}), {result['seconds']:g} s for each row.",
    ]
    return "\n".join(lines)


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seconds", type=float, default=20.0, help="of each row (20)")
    parser.add_argument("--quick", action="store_true", help="print and write nothing down")
    parser.add_argument("--attack", help=argparse.SUPPRESS)
    parser.add_argument("--port", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--path", help=argparse.SUPPRESS)
    parser.add_argument("--scale", type=float, default=1.0, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.attack:
        os.nice(10)
        asyncio.run(attack(options.attack.split(), options.port, options.path, options.scale))
    if not (SITE / "build.json").is_file():
        parser.error(f"there is no built site in {SITE}: run `make site`")
    result = run(options.seconds)
    print(table(result))
    worst = result["rows"][list(NAMES)[-1]]
    print("goal:", "held" if held(worst) else "missed", GOAL)
    if not options.quick:
        text = json.dumps(result, indent=1) + "\n"
        (DOCS / "hostile.json").write_text(text, encoding="utf-8")
        put_between(DOCS / "README.md", "hostile", table(result))
    return 0


if __name__ == "__main__":
    sys.exit(main())
