"""`thimble tune`: examples into a task's file, by an adapter, measured on examples it did not see.

In the folder: `task.json`; the same adapter as `adapter.gguf`, and what `thimble verify` wants,
`receipt.json` and `train.txt`; from time to time `checkpoint.bin`, from which `--resume` goes on.
"""

from __future__ import annotations

import json
import time
from argparse import ArgumentParser, Namespace
from pathlib import Path
from typing import Any

from ..errors import OptionError
from ..tasks.card import measure_task, table
from ..tasks.examples import KINDS, Examples, make_examples
from ..tasks.sets import SETS, example_set
from ..tasks.tables import read_table
from ..tasks.task import Task
from ..tasks.tuner import TaskTuner, TuneOptions
from ..train.finetune import Base
from . import inputs
from .command import Command
from .progress import ProgressBar
from .training_run import ADAPTER, CHECKPOINT, RECEIPT, write

TASK, TEXT = "task.json", "train.txt"
SAVE_SECONDS = 10.0


def add_arguments(parser: ArgumentParser) -> None:
    inputs.add_model(parser)
    usual = TuneOptions()
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--data", metavar="FILE", help="examples: CSV, TSV or lines of JSON")
    source.add_argument("--set", metavar="NAME", help=f"examples of ours: {', '.join(SETS)}")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="the task's folder")
    parser.add_argument("--given", default="", metavar="COLUMN", help="what is given (found out)")
    parser.add_argument("--wanted", default="", metavar="COLUMN", help="what is wanted (found out)")
    parser.add_argument(
        "--kind", default="", metavar="KIND", help=f"{', '.join(KINDS)} (found out)"
    )
    parser.add_argument("--name", metavar="NAME", help="the task's (the file's)")
    for name, kind, value, words in (
        ("rank", int, usual.rank, "of the adapter"),
        ("passes", float, usual.passes, "through the examples, at most"),
        ("learning-rate", float, usual.learning_rate, "at its highest"),
        ("seed", int, usual.seed, "of the adapter and of the order"),
        ("shots", int, 5, "examples in the base's prompt, to compare with"),
        ("threshold", float, 0.0, "below this probability a label is “don't know”"),
    ):
        parser.add_argument(
            f"--{name}", type=kind, default=value, metavar="N", help=f"{words} (%(default)s)"
        )
    parser.add_argument(
        "--matrices", default="", metavar="NAMES", help="which are adapted, spaces between (all)"
    )
    parser.add_argument("--template", default="", metavar="T", help="the prompt, with {text} in it")
    parser.add_argument("--resume", action="store_true", help="go on from the folder's checkpoint")
    parser.add_argument(
        "--check", action="store_true", help="say what the examples are, and train nothing"
    )
    inputs.add_threads(parser)


def run(options: Namespace) -> int:
    inputs.check_threads(options.threads)
    if not 0 <= options.threshold <= 1 or not 0 <= options.shots <= 100:
        raise OptionError(
            f"--threshold is {options.threshold}, --shots {options.shots}; from 0 to 1 and from 0 "
            "to 100 are right"
        )
    given = example_set(options.set) if options.set else read_table(Path(options.data).read_bytes())
    chosen = {"given": options.given, "wanted": options.wanted, "kind": options.kind}
    examples = make_examples(given, **chosen)
    _tell(examples)
    if options.check:
        return 0
    base = Base(inputs.model_path(options.model).read_bytes())
    tuner = _tuner(base, examples, options)
    try:
        _train(tuner, options.out)
        name = options.name or options.set or Path(options.data).stem
        task = tuner.task(name, threshold=options.threshold)
        options.out.joinpath(TEXT).write_text(tuner.texts()[0], encoding="utf-8", newline="")
        examples = tuner.examples
    finally:
        tuner.close()
    task = _measured(task, examples, options)
    folder: Path = options.out
    write(folder / TASK, task.to_json().encode())
    write(folder / ADAPTER, task.adapter.data)
    write(folder / RECEIPT, (json.dumps(task.receipt, indent=1) + "\n").encode())
    print(f"{folder / TASK}: {len(task.to_json()):,} bytes")
    return 0


def _tell(examples: Examples) -> None:
    """Say what the examples are."""
    report = examples.report()
    parts = ", ".join(f"{n:,} {part}" for part, n in report["parts"].items())
    print(f"{report['examples']:,} examples of kind {report['kind']}: {parts}")
    print(f"given {report['given']!r}, wanted {report['wanted']!r}")
    for why, n in report["left_out"].items():
        print(f"left out: {n:,} {why}")
    for label, n in report["labels"].items():
        print(f"  {n:6,} {label}")


def _tuner(base: Base, examples: Examples, options: Namespace) -> TaskTuner:
    choices = TuneOptions(
        options.rank, options.passes, options.learning_rate, options.seed, options.matrices,
        options.template,
    )  # fmt: skip
    more: dict[str, Any] = {"options": choices, "threads": options.threads}
    path = options.out / CHECKPOINT
    if not path.exists():
        options.out.mkdir(parents=True, exist_ok=True)
        return TaskTuner(base, examples, **more)
    if not options.resume:
        raise OptionError(
            f"{path} is there: --resume goes on with that run; another one needs another --out"
        )
    return TaskTuner(base, examples, saved=path.read_bytes(), **more)


def _train(tuner: TaskTuner, folder: Path) -> None:
    """Make steps until the check part gets no better; a checkpoint is there, come what may."""
    path, saved, steps = folder / CHECKPOINT, time.monotonic(), tuner.trainer.recipe.steps
    with ProgressBar("training") as bar:
        try:
            while not tuner.done:
                bar(tuner.step().step, steps)
                if time.monotonic() - saved >= SAVE_SECONDS:
                    write(path, tuner.checkpoint())
                    saved = time.monotonic()
        finally:
            write(path, tuner.checkpoint())
    for step, bits in tuner.history:
        print(f"step {step:,} of {steps:,}: {bits:.3f} bits per byte of the check part's answers")
    print(f"kept: step {tuner.best_step:,}, after {tuner.trainer.seconds:,.1f} s")


def _measured(task: Task, examples: Examples, options: Namespace) -> Task:
    """The task with its card, which is printed."""
    model = inputs.load_model(options.model, threads=options.threads)
    measuring = measure_task(model, task, examples, shots=options.shots)
    with ProgressBar("measuring") as bar:
        while True:
            try:
                bar(*next(measuring))
            except StopIteration as end:
                made: Task = end.value
                break
    model.close()
    rows = table(made.card)
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        print(
            "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        )
    return made


COMMAND = Command("tune", "make a task of examples: an adapter, measured", add_arguments, run)
