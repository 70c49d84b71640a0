"""`thimble quantize`: a file with its matrices in another encoding."""

from __future__ import annotations

import sys
from argparse import ArgumentParser, Namespace

from ..quantize import quantize_file
from . import encodings
from .command import Command
from .progress import ProgressBar


def add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("source", metavar="IN.gguf", help="the file to read")
    parser.add_argument("target", metavar="OUT.gguf", help="the file to write")
    encodings.add_type(parser)


def run(options: Namespace) -> int:
    with ProgressBar("quantizing") as bar:
        done = quantize_file(options.source, options.target, options.type, bar)
    if done.warning:
        print(f"thimble: warning: {done.warning}", file=sys.stderr)
    names = encodings.tell(done.type, done.replaced, done.misfits, "stay as they are")
    print(
        f"{options.target}: {done.target_bytes:,} bytes, of {done.source_bytes:,}; "
        f"{done.converted} matrices are {names} now"
    )
    return 0


COMMAND = Command("quantize", "write a model with smaller weights", add_arguments, run)
