"""`thimble convert`: a model in another format becomes a GGUF file."""

from __future__ import annotations

import os
from argparse import ArgumentParser, Namespace
from typing import TYPE_CHECKING

from ..errors import OptionError, ThimbleError
from . import encodings
from .command import Command
from .progress import ProgressBar

if TYPE_CHECKING:
    from ..convert.encode import Converted


def add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument(
        "source",
        metavar="DIR",
        help="a folder of Hugging Face's: safetensors, config.json, tokenizer.json; or a model.bin "
        "of llama2.c's, or a ckpt.pt of nanoGPT's; or an adapter: PEFT's folder, or a GGUF file",
    )
    parser.add_argument(
        "target", metavar="OUT.gguf", help="the file to write; of a GGUF adapter, PEFT's folder"
    )
    encodings.add_type(parser, default="f16")
    parser.add_argument(
        "--tokenizer", metavar="FILE",
        help="the model's tokens where it is a file: of llama2.c's, a tokenizer.bin; of nanoGPT's, "
        "a meta.pkl or GPT-2's tokenizer.json",
    )  # fmt: skip
    parser.add_argument(
        "--base", metavar="MODEL",
        help="what an adapter is for: a folder of Hugging Face's, or a GGUF file",
    )  # fmt: skip


def run(options: Namespace) -> int:
    if _is_adapter(options.source):
        return _adapter(options)
    if options.base is not None:
        raise OptionError(f"{options.source!r} is no adapter; --base is for these")
    with ProgressBar("converting") as bar:
        try:
            done = _convert(options, bar)
        except ModuleNotFoundError as error:
            raise _missing(error) from None
    names = encodings.tell(done.type, done.replaced, done.misfits, "are F16")
    print(
        f"{options.target}: {done.nbytes:,} bytes; a {done.architecture} model of "
        f"{done.n_tensors} tensors, matrices as {names}"
    )
    return 0


def _is_adapter(source: str) -> bool:
    if os.path.isdir(source):
        return os.path.exists(os.path.join(source, "adapter_config.json"))
    return source.endswith(".gguf")


def _adapter(options: Namespace) -> int:
    try:
        from ..convert.peft import convert_peft, write_peft
    except ModuleNotFoundError as error:
        raise _missing(error) from None
    if os.path.isdir(options.source):
        done = convert_peft(options.source, options.target, options.base)
    elif options.base is None:
        raise OptionError(
            f"{options.source!r} becomes a folder of PEFT's, if it is an adapter: give --base as "
            "well, the folder or the GGUF file of the model that it is for"
        )
    else:
        done = write_peft(options.source, options.target, options.base)
    print(
        f"{options.target}: an adapter of {done.matrices} matrices of a {done.architecture} model, "
        f"of rank {done.rank}"
    )
    return 0


def _missing(error: ModuleNotFoundError) -> ThimbleError:
    return ThimbleError(f"converting needs {error.name}: install thimble-lm[convert], or numpy")


def _convert(options: Namespace, bar: ProgressBar) -> Converted:
    from ..convert.folder import convert_folder
    from ..convert.llama2c import convert_llama2c
    from ..convert.nanogpt import convert_nanogpt
    from ..convert.torch_file import is_archive

    source, tokenizer = options.source, options.tokenizer
    if tokenizer is None and not os.path.isfile(source):
        return convert_folder(source, options.target, options.type, bar)
    if os.path.isdir(source):
        raise OptionError(f"{source!r} is a folder, which has its tokenizer in it")
    nanogpt = is_archive(source)
    if tokenizer is None:
        whose, which = ("llama2.c", "its tokenizer.bin")
        if nanogpt:
            whose, which = ("nanoGPT", "its meta.pkl or GPT-2's tokenizer.json")
        raise OptionError(
            f"{source!r} is a file: of a model of {whose}'s, give --tokenizer as well, {which}"
        )
    convert = convert_nanogpt if nanogpt else convert_llama2c
    return convert(source, tokenizer, options.target, options.type, bar)


COMMAND = Command("convert", "make a GGUF file of a model in another format", add_arguments, run)
