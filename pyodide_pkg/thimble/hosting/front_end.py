"""Where the front end lies: in a checkout, or in the wheel. Knows places only.

In a checkout the site is built below `build/`, the templates and the application are sources. A
wheel has copies of all three (`pyodide_pkg/backend.py` puts them there).
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

from ..errors import UnsupportedError

PACKAGE = Path(__file__).resolve().parents[1]
CHECKOUT = PACKAGE.parents[1]
"""Where `server.py` stands when the package runs from a checkout."""


@dataclass(frozen=True, slots=True)
class FrontEnd:
    """The built site, the page's words, and the application that serves both."""

    site: Path
    templates: Path
    server: Path
    hint: str
    """What to do where the site is missing."""


def find(site: Path | None = None) -> FrontEnd:
    """The front end of this installation, with another built site if one is given.

    Raises UnsupportedError where there is none, or where it has not been built.
    """
    if (CHECKOUT / "server.py").is_file():
        hint = "run `make site` in the checkout"
        templates = CHECKOUT / "web" / "templates"
        found = FrontEnd(CHECKOUT / "build" / "site", templates, CHECKOUT / "server.py", hint)
    elif (PACKAGE / "_server.py").is_file():
        hint = "run `make site`, or leave --site out"
        found = FrontEnd(PACKAGE / "_site", PACKAGE / "_templates", PACKAGE / "_server.py", hint)
    else:
        raise UnsupportedError(
            "this wheel was built without the page: build it in a checkout, with `make wheel`"
        )
    if site is not None:
        found = FrontEnd(site, found.templates, found.server, found.hint)
    if not (found.site / "build.json").is_file():
        raise UnsupportedError(f"there is no built site in {found.site}: {found.hint}")
    return found


def load_server(found: FrontEnd) -> ModuleType:
    """The application's module. Raises UnsupportedError where a package it needs is missing."""
    name = "thimble._server" if found.server.parent == PACKAGE else "server"
    try:
        if name != "server":
            return importlib.import_module(name)
        known = sys.modules.get(name)
        if known is not None and getattr(known, "__file__", None) == str(found.server):
            return known
        spec = importlib.util.spec_from_file_location(name, found.server)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules[name] = module  # dataclasses look their module up
        spec.loader.exec_module(module)
        return module
    except ModuleNotFoundError as error:
        sys.modules.pop(name, None)
        raise UnsupportedError(
            f"this needs the package {error.name!r}: pip install 'thimble-lm[serve]'"
        ) from None
