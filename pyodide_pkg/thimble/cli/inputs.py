"""What several subcommands take: a model, a text, an output as JSON."""

from __future__ import annotations

import json
import sys
from argparse import ArgumentParser, Namespace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import FormatError, OptionError
from ..fetch import local
from ..kernel import default_kernel
from ..language_model import LanguageModel
from ..loader import load
from ..model import Model
from ..state import KV_TYPES
from .progress import ProgressBar

if TYPE_CHECKING:
    from ..train.finetune import Base

STDIN = "-"
"""Stands for standard input where a text or a file is asked for."""
MODEL_HELP = "the model's file, or its address as `thimble get` takes it"
MAX_THREADS = 16
"""`TK_MAX_THREADS` of the kernels."""


def add_model(parser: ArgumentParser) -> None:
    """The first argument of most subcommands."""
    parser.add_argument("model", metavar="MODEL", help=MODEL_HELP)


def add_models(parser: ArgumentParser) -> None:
    """The first arguments where several models can answer as one."""
    from ..combined import METHODS

    parser.add_argument("models", metavar="MODEL", nargs="+", help=MODEL_HELP)
    parser.add_argument(
        "--ensemble", choices=tuple(METHODS), metavar="METHOD",
        help=f"how several models are one: {', '.join(METHODS)} (mixture)",
    )  # fmt: skip
    parser.add_argument(
        "--weights", metavar="W,W,...", help="one number a model, in their order (equal ones)"
    )
    parser.add_argument(
        "--kv-type", choices=tuple(KV_TYPES), default="f32",
        help="as what keys and values are kept: in half precision or 8 bits they take a half or a "
        "quarter of the memory (%(default)s)",
    )  # fmt: skip
    parser.add_argument("--adapter", metavar="FILE", help="a GGUF file that changes the model")
    parser.add_argument(
        "--adapter-strength", type=float, metavar="S",
        help="how much: 0 is the model alone, 1 the adapter as it was trained (1)",
    )  # fmt: skip
    parser.add_argument(
        "--control-vector", metavar="FILE",
        help="a GGUF file of directions that lead what is written, as of repeng and llama.cpp",
    )  # fmt: skip
    parser.add_argument(
        "--control-vector-strength", type=float, metavar="S",
        help="how far; below 0 the other way (1)",
    )  # fmt: skip


def add_json(parser: ArgumentParser) -> None:
    """The switch for output that programs read."""
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def add_threads(parser: ArgumentParser) -> None:
    """The switch of what computes."""
    parser.add_argument(
        "--threads", type=int, default=1, metavar="N",
        help="threads to compute with; the result is the same to the bit (%(default)s)",
    )  # fmt: skip


def add_tokenizer(parser: ArgumentParser) -> None:
    """The switch of what trains, for models that are to share a tokenizer."""
    parser.add_argument(
        "--tokenizer", metavar="MODEL.gguf",
        help="take over this model's tokenizer, which Thimble trained, and train none",
    )  # fmt: skip


def tokenizer(options: Namespace) -> dict[str, Any] | None:
    """The metadata that `--tokenizer` asked for."""
    if not options.tokenizer:
        return None
    from ..train.vocabulary import vocabulary_of

    return vocabulary_of(options.tokenizer)


def add_base(parser: ArgumentParser) -> None:
    """The switch of what trains, for runs that begin from a model."""
    parser.add_argument(
        "--base", metavar="MODEL.gguf", help="begin from this model, not from random weights"
    )


def base(options: Namespace) -> Base | None:
    """The model that `--base` asked for."""
    if not options.base:
        return None
    if options.tokenizer:
        raise OptionError("--tokenizer and --base exclude each other: a base brings its own")
    from ..train.finetune import Base

    return Base(model_path(options.base).read_bytes())


def check_threads(threads: int) -> None:
    """Raise OptionError for more or fewer than there can be."""
    if not 1 <= threads <= MAX_THREADS:
        raise OptionError(f"--threads is {threads}; it must be from 1 to {MAX_THREADS}")


def load_model(path: str, *, threads: int = 1, kv_type: str = "f32") -> Model:
    """The model at a path or an address, with progress bars. Raises OptionError for too many
    threads."""
    check_threads(threads)
    default_kernel().call("threads", threads)
    file = model_path(path)
    with ProgressBar("loading") as bar:
        return load(file, progress=bar, kv_type=kv_type)


def model_path(words: str) -> Path:
    """The path of a model; one at an address is downloaded first, if it is not here yet."""
    with ProgressBar("downloading") as bar:
        return local(words, bar)


def load_models(options: Namespace) -> LanguageModel:
    """What `add_models` asked for: one model, or several as one.

    Raises OptionError for a file that is named twice and for weights that make no sense; what
    `Model.adapt` does.
    """
    paths: list[str] = options.models
    weights = _weights(options.weights)
    if len(paths) == 1:
        if options.ensemble or weights:
            raise OptionError("--ensemble and --weights want two models or more")
        return _steered(_adapted(one_model(paths[0], options), options), options)
    for name in ("adapter", "control_vector"):
        if getattr(options, name):
            flag = name.replace("_", "-")
            raise OptionError(
                f"--{flag} goes with one model: whose it would be of several is unsaid"
            )
    from ..ensemble import combine

    files = [model_path(path) for path in paths]
    for index, path in enumerate(files):
        if any(path.samefile(other) for other in files[:index]):
            raise OptionError(f"{path} is there twice: it would only weigh more")
    members = [one_model(path, options) for path in paths]
    return combine(members, method=options.ensemble or "mixture", weights=weights)


def one_model(path: str, options: Namespace) -> Model:
    """The model at `path`, with what else `add_models` takes."""
    return load_model(path, threads=options.threads, kv_type=options.kv_type)


def _adapted(model: Model, options: Namespace) -> Model:
    """The model with the adapter on it that was asked for."""
    strength = options.adapter_strength
    if options.adapter:
        model.adapt(options.adapter, 1.0 if strength is None else strength)
    elif strength is not None:
        raise OptionError("--adapter-strength goes with --adapter")
    return model


def _steered(model: Model, options: Namespace) -> Model:
    """The model with the control vector that was asked for."""
    strength = options.control_vector_strength
    if options.control_vector:
        from ..lens import ControlVector

        vector = ControlVector.load(options.control_vector)
        model.fwd_hooks = vector.hooks(model, 1.0 if strength is None else strength)
    elif strength is not None:
        raise OptionError("--control-vector-strength goes with --control-vector")
    return model


def _weights(text: str | None) -> list[float] | None:
    if text is None:
        return None
    try:
        return [float(part) for part in text.split(",")]
    except ValueError:
        raise OptionError(f"--weights is {text!r}; it must be numbers with commas") from None


def text_from(argument: str) -> str:
    """The text that an argument is, or standard input for "-", exactly as it comes."""
    if argument == STDIN:
        return _decode(sys.stdin.buffer.read(), "standard input")
    try:
        # Python hides bytes of the command line that are no UTF-8 in halves of surrogate pairs.
        data = argument.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        return argument  # other halves, from a caller in Python: the tokenizer refuses them
    return _decode(data, "the text on the command line")


def text_file(path: str) -> str:
    """The text in a file, or on standard input for "-"."""
    if path == STDIN:
        return text_from(STDIN)
    return _decode(Path(path).read_bytes(), path)


def _decode(data: bytes, source: str) -> str:
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise FormatError(
            f"{source} is not UTF-8: byte 0x{data[error.start]:02x} at offset {error.start} "
            f"({error.reason})"
        ) from None


def print_json(value: object) -> None:
    """One JSON value on one line of standard output."""
    print(json.dumps(value))
