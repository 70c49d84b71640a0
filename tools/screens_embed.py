"""The pictures of the element on somebody's page, and of the panel that writes HTML for it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from playwright.sync_api import Page, expect

Shot = Callable[[str], None]

ARTICLE = """<!doctype html><meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>My page</title><style>
  html { color-scheme: light dark; font: 1.0625rem/1.6 Georgia, serif; }
  body { width: min(100% - 2rem, 38rem); margin: 2rem auto; }
</style>
<h1>What a tiny model writes</h1>
<p>The box below is a language model of three million parameters. It runs on your machine.</p>
<script type="module" src="SITE/widget.js"></script>
<thimble-lm ATTRIBUTES></thimble-lm>
<p>Press the button again for another story.</p>"""


def embed(page: Page, address: str, shot: Shot) -> None:
    """All states of the element and of the panel in one window."""
    site = address.rstrip("/")
    prompt = 'model="story" prompt="Once upon a time" seed="7"'
    with _somebody(site, f'{prompt} reveal="manual"') as host:
        _element(page, host, shot)
    with _somebody(site, 'model="nobody" prompt="Once upon a time"') as host:
        page.goto(host)
        expect(page.get_by_role("alert")).to_be_visible()
        shot("widget-failed")
    _panel(page, site, shot)


@contextmanager
def _somebody(site: str, attributes: str) -> Iterator[str]:
    """The address of a page of another origin, while it is served."""
    html = ARTICLE.replace("SITE", site).replace("ATTRIBUTES", attributes).encode()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.end_headers()
            self.wfile.write(html)

        def log_message(self, format: str, *args: object) -> None:
            """Nothing: the pictures tell."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as http:
        threading.Thread(target=http.serve_forever, daemon=True).start()
        yield f"http://localhost:{http.server_address[1]}/"
        http.shutdown()


def _element(page: Page, host: str, shot: Shot) -> None:
    page.goto(host)
    write = page.get_by_role("button", name="Write")
    expect(write).to_be_visible()
    shot("widget-idle")
    write.click()
    expect(page.get_by_role("progressbar")).to_be_visible()
    expect(page.locator("thimble-lm").get_by_text(" of ")).to_be_visible()
    shot("widget-loading")
    expect(page.get_by_role("status")).to_contain_text("token", timeout=120_000)
    shot("widget-written")


def _panel(page: Page, site: str, shot: Shot) -> None:
    page.goto(f"{site}/#panel=embed")
    expect(page.locator("#embed-code")).not_to_be_empty()
    expect(page.locator("#embed-preview").get_by_role("button", name="Write")).to_be_visible()
    shot("embed")
