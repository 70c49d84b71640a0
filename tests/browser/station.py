"""A place that any browser can be sent to, and that hears what it found.

Playwright drives Chromium only where the machine has no browsers of Playwright's own, so the other
engines are simply started at an address: the page there does its work and posts the result.
"""

from __future__ import annotations

import json
import os
import queue
import shutil
import subprocess
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from tests.conftest import WORKER

TYPES = {".wasm": "application/wasm", ".mjs": "text/javascript", ".js": "text/javascript"}


class Station:
    """Serves the site and one page of a test's own at `/`, and keeps what is posted to `/found`."""

    def __init__(self, site: Path, page: str, files: dict[str, bytes]) -> None:
        self.found: queue.Queue[Any] = queue.Queue()
        own = {"/": page.encode(), **{f"/{name}": data for name, data in files.items()}}
        handler = partial(_Handler, own, self.found, directory=str(site))
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self.address = f"http://127.0.0.1:{self._server.server_address[1]}/"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


class _Handler(SimpleHTTPRequestHandler):
    extensions_map = {**SimpleHTTPRequestHandler.extensions_map, **TYPES}

    def __init__(
        self, own: dict[str, bytes], found: queue.Queue[Any], *arguments: Any, **names: Any
    ) -> None:
        self.own, self.found = own, found
        super().__init__(*arguments, **names)

    def do_GET(self) -> None:
        data = self.own.get(self.path)
        if data is None:
            super().do_GET()
            return
        self.send_response(200)
        self.send_header("Content-Type", "text/html" if self.path == "/" else "text/plain")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def do_POST(self) -> None:
        self.found.put(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
        self.send_response(204)
        self.end_headers()

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing: pytest's output is for results."""


def firefox() -> str | None:
    return shutil.which("firefox-esr") or shutil.which("firefox")


def webkit() -> str | None:
    """WebKitGTK's small browser, which Debian keeps beside the library."""
    places = sorted(Path("/usr/lib").glob("*/webkit2gtk-4.*/MiniBrowser"))
    return str(places[-1]) if places and shutil.which("Xvfb") else None


@contextmanager
def running(command: Sequence[str], **environment: str) -> Iterator[None]:
    process = subprocess.Popen(
        command, env={**os.environ, **environment}, stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL, start_new_session=True,
    )  # fmt: skip
    try:
        yield
    finally:
        os.killpg(process.pid, 15)
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, 9)


def write_preferences(home: Path) -> None:
    """Let a Firefox with this profile do nothing but what it is told."""
    (home / "user.js").write_text(
        'user_pref("browser.shell.checkDefaultBrowser", false);\n'
        'user_pref("datareporting.policy.dataSubmissionEnabled", false);\n'
        'user_pref("app.normandy.enabled", false);\n'
    )


@contextmanager
def firefox_at(address: str, home: Path) -> Iterator[None]:
    """Firefox without a window and with a profile of its own."""
    binary = firefox()
    assert binary is not None
    write_preferences(home)
    command = [binary, "--headless", "--no-remote", "--profile", str(home), address]
    with running(command, HOME=str(home), MOZ_CRASHREPORTER_DISABLE="1"):
        yield


@contextmanager
def hidden_screen(home: Path) -> Iterator[dict[str, str]]:
    """A screen that nobody sees; the environment for a WebKitGTK on it."""
    taken = {path.name for path in Path("/tmp/.X11-unix").glob("X*")}
    free = (n for n in range(90 + 100 * WORKER, 190 + 100 * WORKER) if f"X{n}" not in taken)
    display = f":{next(free)}"
    environment = {
        "DISPLAY": display, "HOME": str(home), "WEBKIT_DISABLE_COMPOSITING_MODE": "1",
        # Its sandbox needs rights that a container's root has not.
        "WEBKIT_DISABLE_SANDBOX_THIS_IS_DANGEROUS": "1",
    }  # fmt: skip
    with running(["Xvfb", display, "-screen", "0", "1024x768x24"]):
        yield environment


@contextmanager
def webkit_at(address: str, home: Path) -> Iterator[None]:
    """WebKitGTK on a screen that nobody sees."""
    binary = webkit()
    assert binary is not None
    with hidden_screen(home) as environment, running([binary, address], **environment):
        yield
