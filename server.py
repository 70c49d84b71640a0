"""The playground of a checkout, served: `python server.py`, or `uvicorn server:app`.

Which URL gives what says `thimble/hosting/application.py`; here are the places of a checkout.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import uvicorn
from starlette.applications import Starlette

from thimble.errors import ThimbleError
from thimble.fetch import models_folder
from thimble.hosting import application, connection
from thimble.hosting.models import OwnModel, read_folder

ROOT = Path(__file__).resolve().parent
SITE = ROOT / "build" / "site"
TEMPLATES = ROOT / "web" / "templates"


def create_app(
    site: Path = SITE,
    *,
    templates: Path = TEMPLATES,
    own: Sequence[OwnModel] = (),
    hosts: Sequence[str] | None = None,
) -> Starlette:
    """The application over this checkout's site, or another one: `application.create_app`."""
    return application.create_app(site, templates, own=own, hosts=hosts)


def main(arguments: Sequence[str] | None = None) -> None:
    """Serve on this machine."""
    parser = argparse.ArgumentParser(description="Serve the Thimble playground.")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on")
    parser.add_argument("--port", type=int, default=8000, help="port to listen on, 0 for any")
    parser.add_argument("--site", type=Path, default=SITE, help="the folder that `make site` made")
    parser.add_argument(
        "--models", type=Path, metavar="DIR", nargs="?", const=models_folder(),
        help="a folder with GGUF files to offer behind the site's own; without DIR that of "
        "`thimble get`",
    )  # fmt: skip
    parser.add_argument(
        "--allowed-host", action="append", metavar="HOST",
        help="a host that requests may name; may be given again "
        f"(any, or {application.ALLOWED_HOSTS})",
    )  # fmt: skip
    options = parser.parse_args(arguments)
    try:
        application.SiteHolder(options.site, TEMPLATES).page("")
        own, problems = read_folder(options.models, first=False) if options.models else ([], [])
        made = create_app(options.site, own=own, hosts=options.allowed_host)
    except ThimbleError as error:
        sys.exit(f"thimble: {error}")
    for problem in problems:
        print(f"thimble: left out: {problem}", file=sys.stderr)
    uvicorn.run(made, host=options.host, port=options.port, **connection.settings())


app = create_app()

if __name__ == "__main__":
    main()
