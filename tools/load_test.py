"""How many requests a second one process on one core answers: `make load`.

    python -m tools.load_test [--seconds 60] [--connections 32] [--quick]

Starts `thimble serve` over `build/site` on the loopback, on a core of its own, and asks from
another (`load_client.py`): for the small files of a page, as a CDN or a first visitor would; for
what a visitor who has been here asks again; and for everything of a first visit. Nothing leaves the
machine. Writes `docs/deploy/load.json`, and the table in `docs/deploy/README.md`.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import platform
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Coroutine, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tools import servers, size_report
from tools.fingerprint import BUILD, ROOT
from tools.load_client import Ask, Tally, load
from tools.marked import put_between

SITE = BUILD / "site"
DOCS = ROOT / "docs" / "deploy"
HOST = "127.0.0.1"
ACCEPT = ("Accept-Encoding", "gzip, deflate, br")
WARM_UP = 2.0
"""Seconds before anything counts: the server's caches fill, its memory settles."""
MOST_SECONDS, MOST_CONNECTIONS = 600, 256

GOAL = {"requests_per_second": 2000, "p99_ms": 20.0, "errors": 0}
FLAT = 0.02
"""The part by which the server's memory may differ between a run's first fifth and its last."""


class Server:
    """`thimble serve` in a process of its own, on one core, and how much memory it has."""

    def __init__(self, site: Path, core: int | None) -> None:
        self.port = _free_port()
        command = [sys.executable, "-m", "thimble", "serve", "--port", str(self.port)]
        self._start([*command, "--site", str(site)], core)

    def _start(self, command: list[str], core: int | None) -> None:
        self.process = subprocess.Popen(
            command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        if core is not None:
            os.sched_setaffinity(self.process.pid, {core})
        self._wait()

    def _wait(self) -> None:
        for _ in range(300):
            if self.process.poll() is not None:
                raise SystemExit("load: the server ended; try `thimble serve` to see why")
            try:
                self.get("/healthz")
                return
            except OSError:
                time.sleep(0.1)
        raise SystemExit("load: the server did not answer within 30 s")

    def get(self, path: str) -> tuple[dict[str, str], int]:
        """The headers of an answer, lower case, and the bytes of its body."""
        request = urllib.request.Request(f"http://{HOST}:{self.port}{path}", headers=dict([ACCEPT]))
        with urllib.request.urlopen(request, timeout=10) as response:
            headers = {name.lower(): value for name, value in response.headers.items()}
            return headers, len(response.read())

    def memory(self) -> int:
        """Bytes in physical memory."""
        fields = Path(f"/proc/{self.process.pid}/statm").read_text().split()
        return int(fields[1]) * os.sysconf("SC_PAGE_SIZE")

    def cpu_seconds(self) -> float:
        return _cpu_seconds(self.process.pid)

    def close(self) -> None:
        self.process.terminate()
        self.process.wait(timeout=10)


class Nginx(Server):
    """nginx in a process and on a core of its own, with a cache, before another server."""

    def __init__(self, program: str, behind: Server, core: int | None, folder: Path) -> None:
        self.port = _free_port()
        kinds = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
        places = " ".join(f"{kind}_temp_path {folder}/{kind};" for kind in kinds)
        user = "user root;" if hasattr(os, "geteuid") and os.geteuid() == 0 else ""
        (folder / "nginx.conf").write_text(
            f"{user} daemon off; master_process off; pid {folder}/pid; error_log {folder}/errors;"
            f"events {{}} http {{ access_log off; keepalive_requests 1000000000; {places}"
            f"proxy_cache_path {folder}/cache keys_zone=all:1m;"
            f"server {{ listen {HOST}:{self.port}; location / {{ proxy_cache all;"
            f"proxy_http_version 1.1; proxy_pass http://{HOST}:{behind.port}; }} }} }}"
        )
        self._start([program, "-p", str(folder), "-c", str(folder / "nginx.conf")], core)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        port: int = probe.getsockname()[1]
    return port


def _cpu_seconds(process: int) -> float:
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _busy_seconds() -> float:
    """CPU time that the whole machine has spent on work, all cores together."""
    fields = [int(field) for field in Path("/proc/stat").read_text().split("\n")[0].split()[1:]]
    user, nice, system, _idle, _wait, irq, softirq, *_ = fields
    return (user + nice + system + irq + softirq) / os.sysconf("SC_CLK_TCK")


class Memory(threading.Thread):
    """Looks at the server's memory every half second."""

    def __init__(self, server: Server) -> None:
        super().__init__(daemon=True)
        self.seen: list[int] = []
        self._server = server
        self._over = threading.Event()

    def run(self) -> None:
        while not self._over.wait(0.5):
            self.seen.append(self._server.memory())

    def end(self) -> dict[str, Any]:
        self._over.set()
        self.join()
        fifth = max(1, len(self.seen) // 5)
        first = sum(self.seen[:fifth]) / fifth
        last = sum(self.seen[-fifth:]) / fifth
        return {
            "memory_first_bytes": round(first),
            "memory_last_bytes": round(last),
            "memory_flat": abs(last - first) <= FLAT * first,
        }


def small_files(server: Server, site: Path) -> list[Ask]:
    """The page's own files below assets/ that a server answers from memory."""
    build = json.loads((site / "build.json").read_text(encoding="utf-8"))
    asks = []
    for name in sorted(build["assets"].values()):
        if name.startswith("assets/"):
            _, length = server.get(f"/{name}")
            if length <= 64 * 1024:
                asks.append(Ask(f"/{name}", 200, length, (ACCEPT,)))
    return asks


def revisit(server: Server) -> list[Ask]:
    """What a browser asks again at each visit, and has already."""
    asks = []
    for path in ("/", "/build.json", "/thimble.js"):
        headers, _ = server.get(path)
        asks.append(Ask(path, 304, 0, (ACCEPT, ("If-None-Match", headers["etag"]))))
    return asks


def first_visit(server: Server, site: Path) -> list[Ask]:
    """All files of a first visit, the page included."""
    names = [path.relative_to(site).as_posix() for path in size_report.first_visit(site)]
    asks = []
    for path in ["/", *(f"/{name}" for name in names)]:
        _, length = server.get(path)
        asks.append(Ask(path, 200, length, (ACCEPT,)))
    return asks


def measure(
    server: Server, asks: Sequence[Ask], *, seconds: float, connections: int
) -> dict[str, Any]:
    """One row of the table."""

    def run(duration: float) -> Tally:
        return _loop_run(load(HOST, server.port, asks, seconds=duration, connections=connections))

    run(min(WARM_UP, seconds))
    memory = Memory(server)
    memory.start()
    busy, served, asked = _busy_seconds(), server.cpu_seconds(), time.process_time()
    tally = run(seconds)
    served, asked = server.cpu_seconds() - served, time.process_time() - asked
    others = _busy_seconds() - busy - served - asked
    requests = len(tally.latencies)
    return {
        "seconds": round(tally.seconds, 1),
        "files": len(asks),
        "requests": requests,
        "requests_per_second": round(requests / tally.seconds),
        "rounds_per_second": round(requests / tally.seconds / len(asks), 1),
        "megabytes_per_second": round(tally.received / tally.seconds / 1e6, 1),
        "p50_ms": round(1000 * tally.quantile(0.5), 2),
        "p99_ms": round(1000 * tally.quantile(0.99), 2),
        "longest_ms": round(1000 * tally.quantile(1.0), 2),
        "errors": sum(tally.errors.values()),
        "error_kinds": dict(tally.errors),
        "requests_per_cpu_second": round(requests / served) if served else None,
        "server_cores": round(served / tally.seconds, 2),
        "others_cores": round(max(0.0, others) / tally.seconds, 2),
        **memory.end(),
    }


def _loop_run(work: Coroutine[Any, Any, Tally]) -> Tally:
    try:
        import uvloop
    except ModuleNotFoundError:
        return asyncio.run(work)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(work)


@contextmanager
def copy_of_site() -> Iterator[Path]:
    """The site as it is now, whatever is built meanwhile: links and no copies."""
    with tempfile.TemporaryDirectory(dir=BUILD, prefix="load.") as scratch:
        yield Path(shutil.copytree(SITE, Path(scratch) / "site", copy_function=os.link))


@contextmanager
def on_two_cores() -> Iterator[tuple[int | None, int | None]]:
    """A core for the server, another for whoever asks; None where the machine cannot say."""
    if not hasattr(os, "sched_setaffinity"):
        yield None, None
        return
    mine = os.sched_getaffinity(0)
    cores = sorted(mine)
    server, client = cores[0], cores[-1]
    os.sched_setaffinity(0, {client})
    try:
        yield server, client
    finally:
        os.sched_setaffinity(0, mine)


def run(seconds: float, connections: int) -> dict[str, Any]:
    """All measurements."""
    load_before = os.getloadavg()[0]
    with on_two_cores() as (core, _), copy_of_site() as site:
        server = Server(site, core)
        try:
            short = min(seconds, 15.0)
            few = min(connections, 4)
            asks = small_files(server, site)
            return {
                "cached_assets": measure(server, asks, seconds=seconds, connections=connections),
                **beside(server, asks, core, short, connections),
                "revisit": measure(server, revisit(server), seconds=short, connections=connections),
                "first_visit": measure(
                    server, first_visit(server, site), seconds=short, connections=few
                ),
                "connections": {"cached_assets": connections, "first_visit": few},
                "machine": machine(),
                "load_before": round(load_before, 2),
            }
        finally:
            server.close()


def beside(
    server: Server, asks: Sequence[Ask], core: int | None, seconds: float, connections: int
) -> dict[str, Any]:
    """The first measurement with nginx between, where it is on this machine."""
    program = servers.find("nginx")
    if program is None:
        return {}
    with tempfile.TemporaryDirectory(prefix="load.") as folder:
        nginx = Nginx(program, server, core, Path(folder))
        try:
            return {"nginx": measure(nginx, asks, seconds=seconds, connections=connections)}
        finally:
            nginx.close()


def machine() -> dict[str, Any]:
    info = Path("/proc/cpuinfo")
    names = [line for line in info.read_text().splitlines() if line.startswith("model name")]
    return {
        "processor": names[0].partition(": ")[2] if names else platform.processor(),
        "cores": os.cpu_count(),
        "system": platform.system(),
        "python": platform.python_version(),
    }


def held(row: dict[str, Any]) -> bool:
    """Whether the goal of the cached assets is reached."""
    return bool(
        row["requests_per_second"] >= GOAL["requests_per_second"]
        and row["p99_ms"] <= GOAL["p99_ms"]
        and row["errors"] <= GOAL["errors"]
        and row["memory_flat"]
    )


NAMES = {
    "cached_assets": "small files, sent whole",
    "nginx": "the same, from the cache of an nginx in front",
    "revisit": "a visitor's return: page, `build.json`, `thimble.js`, not modified",
    "first_visit": "everything of a first visit",
}


def table(result: dict[str, Any]) -> str:
    """The rows for docs/deploy/README.md."""
    lines = [
        "| asked for | requests/s | per second of its CPU | visits/s | MB/s | p50 | p99 | errors "
        "| memory |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for key, name in NAMES.items():
        row = result.get(key)
        if row is None:
            continue
        visits = "" if key in ("cached_assets", "nginx") else f"{row['rounds_per_second']:,}"
        first, last = (row[f"memory_{when}_bytes"] / 1e6 for when in ("first", "last"))
        lines.append(
            f"| {name} | {row['requests_per_second']:,} | {row['requests_per_cpu_second']:,} | "
            f"{visits} | "
            f"{row['megabytes_per_second']:,} | {row['p50_ms']} ms | {row['p99_ms']} ms | "
            f"{row['errors']} | {first:.1f} → {last:.1f} MB |"
        )
    about, row = result["machine"], result["cached_assets"]
    lines += [
        "",
        f"One process on one core of {about['cores']} ({about['processor']}, Python "
        f"{about['python']}), {result['connections']['cached_assets']} connections "
        f"({result['connections']['first_visit']} for the first visit), {row['seconds']:g} s for "
        f"the first row and {result['revisit']['seconds']:g} s for the others. Meanwhile other "
        f"processes used {row['others_cores']} cores.",
    ]
    return "\n".join(lines)


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seconds", type=float, default=60.0, help="of the first run (60)")
    parser.add_argument("--connections", type=int, default=32, help="at the same time (32)")
    parser.add_argument("--quick", action="store_true", help="print and write nothing down")
    options = parser.parse_args()
    if not 1 <= options.seconds <= MOST_SECONDS:
        parser.error(f"--seconds is {options.seconds:g}; it must be from 1 to {MOST_SECONDS}")
    if not 1 <= options.connections <= MOST_CONNECTIONS:
        parser.error(
            f"--connections is {options.connections}; it must be from 1 to {MOST_CONNECTIONS}"
        )
    if not (SITE / "build.json").is_file():
        parser.error(f"there is no built site in {SITE}: run `make site`")
    result = run(options.seconds, options.connections)
    print(table(result))
    print("goal:", "held" if held(result["cached_assets"]) else "missed", GOAL)
    if not options.quick:
        DOCS.mkdir(parents=True, exist_ok=True)
        text = json.dumps(result, indent=1) + "\n"
        (DOCS / "load.json").write_text(text, encoding="utf-8")
        put_between(DOCS / "README.md", "load", table(result))
    return 0


if __name__ == "__main__":
    sys.exit(main())
