"""Python of the bench in Chromium: the built site's engine on one thread, and a model."""

from __future__ import annotations

import functools
import threading
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from playwright.sync_api import sync_playwright

from bench.browser import launched
from tools.fingerprint import BUILD

SITE = BUILD / "site"
MODEL = "/model.gguf"
"""Where the code finds the model."""

START = """async () => {
  const build = await (await fetch("/build.json")).json();
  const { loadPyodide } = await import(`/${build.pyodide}pyodide.mjs`);
  globalThis.python = await loadPyodide({
    indexURL: `/${build.pyodide}`, stdLibURL: `/${build.stdlib}`, lockFileURL: `/${build.lock}`,
  });
  const bytes = async (path) => new Uint8Array(await (await fetch(path)).arrayBuffer());
  python.unpackArchive((await bytes(`/${build.engine}`)).buffer, "wheel");
  const library = await bytes(`/${build.library}`);
  const setFetch = "import _stdlib_rest\\nlambda f: setattr(_stdlib_rest, 'fetch', f)";
  python.runPython(setFetch)((where) => python.FS.writeFile(where, library));
  python.FS.writeFile("/model.gguf", await bytes("/model.gguf"));
}"""


class Files(SimpleHTTPRequestHandler):
    """The built site, a blank page, and the model."""

    def __init__(self, *arguments: Any, model: Path) -> None:
        self._model = model
        super().__init__(*arguments, directory=str(SITE))

    def translate_path(self, path: str) -> str:
        return str(self._model) if path == MODEL else super().translate_path(path)

    def do_GET(self) -> None:
        if self.path != "/blank":
            return super().do_GET()
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.end_headers()
        self.wfile.write(b"<!doctype html><title>bench</title>")
        return None

    def log_message(self, format: str, *arguments: object) -> None:
        pass


def run(source: str, model: Path) -> tuple[str, str]:
    """What the source's last expression is, and Chromium's version."""
    handler = functools.partial(Files, model=model)
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    with sync_playwright() as playwright, launched(playwright) as browser:
        page = browser.new_page()
        page.set_default_timeout(1_200_000)
        page.goto(f"http://127.0.0.1:{server.server_port}/blank")
        page.evaluate(START)
        found = page.evaluate("(source) => python.runPython(source)", source)
        version = browser.version
    server.shutdown()
    return str(found), version
