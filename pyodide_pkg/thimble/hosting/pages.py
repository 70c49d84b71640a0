"""The pages: templates rendered for a built site, to be served or written into a folder."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from ..json_options import JSON_OPTIONS
from ..sampling_options import OPTIONS
from . import oembed, precache
from .assets import REVALIDATE, Site
from .headers import FETCHING_HEADERS, FRAME_HEADERS, SECURITY_HEADERS

# A page whose answer says where oEmbed tells of it, by the host that the request names: no cache
# that others share may keep it.
FOR_ONE = "private, no-cache"
# What is rendered beside the embed pages, by its address without the first slash.
PAGES = {
    "": ("page.html", SECURITY_HEADERS),
    precache.FETCHING: ("save-model.html", FETCHING_HEADERS),
}


def environment(templates: Path) -> Environment:
    """How the page's words are read: an unknown name is an error, and everything is escaped."""
    found = Environment(
        loader=FileSystemLoader(templates), autoescape=True, undefined=StrictUndefined,
        trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip
    found.globals["sampling_options"] = OPTIONS
    found.globals["json_options"] = JSON_OPTIONS
    return found


WORDS = {
    404: ("Nothing is here", "There is no page at this address."),
    405: ("Not that way", "This address can be read, not written to."),
    503: ("Not built yet", "The site has not been built on this machine: run `make site`."),
}
"""What is said of an error: a title and a sentence."""


def render(templates: Environment, site: Site, name: str, **words: object) -> str:
    """A template's text for a site; `words` are what only this rendering says."""
    return templates.get_template(name).render(build=site.build, asset=site.url, **words)


def render_frame(
    templates: Environment, site: Site, name: str, *, root: str, link: str | None, **words: object
) -> str:
    """A model's embed page; `root` leads from it to the site, `link` to what oEmbed says of it."""
    [model] = [one for one in site.build["models"] if one["name"] == name]
    return render(templates, site, "embed.html", model=model, root=root, oembed=link, **words)


def static_pages(templates: Path, site: Site, base_url: str | None) -> dict[str, str]:
    """The pages as files for `thimble export`: what headers say otherwise stands in them."""
    policy = _within(SECURITY_HEADERS)
    texts = environment(templates)
    title, sentence = WORDS[404]
    lost = {"status": 404, "title": title, "words": sentence, "home": base_url}
    return {
        "index.html": render(texts, site, "page.html", policy=policy, base_url=base_url),
        "404.html": render(texts, site, "error.html", policy=policy, **lost),
        precache.file_of(precache.FETCHING): render(
            texts, site, "save-model.html", policy=_within(FETCHING_HEADERS)
        ),
        **_static_frames(texts, site, base_url),
    }


def _within(headers: Mapping[str, str]) -> str:
    """The policy of these headers as a page itself may say it."""
    parts = headers["Content-Security-Policy"].split("; ")
    return "; ".join(part for part in parts if "frame-ancestors" not in part)


def _static_frames(texts: Environment, site: Site, base_url: str | None) -> dict[str, str]:
    """The embed pages, and what oEmbed says of each where the folder's address is known."""
    policy = _within(FRAME_HEADERS)
    pages: dict[str, str] = {}
    for model in site.build["models"]:
        folder, link = f"embed/{model['name']}/", None
        if base_url is not None:
            link = f"{base_url}{folder}oembed.json"
            pages[f"{folder}oembed.json"] = json.dumps(oembed.describe(model, base_url), indent=1)
        pages[f"{folder}index.html"] = render_frame(
            texts, site, model["name"], root="../../", link=link, policy=policy
        )
    return pages


def static_rules() -> dict[str, dict[str, str]]:
    """Headers of further exported pages, by path, for hosts that read a file `_headers`."""
    return {
        "/embed/*": {"Cache-Control": REVALIDATE, **FRAME_HEADERS},
        f"/{precache.FETCHING}*": {"Cache-Control": REVALIDATE, **FETCHING_HEADERS},
    }
