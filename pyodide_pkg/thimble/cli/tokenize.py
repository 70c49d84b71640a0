"""`thimble tokenize`: text to ids. Only the file's header is read."""

from __future__ import annotations

from argparse import ArgumentParser, BooleanOptionalAction, Namespace

from ..gguf import read_file_header
from ..tokenizer import tokenizer_from_metadata
from . import inputs
from .command import Command


def add_arguments(parser: ArgumentParser) -> None:
    inputs.add_model(parser)
    parser.add_argument(
        "text", nargs="?", default=inputs.STDIN, metavar="TEXT",
        help="the text; without it, or for -, standard input, every byte of it",
    )  # fmt: skip
    parser.add_argument(
        "--special", action=BooleanOptionalAction, default=False,
        help="whether the name of a special token, like </s>, becomes that token",
    )  # fmt: skip
    parser.add_argument(
        "--add-special", action=BooleanOptionalAction, default=False,
        help="whether BOS and EOS are added where the file wants them; generate does that",
    )  # fmt: skip


def run(options: Namespace) -> int:
    tokenizer = tokenizer_from_metadata(read_file_header(inputs.model_path(options.model)).metadata)
    text = inputs.text_from(options.text)
    inputs.print_json(
        tokenizer.encode(text, add_special=options.add_special, parse_special=options.special)
    )
    return 0


COMMAND = Command("tokenize", "print the token ids of a text as a JSON list", add_arguments, run)
