"""oEmbed: an address of this site in, what another site may show in its place out.

After the specification (https://oembed.com), section 2. It answers for the playground and for the
embed pages, with an `iframe`, and knows nothing of HTTP beyond the status of a refusal.
"""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import SplitResult, parse_qsl, quote, urlencode, urljoin, urlsplit

from ..errors import ThimbleError

WIDTH, HEIGHT = 640, 420
"""Pixels of the frame where nobody wants it smaller."""
CACHE_AGE = 3600
"""Seconds for which an answer holds."""

CARRIED = (
    "prompt", "max-tokens", "temperature", "top-p", "seed", "loading", "reveal", "readonly",
    "theme",
)  # fmt: skip
"""What of an address's query or fragment goes into the frame's."""

Models = Sequence[Mapping[str, Any]]


class OEmbedError(ThimbleError):
    """A request that gets no answer; `status` is HTTP's."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


def answer(query: Mapping[str, str], base: str, models: Models) -> dict[str, Any]:
    """The answer to a request with this query at the site whose address is `base`.

    Raises OEmbedError: 400 for a request that is wrong, 404 for an address that is not of this
    site, 501 for a format other than JSON.
    """
    wanted = query.get("format", "json")
    if wanted != "json":
        raise OEmbedError(501, f"the format is {wanted!r}; there is json")
    if not query.get("url"):
        raise OEmbedError(400, "there is no url: say which address is to be embedded")
    width = min(WIDTH, _pixels(query, "maxwidth", WIDTH))
    height = min(HEIGHT, _pixels(query, "maxheight", HEIGHT))
    model, values = _named(query["url"], base, models)
    return describe(model, base, values, width=width, height=height)


def describe(
    model: Mapping[str, Any],
    base: str,
    values: Mapping[str, str] | None = None,
    *,
    width: int = WIDTH,
    height: int = HEIGHT,
) -> dict[str, Any]:
    """The answer for one model's embed page below `base`."""
    title = f"{model['title']} · Thimble"
    source = f"{base}embed/{quote(model['name'], safe='')}/"
    if values:
        source += "?" + urlencode(values, quote_via=quote)
    frame = (
        f'<iframe src="{html.escape(source)}" title="{html.escape(title)}" width="{width}" '
        f'height="{height}" style="border: 0; max-width: 100%" loading="lazy"></iframe>'
    )
    return {
        "version": "1.0",
        "type": "rich",
        "title": title,
        "provider_name": "Thimble",
        "provider_url": base,
        "cache_age": CACHE_AGE,
        "width": width,
        "height": height,
        "html": frame,
    }


def link(page: str, base: str = "") -> str:
    """The address of the answer for a page of this site, for the page's own `<link>`."""
    return f"{base}oembed?format=json&url={quote(page, safe='')}"


def _pixels(query: Mapping[str, str], name: str, otherwise: int) -> int:
    given = query.get(name)
    if given is None:
        return otherwise
    if not (given.isascii() and given.isdigit() and int(given[:6]) > 0):
        raise OEmbedError(400, f"{name} is {given!r}; it must be a number of pixels from 1")
    return int(given[:6])


def _named(url: str, base: str, models: Models) -> tuple[Mapping[str, Any], dict[str, str]]:
    """The model that an address of this site is about, and what it says about the text."""
    foreign = OEmbedError(404, f"{url!r} is no address that this site can embed")
    try:
        # A link in a page that does not know its own address has a relative one.
        parts, ours = urlsplit(urljoin(base, url)), urlsplit(base)
        if _place(parts) != _place(ours):
            raise foreign
    except ValueError:
        raise foreign from None
    # The playground keeps its text in the fragment, with the API's names.
    said = {
        name.replace("_", "-"): value
        for name, value in parse_qsl(parts.query) + parse_qsl(parts.fragment)
    }
    whole = parts.path or "/"
    if not whole.startswith(ours.path):
        raise foreign
    path = whole.removeprefix(ours.path)
    if path == "":
        wanted = said.get("model") or _default(models)
    elif path.startswith("embed/"):
        wanted = path.removeprefix("embed/").removesuffix("/")
    else:
        raise foreign
    for model in models:
        if quote(model["name"], safe="") == wanted or model["name"] == wanted:
            return model, {name: said[name] for name in CARRIED if name in said}
    raise foreign


def _place(parts: SplitResult) -> tuple[str | None, int | None]:
    """Host and port. A proxy may have taken TLS off, so the scheme says nothing."""
    if parts.scheme not in ("http", "https"):
        raise ValueError(parts.scheme)
    usual = 443 if parts.scheme == "https" else 80
    port = parts.port or usual
    return parts.hostname, None if port == usual else port


def _default(models: Models) -> str:
    names: list[str] = [model["name"] for model in models if model.get("default")]
    names += [model["name"] for model in models]
    return names[0] if names else ""
