"""What the commands that hand out the playground share: which site, and models of one's own."""

from __future__ import annotations

import sys
from argparse import ArgumentParser
from pathlib import Path

from ..errors import OptionError
from ..hosting.models import OwnModel, read_folder


def add_site(parser: ArgumentParser) -> None:
    parser.add_argument(
        "--site", type=Path, metavar="DIR", help="another built site than the one that came along"
    )


def own_models(folder: Path | None) -> list[OwnModel]:
    """The folder's models; what is wrong with the other files is told, and they are left out."""
    if folder is None:
        return []
    models, problems = read_folder(folder)
    for problem in problems:
        print(f"thimble: left out: {problem}", file=sys.stderr)
    if not models:
        raise OptionError(f"none of the GGUF files in {folder} can be served")
    for model in models:
        print(f"thimble: {model.name}: {model.listing['bytes']:,} bytes", file=sys.stderr)
    return models
