"""`thimble convert`: a model in another format becomes a GGUF file."""

from __future__ import annotations

import os
from argparse import ArgumentParser, Namespace

from ..errors import OptionError, ThimbleError
from . import encodings
from .command import Command
from .progress import ProgressBar


def add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument(
        "source",
        metavar="DIR",
        help="a folder of Hugging Face's: safetensors, config.json, tokenizer.json; or a model.bin "
        "of llama2.c's",
    )
    parser.add_argument("target", metavar="OUT.gguf", help="the file to write")
    encodings.add_type(parser, default="f16")
    parser.add_argument(
        "--tokenizer", metavar="TOKENIZER.bin", help="with a model of llama2.c's: its tokenizer"
    )


def run(options: Namespace) -> int:
    try:
        from ..convert.folder import convert_folder
        from ..convert.llama2c import convert_llama2c
    except ModuleNotFoundError as error:
        raise ThimbleError(
            f"converting needs {error.name}: install thimble-lm[convert], or numpy"
        ) from None
    with ProgressBar("converting") as bar:
        if options.tokenizer is not None:
            done = convert_llama2c(
                options.source, options.tokenizer, options.target, options.type, bar
            )
        elif os.path.isfile(options.source):
            raise OptionError(
                f"{options.source!r} is a file: of a model of llama2.c's, give --tokenizer as well"
            )
        else:
            done = convert_folder(options.source, options.target, options.type, bar)
    names = encodings.tell(done.type, done.replaced, done.misfits, "are F16")
    print(
        f"{options.target}: {done.nbytes:,} bytes; a {done.architecture} model of "
        f"{done.n_tensors} tensors, matrices as {names}"
    )
    return 0


COMMAND = Command("convert", "make a GGUF file of a model in another format", add_arguments, run)
