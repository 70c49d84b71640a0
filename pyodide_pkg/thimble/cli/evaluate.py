"""`thimble eval`: how well a model predicts a text. The method is in `thimble/evaluate.py`."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace

from ..errors import OptionError
from ..evaluate import SEPARATOR, evaluate_text, split_stories
from . import inputs
from .command import Command
from .progress import ProgressBar


def add_arguments(parser: ArgumentParser) -> None:
    inputs.add_models(parser)
    parser.add_argument(
        "--text", required=True, metavar="FILE",
        help=f"stories with a line {SEPARATOR} between them; - reads standard input",
    )  # fmt: skip
    parser.add_argument("--stories", type=int, metavar="N", help="only the first N of them (all)")
    inputs.add_threads(parser)
    inputs.add_json(parser)


def run(options: Namespace) -> int:
    if options.stories is not None and options.stories < 1:
        raise OptionError(f"--stories is {options.stories}; it must be 1 or more")
    stories = split_stories(inputs.text_file(options.text))[: options.stories]
    model = inputs.load_models(options)
    with ProgressBar("evaluating") as bar:
        found = evaluate_text(model, stories, progress=bar)
    if options.json:
        inputs.print_json({
            "bits_per_byte": found.bits_per_byte,
            "nats_per_token": found.nats_per_token,
            "bytes": found.bytes,
            "tokens": found.tokens,
            "stories": found.stories,
        })  # fmt: skip
    else:
        print(f"{found.bits_per_byte:.4f} bits per byte, {found.nats_per_token:.4f} nats per token")
        print(f"{found.stories:,} stories, {found.tokens:,} tokens, {found.bytes:,} bytes")
    return 0


COMMAND = Command("eval", "measure how well a model predicts a text", add_arguments, run)
