"""`thimble serve`: the playground, from a checkout whose site has been built.

The application is `server.py`, at the top of a checkout; it and its packages (the extra `server`)
are looked for only here.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
from argparse import ArgumentParser, Namespace
from pathlib import Path
from types import ModuleType

from ..errors import OptionError, UnsupportedError
from .command import Command

CHECKOUT = Path(__file__).resolve().parents[3]
"""Where `server.py` stands when the package runs from a checkout."""


def add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (%(default)s)")
    parser.add_argument(
        "--port", type=int, default=8000, metavar="N", help="port to listen on, 0 for any (8000)"
    )
    parser.add_argument(
        "--site", type=Path, metavar="DIR", help="the built site (build/site of the checkout)"
    )


def run(options: Namespace) -> int:
    if not 0 <= options.port <= 65535:
        raise OptionError(f"--port is {options.port}; it must be a whole number from 0 to 65535")
    server = _server()
    site = options.site or server.SITE
    if not (site / "build.json").is_file():
        raise UnsupportedError(f"there is no built site in {site}: run `make site` in the checkout")
    import uvicorn  # after `_server`, which says what is missing

    uvicorn.run(server.create_app(site), host=options.host, port=options.port, server_header=False)
    return 0


def _server() -> ModuleType:
    """The module `server`: the checkout's own, else one that is installed."""
    path = CHECKOUT / "server.py"
    try:
        if not path.is_file():
            return importlib.import_module("server")
        spec = importlib.util.spec_from_file_location("server", path)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules["server"] = module  # dataclasses look their module up
        spec.loader.exec_module(module)
        return module
    except ModuleNotFoundError as error:
        sys.modules.pop("server", None)
        if error.name == "server":
            raise UnsupportedError(
                "the server is not part of the package: clone the repository and run `make play`"
            ) from None
        raise UnsupportedError(
            f"serving needs the package {error.name!r}: pip install 'thimble-lm[server]'"
        ) from None


COMMAND = Command("serve", "serve the playground", add_arguments, run)
