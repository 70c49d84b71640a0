"""Which URL gives what: the Starlette application.

It serves the built site (`make site`, see docs/architecture.md) and the pages over it (`pages.py`).
It knows nothing of models or prompts: what people type stays in their browser and never arrives
here.
"""

from __future__ import annotations

import contextlib
import logging
import os
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from urllib.parse import unquote

from starlette.applications import Starlette
from starlette.datastructures import MutableHeaders
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from . import connection, oembed, precache
from .assets import REVALIDATE, Asset, Site, SiteError, packed
from .headers import EMBED_HEADERS, FILE_HEADERS, FRAME_HEADERS, MEDIA_TYPES, SECURITY_HEADERS
from .hosts import AllowedHosts, Hosts
from .models import OwnModel
from .pages import FOR_ONE, PAGES, WORDS, environment, render, render_frame

ALLOWED_HOSTS = "THIMBLE_ALLOWED_HOSTS"


class SiteHolder:
    """The current site and the pages over it; a rebuilt one is picked up without a restart."""

    def __init__(
        self,
        folder: Path,
        templates: Path,
        own: Sequence[OwnModel] = (),
        hosts: Hosts | None = None,
    ) -> None:
        self.folder = folder
        self.hosts = hosts or Hosts()
        self.templates = environment(templates)
        self._own = own
        self._site: Site | None = None
        self._stamp = 0
        self._pages: dict[str, Asset] = {}

    def get(self) -> Site:
        """The site as it lies on the disk now, or a `SiteError`."""
        try:
            stamp = (self.folder / "build.json").stat().st_mtime_ns
        except OSError as error:
            raise SiteError(f"no built site in {self.folder}: run `make site`") from error
        if self._site is None or stamp != self._stamp:
            site = Site(self.folder, headers=FILE_HEADERS, own=self._own)
            self._site, self._stamp, self._pages = site, stamp, {}
            self._list_pages(site)
        return self._site

    def page(self, path: str) -> Asset:
        """One of `PAGES`, rendered with what the build says; rendered once per build."""
        site = self.get()
        if path not in self._pages:
            name, headers = PAGES[path]
            html = render(self.templates, site, name).encode()
            caching = FOR_ONE if path == "" else REVALIDATE
            headers = {"Cache-Control": caching, **headers}
            self._pages[path] = Asset(packed(html), MEDIA_TYPES[".html"], headers)
        return self._pages[path]

    def frame(self, path: str) -> Asset | None:
        """The embed page at "embed/MODEL", with or without a slash at its end."""
        site = self.get()
        name = path.removeprefix("embed/").removesuffix("/")
        if path not in self._pages and any(one["name"] == name for one in site.build["models"]):
            root = "../" * path.count("/")
            link = oembed.link(path, root)
            html = render_frame(self.templates, site, name, root=root, link=link).encode()
            headers = {"Cache-Control": FOR_ONE, **FRAME_HEADERS}
            self._pages[path] = Asset(packed(html), MEDIA_TYPES[".html"], headers)
        return self._pages.get(path)

    def ready(self, url: bytes, headers: connection.Headers) -> Asset | None:
        """What is answered without the application: files, whose answers know no host."""
        if self.hosts.allow(headers):
            with contextlib.suppress(SiteError):
                return self.get().ready.get(url)
        return None

    def _list_pages(self, site: Site) -> None:
        """Tell the service worker the digests of the pages, as they are rendered here."""
        worker = site.assets.get(precache.NAME)
        if worker is None or not site.build.get("offline", True):
            return
        found = {
            url: self.find(unquote(url).removeprefix("./")) for url in precache.pages(site.build)
        }
        pages = {url: page.read() for url, page in found.items() if page}
        with contextlib.suppress(ValueError):  # one that takes the site back has no list
            site.replace(precache.NAME, precache.for_pages(worker.read(), pages))

    def find(self, path: str) -> Asset | None:
        """What lies at a path without its first slash: a page or a file of the site."""
        if path.startswith("embed/"):
            return self.frame(path)
        return self.page(path) if path in PAGES else self.get().assets.get(path)


class Files:
    """Answers for files and the playground before any routing: they are nearly all requests."""

    def __init__(self, app: ASGIApp, holder: SiteHolder) -> None:
        self.app = app
        self.holder = holder

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        root, path = scope.get("root_path", ""), scope["path"]
        if root and path.startswith(f"{root}{root}/"):
            # Uvicorn adds the prefix that a proxy took off; this proxy has left it on.
            path = path[len(root) :]
            scope = {**scope, "path": path}
        answer: ASGIApp = self.app
        if scope["method"] in ("GET", "HEAD"):
            place = path.removeprefix(root).removeprefix("/")
            with contextlib.suppress(SiteError):  # the application says what is missing
                answer = self.holder.find(place) or self.app
            if answer is not self.app and (place == "" or place.startswith("embed/")):
                send = discoverable(scope, place, send)
        await answer(scope, receive, send)


def discoverable(scope: Scope, place: str, send: Send) -> Send:
    """Say where oEmbed tells of a page, by an address that only the request knows whole."""
    base = str(Request(scope).base_url)
    query = scope["query_string"].decode("latin-1")
    link = oembed.link(f"{base}{place}{'?' * bool(query)}{query}", base)

    async def send_with_link(message: Message) -> None:
        if message["type"] == "http.response.start":
            value = f'<{link}>; rel="alternate"; type="application/json+oembed"'
            message = {**message, "headers": [*message["headers"], (b"link", value.encode())]}
        await send(message)

    return send_with_link


def _holder(request: Request) -> SiteHolder:
    holder: SiteHolder = request.app.state.site
    return holder


async def file(request: Request) -> Response:
    """Any other address; what there is, `Files` has answered. Says what a site lacks."""
    _holder(request).find(request.path_params["path"])
    raise HTTPException(404)


async def embeddable(request: Request) -> Response:
    """What another site may show in place of an address of this one (oEmbed).

    Every address in it begins with the host that the request names, so nobody else may be given it.
    """
    models = _holder(request).get().build["models"]
    try:
        body = oembed.answer(request.query_params, str(request.base_url), models)
    except oembed.OEmbedError as error:
        refused = {"error": str(error), "status": error.status}
        headers = {"Cache-Control": "no-store", **EMBED_HEADERS}
        return JSONResponse(refused, status_code=error.status, headers=headers)
    return JSONResponse(body, headers={"Cache-Control": "no-store", **EMBED_HEADERS})


async def healthz(request: Request) -> Response:
    """Whether this server can do its work."""
    build = _holder(request).get().build
    body = {"status": "ok", "version": build["version"], "build": build["build"]}
    return JSONResponse(body, headers={"Cache-Control": "no-store"})


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


def create_app(
    site: Path,
    templates: Path,
    *,
    own: Sequence[OwnModel] = (),
    hosts: Sequence[str] | None = None,
) -> Starlette:
    """The application over a built site and one's own models beside its own.

    `hosts` are all that a request may name (`hosts.py`); None are those of the
    environment's `THIMBLE_ALLOWED_HOSTS`, with commas between, and an empty list is any. A site
    that is missing answers 503 until it is there. Raises OptionError for a host that is none.
    """
    if hosts is None:
        hosts = [name for name in os.environ.get(ALLOWED_HOSTS, "").split(",") if name]
    known = Hosts(hosts)
    methods = ["GET"]  # Starlette adds HEAD
    routes = [
        Route("/healthz", healthz, methods=methods),
        Route("/oembed", embeddable, methods=methods),
        Route("/{path:path}", file, methods=methods),
    ]
    holder = SiteHolder(site, templates, own, known)

    @contextlib.asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[dict[str, object]]:
        yield {connection.STATE: holder.ready}

    app = Starlette(
        routes=routes,
        lifespan=lifespan,
        middleware=[
            Middleware(AllowedHosts, hosts=known),
            Middleware(Files, holder=holder),
            Middleware(SecurityHeaders),
        ],
        exception_handlers={HTTPException: http_failed, SiteError: site_failed},
    )
    app.state.site = holder
    logging.getLogger("uvicorn.access").addFilter(WithoutQuery())
    return app
