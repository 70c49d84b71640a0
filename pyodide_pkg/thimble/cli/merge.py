"""`thimble merge`: a model and an adapter, or a task's, as one file."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from pathlib import Path
from typing import TYPE_CHECKING

from . import encodings
from .command import Command
from .progress import ProgressBar

if TYPE_CHECKING:
    from ..adapter import AdapterFile


def add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("base", metavar="MODEL.gguf", help="the model that the adapter is for")
    parser.add_argument("adapter", metavar="ADAPTER", help="a GGUF adapter, or a task's file")
    parser.add_argument("target", metavar="OUT.gguf", help="the file to write")
    parser.add_argument(
        "--strength", type=float, default=1.0, metavar="S",
        help="1 for the adapter as it was trained (1)",
    )  # fmt: skip
    encodings.add_type(parser)


def run(options: Namespace) -> int:
    from ..merge import merge_file  # with NumPy, for which other commands do not wait

    with ProgressBar("merging") as bar:
        changed = merge_file(
            options.base, _adapter(Path(options.adapter)), options.target, options.type, bar,
            strength=options.strength,
        )  # fmt: skip
    size = Path(options.target).stat().st_size
    print(f"{options.target}: {size:,} bytes; the adapter is in {changed} matrices")
    return 0


def _adapter(path: Path) -> AdapterFile:
    from ..adapter import read_adapter
    from ..tasks.task import Task

    data = path.read_bytes()
    return Task.read(data).adapter if data.lstrip()[:1] == b"{" else read_adapter(data)


COMMAND = Command("merge", "write a model and an adapter as one file", add_arguments, run)
