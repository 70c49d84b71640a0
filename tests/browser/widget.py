"""Pages of another origin with the element, for the tests of both."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, Page

from .elsewhere import Elsewhere, serving

# Functions for the pages' scripts: hear(element) gathers the events, ended(element) waits.
TOOLS = """<script>
  const NAMES = ["load", "progress", "token", "finish", "error"];
  const hear = (element) => {
    element.heard = [];
    for (const name of NAMES) {
      element.addEventListener(name, ({ detail }) => element.heard.push([name, detail]));
    }
    return element;
  };
  const ended = (element) => new Promise((resolve) => {
    const look = () => element.heard?.findLast(([name]) => name === "finish" || name === "error");
    if (look()) return resolve(look());
    for (const name of ["finish", "error"]) {
      element.addEventListener(name, ({ detail }) => resolve([name, detail]), { once: true });
    }
  });
  const all = () => [...document.querySelectorAll("thimble-lm")];
  all().forEach(hear);
</script>"""


@pytest.fixture(scope="module")
def other_site() -> Iterator[Elsewhere]:
    with serving() as place:
        yield place


def tag(server: str, attributes: str = "", *, count: int = 1) -> str:
    """What a page's author writes, and our ears."""
    element = f"<thimble-lm {attributes}></thimble-lm>"
    return (
        f'<meta charset="utf-8">{element * count}{TOOLS}'
        f'<script type="module" src="{server}/widget.js"></script>'
    )


@pytest.fixture(scope="module")
def quiet(chromium: Browser, other_site: Elsewhere, server: str) -> Iterator[Page]:
    """A page for the tests that put their own elements into it; they share its engine."""
    context = chromium.new_context()
    context.set_default_timeout(120_000)
    page = context.new_page()
    page.goto(other_site.page(tag(server, count=0)))
    page.evaluate("() => customElements.whenDefined('thimble-lm').then(() => 1)")
    yield page
    context.close()


MADE = """(attributes) => {
  for (const element of all()) element.remove();
  const element = hear(document.createElement("thimble-lm"));
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  document.body.append(element);
}"""


@pytest.fixture
def element(quiet: Page) -> Any:
    """Puts one element with these attributes into the quiet page."""

    def made(**attributes: object) -> Page:
        named = {name.replace("_", "-"): str(value) for name, value in attributes.items()}
        quiet.evaluate(MADE, {"reveal": "manual", **named})
        return quiet

    return made
