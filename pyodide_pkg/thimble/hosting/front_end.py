"""Where the front end lies: in a checkout, or in the wheel. Knows places only.

In a checkout the site is built below `build/`, and the templates are sources. A wheel has copies of
both (`pyodide_pkg/backend.py` puts them there).
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from ..errors import UnsupportedError

PACKAGE = Path(__file__).resolve().parents[1]
CHECKOUT = PACKAGE.parents[1]
"""Where `web/` stands when the package runs from a checkout."""


@dataclass(frozen=True, slots=True)
class FrontEnd:
    """The built site, and the page's words."""

    site: Path
    templates: Path
    hint: str
    """What to do where the site is missing."""


def find(site: Path | None = None) -> FrontEnd:
    """The front end of this installation, with another built site if one is given.

    Raises UnsupportedError where there is none, or where it has not been built.
    """
    if (CHECKOUT / "web" / "templates").is_dir():
        hint = "run `make site` in the checkout"
        found = FrontEnd(CHECKOUT / "build" / "site", CHECKOUT / "web" / "templates", hint)
    elif (PACKAGE / "_templates").is_dir():
        hint = "run `make site`, or leave --site out"
        found = FrontEnd(PACKAGE / "_site", PACKAGE / "_templates", hint)
    else:
        raise UnsupportedError(
            "this wheel was built without the page: build it in a checkout, with `make wheel`"
        )
    if site is not None:
        found = FrontEnd(site, found.templates, found.hint)
    if not (found.site / "build.json").is_file():
        raise UnsupportedError(f"there is no built site in {found.site}: {found.hint}")
    return found


@contextlib.contextmanager
def extra_packages() -> Iterator[None]:
    """Raise UnsupportedError where a package is missing that what is imported here needs."""
    try:
        yield
    except ModuleNotFoundError as error:
        raise UnsupportedError(
            f"this needs the package {error.name!r}: pip install 'thimble-lm[serve]'"
        ) from None
