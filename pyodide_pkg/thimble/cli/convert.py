"""`thimble convert`: a model in another format becomes a GGUF file."""

from __future__ import annotations

import sys
from argparse import ArgumentParser, Namespace

from ..errors import ThimbleError
from .command import Command
from .progress import ProgressBar


def add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument(
        "source",
        metavar="DIR",
        help="a folder of Hugging Face's: safetensors, config.json, tokenizer.json",
    )
    parser.add_argument("target", metavar="OUT.gguf", help="the file to write")
    parser.add_argument(
        "--type",
        default="f16",
        metavar="TYPE",
        help="what matrices become: f16 (default), f32, q8_0, q4_0",
    )


def run(options: Namespace) -> int:
    try:
        from ..convert.folder import convert_folder
    except ModuleNotFoundError as error:
        raise ThimbleError(
            f"converting needs {error.name}: install thimble-lm[convert], or numpy"
        ) from None
    with ProgressBar("converting") as bar:
        done = convert_folder(options.source, options.target, options.type, bar)
    if done.misfits:
        print(
            f"thimble: warning: {len(done.misfits)} matrices are F16, because their rows are no "
            f"multiple of {done.type.block}: {', '.join(done.misfits[:3])}"
            + (" ..." if len(done.misfits) > 3 else ""),
            file=sys.stderr,
        )
    print(
        f"{options.target}: {done.nbytes:,} bytes; a {done.architecture} model of "
        f"{done.n_tensors} tensors, matrices as {done.type.name}"
    )
    return 0


COMMAND = Command("convert", "make a GGUF file of a model in another format", add_arguments, run)
