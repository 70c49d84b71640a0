"""`thimble run`: a task's answers to lines of text, one line each."""

from __future__ import annotations

import hashlib
import json
import sys
from argparse import ArgumentParser, Namespace
from pathlib import Path
from typing import Any

from ..errors import ContextError, OptionError
from ..tasks.answer import Answer, Answerer
from ..tasks.task import Task
from . import inputs
from .command import Command

UNSURE = "don't know"
"""What is printed where the likeliest label is below the threshold."""


def add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("task", type=Path, metavar="TASK.json", help="a task's file")
    parser.add_argument(
        "--base", required=True, metavar="MODEL.gguf", help="the model that the task is for"
    )
    parser.add_argument(
        "--threshold", type=float, metavar="P",
        help=f"print “{UNSURE}” for labels that are less probable (the task's own)",
    )  # fmt: skip
    parser.add_argument(
        "--json", action="store_true", help="print a JSON object for each line, with probabilities"
    )
    inputs.add_threads(parser)


def run(options: Namespace) -> int:
    if options.threshold is not None and not 0 <= options.threshold <= 1:
        raise OptionError(f"--threshold is {options.threshold}; it must be from 0 to 1")
    task = Task.read(options.task.read_bytes())
    base = inputs.model_path(options.base)
    sha256 = hashlib.sha256(base.read_bytes()).hexdigest()
    model = inputs.load_model(str(base), threads=options.threads)
    failed = 0
    with task.open(model, sha256=sha256, threshold=options.threshold) as answerer:
        for number, line in enumerate(sys.stdin, 1):
            text = line.strip()
            if text:
                failed += not _answer(answerer, text, number, as_json=options.json)
    return 1 if failed else 0


def _answer(answerer: Answerer, text: str, number: int, *, as_json: bool) -> bool:
    """Print one answer; False where a text is too long, which is said."""
    try:
        answer = answerer.answer(text)
    except ContextError as error:
        print(_line({"text": text, "error": str(error)}) if as_json else "", flush=True)
        print(f"thimble: line {number:,}: {error}", file=sys.stderr)
        return False
    print(_line(described(text, answer)) if as_json else words(answer), flush=True)
    return True


def _line(value: dict[str, Any]) -> str:
    return json.dumps(value, ensure_ascii=False)


def words(answer: Answer) -> str:
    """An answer in one line."""
    if answer.probability is not None and not answer.sure:
        return UNSURE
    return answer.text.replace("\n", " ")


def described(text: str, answer: Answer) -> dict[str, Any]:
    """An answer as an object."""
    made: dict[str, Any] = {"text": text, "answer": answer.text, "sure": answer.sure}
    if answer.probability is not None:
        made["probabilities"] = answer.probabilities
    elif answer.fields is not None:
        made["fields"] = answer.fields
    return made


COMMAND = Command("run", "answer lines of text by a task's file", add_arguments, run)
