"""`thimble export`: the playground as a folder for any static host or CDN."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from pathlib import Path

from ..errors import OptionError
from ..fetch import models_folder
from ..hosting import front_end
from . import hosting, inputs
from .command import Command


def add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("folder", type=Path, metavar="DIR", help="the folder to write")
    parser.add_argument(
        "--base-url", metavar="URL",
        help="the address that the folder will have, for what must name it in full",
    )  # fmt: skip
    parser.add_argument(
        "--models", metavar="NAMES",
        help="the models to offer, with commas between, the default one first (all)",
    )  # fmt: skip
    parser.add_argument(
        "--own-models", type=Path, metavar="DIR", nargs="?", const=models_folder(),
        help="a folder with GGUF files to offer as well; without DIR that of `thimble get`",
    )  # fmt: skip
    parser.add_argument(
        "--force", action="store_true", help="replace the folder, whatever is in it"
    )
    hosting.add_site(parser)
    inputs.add_json(parser)


def run(options: Namespace) -> int:
    found = front_end.find(options.site)
    with front_end.extra_packages():
        from ..hosting import export

    base_url = None if options.base_url is None else export.check_base_url(options.base_url)
    sources = [found.site, *([options.own_models] if options.own_models else [])]
    folder = export.check_folder(options.folder, force=options.force, sources=sources)
    own = hosting.own_models(options.own_models)
    plan = export.Plan(found, base_url, own, _names(options.models))
    report = export.export(folder, plan)
    if options.json:
        inputs.print_json(report)
    else:
        print("\n".join(export.lines(report)))
    return 0


def _names(models: str | None) -> list[str] | None:
    if models is None:
        return None
    names = [name.strip() for name in models.split(",")]
    if not all(names):
        raise OptionError(f"--models is {models!r}; it must be names with commas between")
    return names


COMMAND = Command("export", "write the playground as a folder of files", add_arguments, run)
