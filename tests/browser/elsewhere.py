"""Somebody else's site: another origin, with pages and headers that each test makes up."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Elsewhere:
    """Pages of an origin that is not the site's: the host is called otherwise, too."""

    def __init__(self, port: int) -> None:
        self.origin = f"http://localhost:{port}"
        self.pages: dict[str, tuple[bytes, Mapping[str, str]]] = {}
        self._numbers = itertools.count(1)

    def page(self, body: str, **headers: str) -> str:
        """The address of a new page; headers are written with underscores."""
        path = f"/page-{next(self._numbers)}"
        # An icon of its own, or the browser would ask for one.
        html = f'<!doctype html><title>My page</title><link rel="icon" href="data:,">{body}'
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        self.pages[path] = (html.encode(), named)
        return self.origin + path


@contextmanager
def serving() -> Iterator[Elsewhere]:
    """Serve the pages of an `Elsewhere` that is given."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body, headers = place.pages.get(self.path.partition("?")[0], (b"", {}))
            self.send_response(200 if body else 404)
            for name, value in {"Content-Type": "text/html; charset=utf-8", **headers}.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            """A test's output is for what went wrong."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as http:
        place = Elsewhere(http.server_address[1])
        threading.Thread(target=http.serve_forever, daemon=True).start()
        yield place
        http.shutdown()
