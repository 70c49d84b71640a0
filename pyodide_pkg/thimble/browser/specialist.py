"""Tasks' files that a page asks, several at once, on the models that its sessions have. How a task
is made is in `tasks.py`."""

from __future__ import annotations

import itertools
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, NamedTuple

from ..errors import OptionError
from ..model import Model
from ..tasks.answer import Answer, Answerer
from ..tasks.task import Task
from .pool import JsBuffer, bytes_of

if TYPE_CHECKING:
    from .engine import Engine


class _Opened(NamedTuple):
    answerer: Answerer
    holds: ExitStack
    """The adapter and the session."""


class Service:
    """What the worker asks as "specialist.METHOD"."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._ids = itertools.count(1)
        self._opened: dict[int, _Opened] = {}

    def open(self, session: int, file: JsBuffer | bytes) -> dict[str, Any]:
        """Take a task's file, for the model of a session; the number in it is the task's. Raises
        FormatError for what is no task, or one of another model."""
        task, model = Task.read(bytes_of(file)), self._engine.opened(session).model
        if not isinstance(model, Model):
            raise OptionError(f"{model.name!r} is made of several models: a task is for one")
        names = (name for name, one in self._engine.loaded.items() if one is model)
        sha256 = self._engine.digests.get(next(names, ""), "")
        holds = ExitStack()
        answerer = holds.enter_context(task.open(model, sha256=sha256))
        number = next(self._ids)
        self._opened[number] = _Opened(answerer, holds)
        return {
            "id": number,
            "name": task.name,
            "kind": task.shape.kind,
            "labels": list(task.shape.labels),
            "threshold": task.threshold,
        }

    def answer(self, task: int, text: str, threshold: float | None) -> dict[str, Any]:
        """A task's answer to a text; another threshold, from 0 to 1, stays."""
        if task not in self._opened:
            raise OptionError(f"there is no task {task}; it was closed or never opened")
        answerer = self._opened[task].answerer
        if threshold is not None:
            answerer.threshold = threshold
        return said(answerer.answer(text))

    def close(self, task: int) -> None:
        """Give back what a task holds of its model's memory."""
        opened = self._opened.pop(task, None)
        if opened is not None:
            opened.holds.close()


def said(answer: Answer) -> dict[str, Any]:
    """An answer as the page has it."""
    return {
        "text": answer.text,
        "sure": answer.sure,
        "probabilities": sorted(answer.probabilities.items(), key=lambda one: -one[1]),
        "milliseconds": 1000 * answer.seconds,
    }
