"""Which URL gives what: the Starlette application.

It renders `web/templates/` and serves the built site (`make site`, see docs/architecture.md). It
knows nothing of models or prompts: what people type stays in their browser and never arrives here.
"""

from __future__ import annotations

import argparse
import gzip
import hashlib
import json
import logging
import os
import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import uvicorn
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.applications import Starlette
from starlette.datastructures import MutableHeaders
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import FileResponse, HTMLResponse, JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

ROOT = Path(__file__).resolve().parent
SITE = ROOT / "build" / "site"
TEMPLATES = ROOT / "web" / "templates"

IMMUTABLE = "public, max-age=31536000, immutable"
REVALIDATE = "no-cache"

# What the page may do. Pyodide needs WebAssembly compilation and nothing else of `eval`'s kind; a
# worker obeys the policy that its own script came with, so assets carry this one too.
CONTENT_SECURITY_POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self' 'wasm-unsafe-eval'",
        "worker-src 'self'",
        "connect-src 'self'",
        "style-src 'self'",
        "img-src 'self' data:",
        "manifest-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    )
)
SECURITY_HEADERS = {
    "Content-Security-Policy": CONTENT_SECURITY_POLICY,
    # The page gets a memory that threads may share; everything it needs is of its own origin.
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Embedder-Policy": "require-corp",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
}
# Other sites embed these files; none of them carries anything personal.
EMBED_HEADERS = {
    "Access-Control-Allow-Origin": "*",
    "Access-Control-Expose-Headers": "Content-Length, Content-Range, ETag",
    "Cross-Origin-Resource-Policy": "cross-origin",
    "Timing-Allow-Origin": "*",
}

MEDIA_TYPES = {
    ".css": "text/css; charset=utf-8",
    ".gguf": "application/octet-stream",
    ".html": "text/html; charset=utf-8",
    ".ico": "image/x-icon",
    ".js": "text/javascript; charset=utf-8",
    ".json": "application/json",
    ".map": "application/json",
    ".mjs": "text/javascript; charset=utf-8",
    ".png": "image/png",
    ".svg": "image/svg+xml",
    ".txt": "text/plain; charset=utf-8",
    ".wasm": "application/wasm",
    ".webmanifest": "application/manifest+json",
    ".whl": "application/zip",
    ".woff2": "font/woff2",
    ".zip": "application/zip",
}
SUFFIXES = {"br": ".br", "gzip": ".gz"}
"""Content codings in the order in which we like them, and how their files are named."""


class SiteError(RuntimeError):
    """The built site is missing or unreadable."""


@dataclass(frozen=True, slots=True)
class Copy:
    """A file of the site in one content coding."""

    path: Path
    stat: os.stat_result
    etag: str


@dataclass(frozen=True, slots=True)
class Asset:
    """One file of the site and the precompressed copies beside it."""

    copies: dict[str, Copy]
    """From content coding to copy; `identity` is always there."""
    media_type: str
    cache_control: str


def _copy(path: Path) -> Copy:
    # The tag is of the bytes that are sent: the same content may be packed another way some day.
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()[:32]
    return Copy(path, path.stat(), f'"{digest}"')


class Site:
    """The built site: an index of the files there are, so that no other path can be asked for."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        try:
            self.build: dict[str, Any] = json.loads((folder / "build.json").read_bytes())
        except (OSError, ValueError) as error:
            raise SiteError(f"no built site in {folder} ({error}): run `make site`") from error
        self.assets: dict[str, Asset] = {}
        for path in sorted(folder.rglob("*")):
            if path.is_file() and path.suffix not in SUFFIXES.values():
                self._add(path)

    def _add(self, path: Path) -> None:
        name = path.relative_to(self.folder).as_posix()
        copies = {"identity": _copy(path)}
        for coding, suffix in SUFFIXES.items():
            packed = path.with_name(path.name + suffix)
            if packed.is_file():
                copies[coding] = _copy(packed)
        self.assets[name] = Asset(
            copies=copies,
            media_type=MEDIA_TYPES.get(path.suffix, "application/octet-stream"),
            cache_control=IMMUTABLE if name.startswith("assets/") else REVALIDATE,
        )

    def url(self, name: str) -> str:
        """The hashed, relative URL of a source file's name."""
        try:
            return str(self.build["assets"][name])
        except KeyError:
            raise SiteError(f"build.json lists no asset {name!r}: run `make site`") from None


class SiteHolder:
    """The current site; a rebuilt one is picked up without a restart."""

    def __init__(self, folder: Path, templates: Path) -> None:
        self.folder = folder
        self.templates = Environment(
            loader=FileSystemLoader(templates), autoescape=True, undefined=StrictUndefined,
            trim_blocks=True, lstrip_blocks=True,
        )  # fmt: skip
        self._site: Site | None = None
        self._stamp = 0
        self._pages: dict[str, bytes] = {}

    def get(self) -> Site:
        """The site as it lies on the disk now, or a `SiteError`."""
        try:
            stamp = (self.folder / "build.json").stat().st_mtime_ns
        except OSError as error:
            raise SiteError(f"no built site in {self.folder}: run `make site`") from error
        if self._site is None or stamp != self._stamp:
            self._site, self._stamp, self._pages = Site(self.folder), stamp, {}
        return self._site

    def page(self, name: str) -> bytes:
        """A template rendered with what the build says; rendered once per build."""
        site = self.get()
        if name not in self._pages:
            template = self.templates.get_template(name)
            html = template.render(build=site.build, asset=site.url)
            self._pages[name] = html.encode()
        return self._pages[name]


def negotiate(accept: str | None, available: Sequence[str]) -> str:
    """The content coding to send: the client's highest weight, then our own order (RFC 9110)."""
    if accept is None:
        return "identity"
    weights: dict[str, float] = {}
    for item in accept.lower().split(","):
        coding, _, parameters = item.partition(";")
        match = re.search(r"(?:^|;)\s*q\s*=\s*([^;]*)", parameters)
        try:
            weights[coding.strip()] = float(match[1]) if match else 1.0
        except ValueError:
            weights[coding.strip()] = 0.0
    best, best_weight = "identity", weights.get("identity", 0.0)
    for coding in SUFFIXES:
        weight = weights.get(coding, weights.get("*", 0.0))
        # On equal weight a smaller body wins over identity, and br (first) over gzip.
        if coding in available and weight > 0 and (
            weight > best_weight or (weight == best_weight and best == "identity")
        ):  # fmt: skip
            best, best_weight = coding, weight
    return best


@lru_cache(maxsize=64)
def _small_body(copy: Copy) -> bytes:
    return copy.path.read_bytes()


SMALL = 512 * 1024
"""Files up to this size are answered from memory."""


def not_modified(request: Request, etag: str) -> bool:
    """Whether the client already holds the representation that `etag` names."""
    known = request.headers.get("if-none-match")
    if known is None:
        return False
    tags = {tag.strip().removeprefix("W/") for tag in known.split(",")}
    return etag in tags or "*" in tags


def send_asset(request: Request, asset: Asset) -> Response:
    """Answer with a file: coding, validators and ranges."""
    ranged = "range" in request.headers
    coding = (
        "identity"
        if ranged  # a range of a compressed copy would be a range of other bytes
        else negotiate(request.headers.get("accept-encoding"), tuple(asset.copies))
    )
    copy = asset.copies[coding]
    headers = {"ETag": copy.etag, "Cache-Control": asset.cache_control, **EMBED_HEADERS}
    if len(asset.copies) > 1:
        headers["Vary"] = "Accept-Encoding"
    if not_modified(request, copy.etag):
        return Response(status_code=304, headers=headers)
    headers["Content-Type"] = asset.media_type
    if coding != "identity":
        headers["Content-Encoding"] = coding
    if copy.stat.st_size <= SMALL and not ranged:
        headers["Accept-Ranges"] = "bytes"
        return Response(_small_body(copy), headers=headers)
    return FileResponse(copy.path, headers=headers, stat_result=copy.stat)


def send_page(request: Request, html: bytes) -> Response:
    """Answer with a rendered page, revalidated at every visit."""
    coding = negotiate(request.headers.get("accept-encoding"), ("identity", "gzip"))
    etag = f'"{hashlib.sha256(html).hexdigest()[:32]}{"-gzip" if coding == "gzip" else ""}"'
    headers = {"ETag": etag, "Cache-Control": REVALIDATE, "Vary": "Accept-Encoding"}
    if not_modified(request, etag):
        return Response(status_code=304, headers=headers)
    headers["Content-Type"] = MEDIA_TYPES[".html"]
    if coding == "gzip":
        headers["Content-Encoding"] = "gzip"
        html = _gzip(html)
    return Response(html, headers=headers)


@lru_cache(maxsize=16)
def _gzip(body: bytes) -> bytes:
    return gzip.compress(body, mtime=0)


def _holder(request: Request) -> SiteHolder:
    holder: SiteHolder = request.app.state.site
    return holder


async def home(request: Request) -> Response:
    """The playground."""
    return send_page(request, _holder(request).page("page.html"))


async def file(request: Request) -> Response:
    """Any file of the built site."""
    asset = _holder(request).get().assets.get(request.url.path.removeprefix("/"))
    if asset is None:
        raise HTTPException(404)
    return send_asset(request, asset)


async def models(request: Request) -> Response:
    """The models that this server offers."""
    build = _holder(request).get().build
    wanted = ("name", "title", "bytes", "sha256", "license", "parameters", "default")
    listed = [
        {key: model[key] for key in wanted if key in model} | {"url": model["file"]}
        for model in build["models"]
    ]
    body = {"models": listed}
    return JSONResponse(body, headers={"Cache-Control": REVALIDATE, **EMBED_HEADERS})


async def healthz(request: Request) -> Response:
    """Whether this server can do its work."""
    build = _holder(request).get().build
    body = {"status": "ok", "version": build["version"], "build": build["build"]}
    return JSONResponse(body, headers={"Cache-Control": "no-store"})


WORDS = {
    404: ("Nothing is here", "There is no page at this address."),
    405: ("Not that way", "This address can be read, not written to."),
    503: ("Not built yet", "The site has not been built on this machine: run `make site`."),
}


def failed(request: Request, status: int, headers: dict[str, str]) -> Response:
    """An error as a page for people and as JSON for programs."""
    title, words = WORDS.get(status, ("Something went wrong", "The server could not do this."))
    headers = {**headers, "Cache-Control": "no-store"}
    program = request.url.path.startswith("/assets/") or "." in request.url.path.rpartition("/")[2]
    if program or "text/html" not in request.headers.get("accept", ""):
        body = {"error": words, "status": status}
        return JSONResponse(body, status_code=status, headers={**headers, **EMBED_HEADERS})
    template = _holder(request).templates.get_template("error.html")
    home_url = request.scope.get("root_path", "") + "/"
    html = template.render(status=status, title=title, words=words, home=home_url)
    return HTMLResponse(html, status_code=status, headers=headers)


async def http_failed(request: Request, error: Exception) -> Response:
    """Starlette's 404 and 405, in our words."""
    assert isinstance(error, HTTPException)
    return failed(request, error.status_code, dict(error.headers or {}))


async def site_failed(request: Request, error: Exception) -> Response:
    """A site that is not built: say so in one line, here and in the log."""
    logging.getLogger("uvicorn.error").error("%s", error)
    return failed(request, 503, {"Retry-After": "5"})


class SecurityHeaders:
    """Put the security headers on every response that does not set its own."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(raw=message.setdefault("headers", []))
                for name, value in SECURITY_HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        await self.app(scope, receive, send_with_headers)


class WithoutQuery(logging.Filter):
    """Cut query strings out of the access log: a link may hold what somebody wrote."""

    def filter(self, record: logging.LogRecord) -> bool:
        if isinstance(record.args, tuple):
            record.args = tuple(
                value.partition("?")[0] if isinstance(value, str) else value
                for value in record.args
            )
        return True


def create_app(site: Path | None = None, *, templates: Path | None = None) -> Starlette:
    """The application over a built site; one that is missing answers 503 until it is there."""
    methods = ["GET"]  # Starlette adds HEAD
    routes = [
        Route("/", home, methods=methods),
        Route("/healthz", healthz, methods=methods),
        Route("/models.json", models, methods=methods),
        Route("/{path:path}", file, methods=methods),
    ]
    app = Starlette(
        routes=routes,
        middleware=[Middleware(SecurityHeaders)],
        exception_handlers={HTTPException: http_failed, SiteError: site_failed},
    )
    app.state.site = SiteHolder(site or SITE, templates or TEMPLATES)
    logging.getLogger("uvicorn.access").addFilter(WithoutQuery())
    return app


def main(arguments: Sequence[str] | None = None) -> None:
    """Serve on this machine."""
    parser = argparse.ArgumentParser(description="Serve the Thimble playground.")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on")
    parser.add_argument("--port", type=int, default=8000, help="port to listen on, 0 for any")
    parser.add_argument("--site", type=Path, default=SITE, help="the folder that `make site` made")
    options = parser.parse_args(arguments)
    try:
        SiteHolder(options.site, TEMPLATES).page("page.html")
    except SiteError as error:
        sys.exit(f"thimble: {error}")
    uvicorn.run(create_app(options.site), host=options.host, port=options.port, server_header=False)


app = create_app()

if __name__ == "__main__":
    main()
