"""`thimble serve`: the playground, from a checkout whose site has been built or from the wheel.

It knows Uvicorn's options and where the front end lies; the application is
`hosting/application.py`. Each worker
makes its own from the settings that the first process leaves in the environment.
"""

from __future__ import annotations

import json
import os
from argparse import ArgumentParser, Namespace
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import OptionError
from ..fetch import models_folder
from ..hosting import front_end
from ..hosting.hosts import Hosts
from ..hosting.models import OwnModel, read_folder
from . import hosting
from .command import Command

if TYPE_CHECKING:
    from starlette.applications import Starlette
    from starlette.types import ASGIApp

SETTINGS = "THIMBLE_SERVE"
"""The environment variable that tells a worker what `run` was told: JSON."""
MAX_WORKERS = 64
KEY = "THIMBLE_API_KEY"
LOOPBACK = ("localhost", "127.0.0.1", "[::1]")


def add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (%(default)s)")
    parser.add_argument(
        "--port", type=int, default=8000, metavar="N", help="port to listen on, 0 for any (8000)"
    )
    parser.add_argument(
        "--models", type=Path, metavar="DIR", nargs="?", const=models_folder(),
        help="a folder with GGUF files to offer as well; without DIR that of `thimble get`",
    )  # fmt: skip
    parser.add_argument(
        "--workers", type=int, default=1, metavar="N", help="processes that answer (%(default)s)"
    )
    parser.add_argument(
        "--root-path", default="", metavar="PATH", help="the path that a proxy serves this under"
    )
    parser.add_argument(
        "--proxy-headers", action="store_true",
        help="believe X-Forwarded-For and X-Forwarded-Proto of the proxy",
    )  # fmt: skip
    parser.add_argument(
        "--forwarded-allow-ips", metavar="IPS",
        help="whose X-Forwarded headers to believe, with commas between (127.0.0.1)",
    )  # fmt: skip
    parser.add_argument(
        "--allowed-host", action="append", default=[], metavar="HOST",
        help="a host that requests may name, like example.org or *.example.org; may be given "
        "again (any)",
    )  # fmt: skip
    parser.add_argument(
        "--api", action="store_true",
        help="answer OpenAI's routes below /v1 as well, with these models, on this machine; the "
        f"environment's {KEY} is the key that requests must bring",
    )  # fmt: skip
    parser.add_argument("--access-log", action="store_true", help="write a line for each request")
    hosting.add_site(parser)


def run(options: Namespace) -> int:
    _check(options)
    found = front_end.find(options.site)
    own = hosting.own_models(options.models)
    with front_end.extra_packages():
        import uvicorn

        from ..hosting import connection
        from ..hosting.application import create_app

    settings: dict[str, Any] = {
        **connection.settings(),
        "host": options.host,
        "port": options.port,
        "access_log": options.access_log,
        "root_path": options.root_path.rstrip("/"),
        "proxy_headers": options.proxy_headers or options.forwarded_allow_ips is not None,
        "forwarded_allow_ips": options.forwarded_allow_ips,
    }
    if options.workers == 1:
        hosts = options.allowed_host
        app = create_app(found.site, found.templates, own=own, hosts=hosts)
        uvicorn.run(_with_api(app, found.site, own, options) if options.api else app, **settings)
        return 0
    told: dict[str, Any] = {"hosts": options.allowed_host}
    told |= {name: str(path) for name in ("site", "models") if (path := getattr(options, name))}
    os.environ[SETTINGS] = json.dumps(told)
    uvicorn.run(f"{__name__}:application", factory=True, workers=options.workers, **settings)
    return 0


def _with_api(app: Starlette, site: Path, own: Sequence[OwnModel], options: Namespace) -> ASGIApp:
    """The application with OpenAI's routes over its models."""
    from ..hosting.api.routes import Api, Beside

    shipped = json.loads((site / "build.json").read_text(encoding="utf-8"))["models"]
    models = {model.name: model.path for model in own}
    models |= {one["name"]: site / one["file"] for one in shipped if one["name"] not in models}
    local = options.host in (*LOOPBACK, "::1")
    hosts = options.allowed_host or (LOOPBACK if local else ())
    return Beside(app, Api(models, key=os.environ.get(KEY, ""), hosts=Hosts(hosts)))


def application() -> Starlette:
    """What a worker serves, by the settings in the environment."""
    told: dict[str, Any] = json.loads(os.environ[SETTINGS])
    site, models = (Path(told[name]) if name in told else None for name in ("site", "models"))
    found = front_end.find(site)
    own, _ = read_folder(models) if models else ([], [])
    from ..hosting.application import create_app

    return create_app(found.site, found.templates, own=own, hosts=told["hosts"])


def _check(options: Namespace) -> None:
    if not 0 <= options.port <= 65535:
        raise OptionError(f"--port is {options.port}; it must be a whole number from 0 to 65535")
    if not 1 <= options.workers <= MAX_WORKERS:
        raise OptionError(f"--workers is {options.workers}; it must be from 1 to {MAX_WORKERS}")
    if options.api and options.workers > 1:
        raise OptionError("--api answers from one process: leave --workers out")
    if options.api and options.host not in (*LOOPBACK, "::1") and not os.environ.get(KEY):
        raise OptionError(
            f"--api on {options.host} would answer anybody: set {KEY} in the environment, or leave "
            "--host out"
        )
    Hosts(options.allowed_host)
    root = options.root_path
    if root and (not root.startswith("/") or "?" in root or "#" in root or "//" in root):
        raise OptionError(f"--root-path is {root!r}; it must be a path like /thimble")


COMMAND = Command("serve", "serve the playground", add_arguments, run)
