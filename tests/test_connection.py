"""Connections as hostile clients make them, against the real server: what each may send and how
long it may take; and that an answer from memory is the application's, to the byte."""

from __future__ import annotations

import re
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
import uvicorn

import server
from tests.test_server import write_site
from thimble.hosting import connection
from tools.load_hostile import ask, under_attack
from tools.load_test import Server

HANG = 30.0
"""Seconds after which a test gives up, on a machine however busy."""
LARGE = 8 << 20


@pytest.fixture
def site(tmp_path: Path) -> Path:
    folder = write_site(tmp_path / "site")
    (folder / "assets" / "story.1a2b3c4d.gguf").write_bytes(bytes(LARGE))
    return folder


@contextmanager
def running(site: Path, **settings: Any) -> Iterator[int]:
    """The application in a thread; the port that it listens on."""
    app = server.create_app(site, hosts=settings.pop("hosts", ()))
    options = {**connection.settings(), **settings}
    made = uvicorn.Server(uvicorn.Config(app, port=0, log_level="critical", **options))
    thread = threading.Thread(target=made.run, daemon=True)
    thread.start()
    try:
        wait(lambda: made.started)
        yield made.servers[0].sockets[0].getsockname()[1]
    finally:
        made.should_exit = made.force_exit = True
        thread.join(HANG)


def wait(what: Callable[[], object]) -> None:
    until = time.monotonic() + HANG
    while not what():
        assert time.monotonic() < until, "nothing happened"
        time.sleep(0.02)


def connect(port: int) -> socket.socket:
    return socket.create_connection(("127.0.0.1", port), HANG)


def rest(open_: socket.socket) -> bytes:
    """All that comes until the server ends the connection, which it must."""
    received = b""
    try:
        while part := open_.recv(1 << 16):
            received += part
    except ConnectionResetError:
        pass
    return received


def until(open_: socket.socket, end: bytes) -> bytes:
    """All that comes up to these bytes: an answer may come in parts."""
    received = b""
    while end not in received:
        part = open_.recv(1 << 16)
        assert part, f"the server ended the connection after {received!r}"
        received += part
    return received


def head(path: str = "/", method: str = "GET", **headers: str) -> bytes:
    lines = [f"{method} {path} HTTP/1.1", "Host: example.org"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "", ""]).encode()


SCRIPT = "/assets/page.1a2b3c4d.js"
REQUESTS = {
    "whole": head(SCRIPT),
    "packed": head(SCRIPT, Accept_Encoding="gzip, br"),
    "nothing wanted but gzip": head(SCRIPT, Accept_Encoding="gzip;q=1, *;q=0"),
    "known": head(SCRIPT, If_None_Match="*"),
    "its head": head(SCRIPT, "HEAD"),
    "a part": head(SCRIPT, Range="bytes=2-5"),
    "with a question": head(f"{SCRIPT}?x=1"),
    "written otherwise": head("/assets/page%2e1a2b3c4d.js"),
    "revalidated": head("/thimble.js"),
    "the page": head(),
    "from the disk": head("/assets/story.1a2b3c4d.gguf", Range="bytes=-9"),
    "nowhere": head("/nowhere"),
    "up and out": head("/assets/../build.json"),
    "another method": head(SCRIPT, "DELETE"),
}


@pytest.mark.parametrize("request_", REQUESTS.values(), ids=REQUESTS.keys())
def test_an_answer_from_memory_is_the_application_s(site: Path, request_: bytes) -> None:
    last = head("/healthz", Connection="close")
    answers = []
    for settings in ({}, {"http": "httptools"}):
        with running(site, **settings) as port, connect(port) as open_:
            open_.sendall(request_ + last)
            answers.append(re.sub(rb"date: [^\r]*\r\n", b"", rest(open_)))
    assert answers[0] == answers[1]
    assert b'"status":"ok"' in answers[0]


def test_answers_come_in_the_order_of_their_requests(site: Path) -> None:
    with running(site) as port, connect(port) as open_:
        paths = ["/thimble.js", "/healthz", "/thimble.js", "/nowhere", "/", "/thimble.js"]
        open_.sendall(b"".join(map(head, paths)) + head("/healthz", Connection="close"))
        answer = rest(open_)
    words = [b"export class", b"status", b"export class", b"no page", b"<!doctype", b"export class"]
    places, at = [], 0
    for word in words:
        at = answer.lower().index(word, at) + 1
        places.append(at)
    assert places == sorted(places)


def test_a_site_that_is_built_again_is_answered_from_memory_too(site: Path) -> None:
    with running(site) as port, connect(port) as open_:
        open_.sendall(head("/thimble.js"))
        assert b"export class Thimble {}" in until(open_, b"{}")
        (site / "thimble.js").write_bytes(b"export class Another {}")
        (site / "build.json").write_bytes((site / "build.json").read_bytes() + b"\n")
        open_.sendall(head("/thimble.js", Connection="close"))
        assert b"export class Another {}" in rest(open_)


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (b"GET / HTTP/1.1\r\nX: " + b"a" * (1 << 20), b"431"),
        (b"GET /" + b"a" * (1 << 20), b"431"),
        (b"GET / HTTP/1.1\r\n" + b"A: b\r\n" * (1 << 17), b"431"),
        (b"GET / HTTP/1.1\r\n" + b"A" * (1 << 20), b"431"),
        # Whole at once, and still too long.
        (head(X="a" * (40 << 10)), b"431"),
        (head("/healthz", Content_Length="99999999") + b"a" * (1 << 20), b"200"),
        (head("/healthz", Transfer_Encoding="chunked") + b"8000\r\n" + b"a" * 0x8000, b"200"),
        (
            head("/healthz", Transfer_Encoding="chunked") + b"0\r\n" + b"A: b\r\n" * (1 << 17),
            b"200",
        ),
    ],
    ids=["header", "address", "headers", "name", "whole", "body", "chunk", "trailers"],
)
def test_a_request_that_does_not_end_is_ended(
    site: Path, request_: bytes, status: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, "REQUEST_SECONDS", 1.0)
    with running(site) as port, connect(port) as open_:
        try:
            open_.sendall(request_)
        except (BrokenPipeError, ConnectionResetError):
            return
        answer = rest(open_)
        assert not answer or answer.split()[1] == status


@pytest.mark.parametrize(
    "begun",
    [b"", b"\r\n", b"GET / HT", head()[:-2], head("/healthz", Content_Length="9") + b"a"],
    ids=["nothing", "an empty line", "a line", "headers", "a body"],
)
def test_half_a_request_is_not_waited_for(
    site: Path, begun: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, "REQUEST_SECONDS", 0.5)
    with running(site) as port, connect(port) as open_:
        open_.sendall(begun)
        answer = rest(open_)
    # A browser may open a connection before it has a question: it is told nothing.
    expected = {b"": None, b"\r\n": None}.get(begun, b"408")
    if b"Content-Length" in begun:
        expected = b"200"
    assert (answer.split()[1] if answer else None) == expected


def test_a_header_that_comes_drop_by_drop_is_not_waited_for(
    site: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, "REQUEST_SECONDS", 0.5)
    until = time.monotonic() + HANG
    with running(site) as port, connect(port) as open_:
        open_.sendall(b"GET / HTTP/1.1\r\nX: ")
        with pytest.raises((BrokenPipeError, ConnectionResetError)):
            while time.monotonic() < until:
                open_.sendall(b"a")
                time.sleep(0.1)


def test_an_idle_connection_is_ended_and_a_used_one_is_not(
    site: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, "IDLE_SECONDS", 0.5)
    for path in ("/thimble.js", "/healthz"):
        settings = {"timeout_keep_alive": 1} if path == "/healthz" else {}
        with running(site, **settings) as port, connect(port) as open_:
            open_.sendall(head(path))
            answer = rest(open_)
            assert answer.startswith(b"HTTP/1.1 200 ")
            assert answer.count(b"HTTP/1.1 ") == 1


def test_an_answer_that_nobody_takes_is_given_up(
    site: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, "STALLED_SECONDS", 0.5)
    with running(site) as port, socket.socket() as open_:
        open_.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        open_.settimeout(HANG)
        open_.connect(("127.0.0.1", port))
        open_.sendall(head("/assets/story.1a2b3c4d.gguf"))
        time.sleep(4)
        assert len(rest(open_)) < LARGE


def test_an_answer_that_is_taken_slowly_is_not_given_up(
    site: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, "IDLE_SECONDS", 0.5)
    monkeypatch.setattr(connection, "REQUEST_SECONDS", 0.5)
    with running(site) as port, connect(port) as open_:
        open_.sendall(head("/assets/story.1a2b3c4d.gguf", Connection="close"))
        received = 0
        for _ in range(8):
            time.sleep(0.5)
            received += len(open_.recv(256 << 10))
        assert received + len(rest(open_)) > LARGE


def test_new_connections_take_the_place_of_those_that_wait_longest(
    site: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, "MAX_CONNECTIONS", 32)
    with running(site) as port, ExitStack() as stack:
        for _ in range(100):
            stack.enter_context(connect(port)).sendall(b"GET / HT")
        for _ in range(100):
            assert ask(port, "/thimble.js", HANG) < HANG


def test_no_more_connections_than_there_are_descriptors_for() -> None:
    import resource

    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (256, before[1]))
        assert connection.most_connections() == connection.MAX_CONNECTIONS
        assert resource.getrlimit(resource.RLIMIT_NOFILE)[0] > 2 * connection.MAX_CONNECTIONS
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)


def test_a_request_for_another_host_is_refused_from_memory_as_well(site: Path) -> None:
    with running(site, hosts=["example.org"]) as port:
        for request_, status in (
            (head("/thimble.js"), b"200"),
            (head("/thimble.js").replace(b"example.org", b"EXAMPLE.org:443"), b"200"),
            (head("/thimble.js").replace(b"example.org", b"evil.example"), b"421"),
            (head("/").replace(b"example.org", b"example.org.evil.example"), b"421"),
            (head("/thimble.js", HOST="evil.example"), b"421"),
            (head("/healthz").replace(b"example.org", b"10.0.0.1"), b"200"),
        ):
            with connect(port) as open_:
                open_.sendall(request_.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"))
                assert rest(open_).split()[1] == status, request_


def test_the_server_answers_others_while_many_mean_it_ill(site: Path) -> None:
    """1,000 slow connections, 500 half requests and a header without an end, all at once; what it
    costs others is measured by `make load-hostile`."""
    made = Server(site, None)
    try:
        with under_attack("slow half endless deaf", made.port, "/assets/story.1a2b3c4d.gguf"):
            time.sleep(5)
            for _ in range(20):
                assert ask(made.port, timeout=HANG) < HANG
            assert made.memory() < 250_000_000
    finally:
        made.close()
