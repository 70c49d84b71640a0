"""`thimble quantize`: a file with its matrices in another encoding."""

from __future__ import annotations

import sys
from argparse import ArgumentParser, Namespace

from ..quantize import quantize_file
from ..tensor_types import FALLBACKS, WRITTEN
from .command import Command
from .progress import ProgressBar


def add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("source", metavar="IN.gguf", help="the file to read")
    parser.add_argument("target", metavar="OUT.gguf", help="the file to write")
    names = [t.name.lower() for t in WRITTEN]
    parser.add_argument(
        "--type", required=True, metavar="TYPE", help=f"what matrices become: {', '.join(names)}"
    )


def run(options: Namespace) -> int:
    with ProgressBar("quantizing") as bar:
        done = quantize_file(options.source, options.target, options.type, bar)
    if done.warning:
        print(f"thimble: warning: {done.warning}", file=sys.stderr)
    if done.replaced:
        print(f"thimble: {done.replaced}", file=sys.stderr)
    if done.misfits:
        block = FALLBACKS.get(done.type, done.type).block
        print(
            f"thimble: warning: {len(done.misfits)} matrices stay as they are, because their rows "
            f"are no multiple of {block}: {', '.join(done.misfits[:3])}"
            + (" ..." if len(done.misfits) > 3 else ""),
            file=sys.stderr,
        )
    names = f"{done.type.name} or {FALLBACKS[done.type].name}" if done.replaced else done.type.name
    print(
        f"{options.target}: {done.target_bytes:,} bytes, of {done.source_bytes:,}; "
        f"{done.converted} matrices are {names} now"
    )
    return 0


COMMAND = Command("quantize", "write a model with smaller weights", add_arguments, run)
