"""`thimble embed`: texts to vectors, or the lines of a text that are most like a question."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace

from ..embedding import embed
from ..errors import OptionError
from . import inputs
from .command import Command
from .progress import ProgressBar


def add_arguments(parser: ArgumentParser) -> None:
    inputs.add_model(parser)
    add = parser.add_argument
    add("text", nargs="?", default=inputs.STDIN, metavar="TEXT",
        help="the text, a vector for each line; without it, or for -, standard input")  # fmt: skip
    add("--like", metavar="TEXT",
        help="instead of vectors print the lines, the most like this text first")  # fmt: skip
    inputs.add_threads(parser)


def run(options: Namespace) -> int:
    lines = [line for line in inputs.text_from(options.text).splitlines() if line.strip()]
    if not lines:
        raise OptionError("the text has no line that says anything")
    model = inputs.load_model(options.model, threads=options.threads)
    asked = [] if options.like is None else [options.like]
    with ProgressBar("reading") as bar:
        vectors = embed(model, lines + asked, progress=bar)
    if options.like is None:
        inputs.print_json([list(vector) for vector in vectors])
        return 0
    question = vectors.pop()
    found = [
        (sum(a * b for a, b in zip(vector, question, strict=True)), line)
        for vector, line in zip(vectors, lines, strict=True)
    ]
    for likeness, line in sorted(found, key=lambda one: -one[0]):
        print(f"{likeness:.4f}\t{line}")
    return 0


COMMAND = Command("embed", "print a text's vectors, or the lines most like it", add_arguments, run)
