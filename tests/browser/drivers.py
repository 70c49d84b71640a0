"""Browsers told what to do without Playwright: shown an address, loaded again, asked.

What a page can find out by itself is for `station.py`. Here the same tab is used with and without
a server. Firefox speaks WebDriver BiDi and Chromium its own protocol, both through a WebSocket;
WebKitGTK speaks WebDriver, through HTTP. Whatever does not answer in time is an error: nothing here
waits for ever, as Playwright does now and then when it loads a page whose service worker has gone.
"""

from __future__ import annotations

import base64
import itertools
import json
import os
import socket
import struct
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import urlsplit

from tests.browser.station import firefox, hidden_screen, running, webkit, write_preferences
from tests.conftest import CHROMIUM_FLAGS, free_port
from tools import browsers

PATIENCE = 120
"""Seconds for one step: a small and busy machine starts Python in it."""


class Tab(Protocol):
    """One tab of a browser."""

    def open(self, address: str) -> None:
        """Show an address; returns when it has loaded."""

    def reload(self) -> None:
        """Load the page again."""

    def evaluate(self, function: str) -> Any:
        """What an asynchronous function of JavaScript without arguments gives, as JSON has it."""


class WebSocket:
    """So much of RFC 6455 as a client needs that says and hears texts."""

    def __init__(self, port: int, path: str) -> None:
        self._socket = _connected(port)
        self._socket.settimeout(PATIENCE)
        key = base64.b64encode(os.urandom(16)).decode()
        self._socket.sendall(
            f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nUpgrade: websocket\r\n"
            f"Connection: Upgrade\r\nSec-WebSocket-Key: {key}\r\n"
            "Sec-WebSocket-Version: 13\r\n\r\n".encode()
        )
        self._read = self._socket.makefile("rb")
        status = self._read.readline()
        assert b" 101 " in status, status
        while self._read.readline().strip():
            pass

    def send(self, text: str) -> None:
        data, mask = text.encode(), os.urandom(4)
        size = len(data)
        if size < 126:
            head = struct.pack("!BB", 0x81, 0x80 | size)
        elif size < 1 << 16:
            head = struct.pack("!BBH", 0x81, 0xFE, size)
        else:
            head = struct.pack("!BBQ", 0x81, 0xFF, size)
        masked = bytes(byte ^ mask[at % 4] for at, byte in enumerate(data))
        self._socket.sendall(head + mask + masked)

    def receive(self) -> str:
        """The next text; what is neither text nor its continuation is passed over."""
        whole = b""
        while True:
            first, size = struct.unpack("!BB", self._read.read(2))
            if size == 126:
                [size] = struct.unpack("!H", self._read.read(2))
            elif size == 127:
                [size] = struct.unpack("!Q", self._read.read(8))
            data = self._read.read(size)
            kind, last = first & 0x0F, first & 0x80
            assert kind != 8, "the browser has closed the connection"
            if kind in (0, 1):
                whole += data
                if last:
                    return whole.decode()

    def close(self) -> None:
        self._read.close()
        self._socket.close()


def _connected(port: int) -> socket.socket:
    """A connection to a program that is just starting."""
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            return socket.create_connection(("127.0.0.1", port), timeout=PATIENCE)
        except OSError:
            assert time.monotonic() < deadline, f"nobody listens on port {port}"
            time.sleep(0.1)


class FirefoxTab:
    """The first tab of a Firefox, by WebDriver BiDi."""

    def __init__(self, port: int) -> None:
        self._web = WebSocket(port, "/session")
        self._numbers = itertools.count(1)
        self._ask("session.new", capabilities={})
        [first, *_] = self._ask("browsingContext.getTree")["contexts"]
        self._tab = first["context"]

    def _ask(self, method: str, **params: Any) -> Any:
        number = next(self._numbers)
        self._web.send(json.dumps({"id": number, "method": method, "params": params}))
        while (answer := json.loads(self._web.receive())).get("id") != number:
            pass
        assert answer["type"] == "success", answer
        return answer["result"]

    def open(self, address: str) -> None:
        self._ask("browsingContext.navigate", context=self._tab, url=address, wait="complete")

    def reload(self) -> None:
        self._ask("browsingContext.reload", context=self._tab, wait="complete")

    def evaluate(self, function: str) -> Any:
        code = f"({function})().then((value) => JSON.stringify(value ?? null))"
        target = {"context": self._tab}
        given = self._ask("script.evaluate", expression=code, target=target, awaitPromise=True)
        assert given["type"] == "success", given["exceptionDetails"]["text"]
        return json.loads(given["result"]["value"])

    def close(self) -> None:
        self._web.close()


class WebKitTab:
    """The tab of a WebKitGTK, by WebDriver."""

    def __init__(self, port: int, browser: str) -> None:
        _connected(port).close()
        self._driver = f"http://127.0.0.1:{port}/session"
        options = {"binary": browser, "args": ["--automation"]}
        wanted = {"alwaysMatch": {"webkitgtk:browserOptions": options}}
        self._session = self._ask("POST", "", {"capabilities": wanted})["sessionId"]
        milliseconds = PATIENCE * 1000
        self._tell("timeouts", script=milliseconds, pageLoad=milliseconds)

    def _ask(self, method: str, path: str, body: object = None) -> Any:
        data = None if body is None else json.dumps(body).encode()
        headers = {"Content-Type": "application/json"}
        request = urllib.request.Request(self._driver + path, data, headers, method=method)
        try:
            with urllib.request.urlopen(request, timeout=PATIENCE + 10) as answer:
                return json.load(answer)["value"]
        except urllib.error.HTTPError as error:
            raise AssertionError(f"{path}: {error.read().decode()}") from None

    def _tell(self, command: str, **params: object) -> Any:
        return self._ask("POST", f"/{self._session}/{command}", params)

    def open(self, address: str) -> None:
        self._tell("url", url=address)

    def reload(self) -> None:
        self._tell("refresh")

    def evaluate(self, function: str) -> Any:
        told = "(value) => say({ value }), (error) => say({ error: String(error) })"
        script = f"const say = arguments[arguments.length - 1]; ({function})().then({told});"
        given = self._tell("execute/async", script=script, args=[])
        assert "error" not in given, given["error"]
        return given.get("value")

    def close(self) -> None:
        self._ask("DELETE", f"/{self._session}")


@contextmanager
def firefox_tab(home: Path) -> Iterator[Tab]:
    """A Firefox without a window and with a profile of its own, which it keeps things in."""
    binary, port = firefox(), free_port()
    assert binary is not None
    write_preferences(home)
    command = [binary, "--headless", "--no-remote", "--profile", str(home)]
    command += ["--remote-debugging-port", str(port), "about:blank"]
    environment = {"HOME": str(home), "MOZ_CRASHREPORTER_DISABLE": "1"}
    with running(command, **environment), closing(FirefoxTab(port)) as tab:
        yield tab


class ChromiumTab:
    """A tab of a Chromium of its own, by the DevTools protocol."""

    def __init__(self, port: int) -> None:
        _connected(port).close()
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/json/list") as answer:
            [first, *_] = (tab for tab in json.load(answer) if tab["type"] == "page")
        self._web = WebSocket(port, urlsplit(first["webSocketDebuggerUrl"]).path)
        self._numbers = itertools.count(1)
        self._ask("Page.enable")

    def _ask(self, method: str, **params: Any) -> Any:
        number = next(self._numbers)
        self._web.send(json.dumps({"id": number, "method": method, "params": params}))
        while (answer := json.loads(self._web.receive())).get("id") != number:
            pass
        assert "error" not in answer, answer["error"]
        return answer["result"]

    def open(self, address: str) -> None:
        self._loaded("Page.navigate", url=address)

    def reload(self) -> None:
        self._loaded("Page.reload")

    def _loaded(self, method: str, **params: Any) -> None:
        self._ask(method, **params)
        deadline = time.monotonic() + PATIENCE
        while json.loads(self._web.receive()).get("method") != "Page.loadEventFired":
            assert time.monotonic() < deadline, "the page does not load"

    def evaluate(self, function: str) -> Any:
        given = self._ask(
            "Runtime.evaluate", expression=f"({function})()", awaitPromise=True, returnByValue=True
        )
        assert "exceptionDetails" not in given, given["exceptionDetails"]
        return given["result"].get("value")

    def close(self) -> None:
        self._web.close()


@contextmanager
def chromium_tab(home: Path) -> Iterator[Tab]:
    """A Chromium without a window and with a profile of its own, which it keeps things in."""
    binary, port = browsers.find(), free_port()
    assert binary is not None
    command = [binary, "--headless", "--no-sandbox", f"--user-data-dir={home}"]
    command += [*CHROMIUM_FLAGS, f"--remote-debugging-port={port}", "about:blank"]
    with running(command), closing(ChromiumTab(port)) as tab:
        yield tab


@contextmanager
def webkit_tab(home: Path) -> Iterator[Tab]:
    """A WebKitGTK on a screen that nobody sees."""
    binary, port = webkit(), free_port()
    assert binary is not None
    driver = ["WebKitWebDriver", f"--port={port}"]
    with (
        hidden_screen(home) as environment,
        running(driver, **environment),
        closing(WebKitTab(port, binary)) as tab,
    ):
        yield tab
