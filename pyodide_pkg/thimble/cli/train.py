"""`thimble train`: a model from a recipe and a text, with a receipt. `training_run.py` does it."""

from __future__ import annotations

import sys
from argparse import ArgumentParser, Namespace
from pathlib import Path

from ..errors import OptionError
from ..train.receipt import ENCODINGS
from ..train.recipe import Recipe
from . import inputs
from .command import Command
from .training_run import Run, TuningRun


def add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument(
        "recipe", metavar="RECIPE.json", help="the run's choices (docs/training.md)"
    )
    parser.add_argument("--data", required=True, metavar="TEXT", help="the text to learn from")
    parser.add_argument("--heldout", metavar="TEXT", help="another, to be measured on")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="the run's folder")
    parser.add_argument(
        "--type", metavar="TYPE",
        help=f"what matrices become in the file: {', '.join(ENCODINGS)} (q8_0; an adapter is f32)",
    )  # fmt: skip
    parser.add_argument("--resume", action="store_true", help="go on from the folder's checkpoint")
    inputs.add_base(parser)
    inputs.add_tokenizer(parser)
    inputs.add_threads(parser)


def run(options: Namespace) -> int:
    if options.type not in (None, *ENCODINGS):
        raise OptionError(f"--type is {options.type!r}; it must be one of {', '.join(ENCODINGS)}")
    base = inputs.base(options)
    if base is not None:
        return _go(TuningRun(base, options))
    recipe = Recipe.read(options.recipe)
    if recipe.backend == "torch":
        return _run_torch(recipe, options)
    return _go(Run(recipe, options))


def _go(run: Run) -> int:
    _tell_unused(run.trainer.recipe)
    try:
        return run.go()
    finally:
        run.trainer.close()


def _tell_unused(recipe: Recipe) -> None:
    """Say which choices, made for PyTorch, change nothing: our kernels compute in float32."""
    usual = Recipe()
    unused = [
        f"{name} {getattr(recipe, name)!r}"
        for name in ("dtype", "compile")
        if getattr(recipe, name) != getattr(usual, name)
    ]
    if unused:
        print(
            f"thimble: the recipe's {' and '.join(unused)} change nothing: they are for the "
            "backend 'torch', and our own kernels compute in float32",
            file=sys.stderr,
        )


def _run_torch(recipe: Recipe, options: Namespace) -> int:
    try:
        from .train_torch import run_torch
    except ModuleNotFoundError as error:
        raise OptionError(
            f"the recipe's backend is torch, and Python finds no {error.name}: install thimble-lm "
            "with its extra `train`, or make the backend 'thimble'"
        ) from None
    return run_torch(recipe, options)


COMMAND = Command("train", "train a model by a recipe, with a receipt", add_arguments, run)
