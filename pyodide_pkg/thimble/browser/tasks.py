"""Specialists in the page: examples read, an adapter made of them, measured, and asked.

One task at a time, in the training worker. What is long is done in slices, between which the worker
reads its messages.
"""

from __future__ import annotations

import csv
import io
import time
from collections.abc import Generator
from contextlib import ExitStack
from typing import Any

from ..errors import NumericError, OptionError
from ..kernel import Kernel
from ..loader import load
from ..model import Model
from ..tasks.answer import Answerer
from ..tasks.card import measure_task, table
from ..tasks.examples import Examples, make_examples
from ..tasks.sets import SETS, example_set
from ..tasks.tables import decoded, read_table
from ..tasks.task import Task
from ..tasks.tuner import TaskTuner, TuneOptions
from ..train.finetune import Base
from .engine import Engine
from .options import asked
from .pool import JsBuffer, bytes_of
from .specialist import said

THREADS_FROM = 200_000
"""Parameters from which threads gain more than meeting costs them."""
SHOWN = 5
"""Examples that are shown of a table."""


class Service:
    """What the worker may ask as "tasks.…"."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._tuner: TaskTuner | None = None
        self._model: Model | None = None
        self._name, self._shots = "", 5
        self._task: Task | None = None
        self._measuring: Generator[tuple[int, int], None, Task] | None = None
        self._answerer: Answerer | None = None
        self._open = ExitStack()

    # Examples

    def sets(self) -> list[dict[str, str]]:
        """The example sets of ours."""
        return [{"name": one.name, "title": one.title} for one in SETS.values()]

    def example_set(self, name: str) -> str:
        """A set's table, with tabs between cells."""
        table, text = example_set(name), io.StringIO()
        writer = csv.writer(text, delimiter="\t", lineterminator="\n")
        writer.writerows([table.columns, *table.rows])
        return text.getvalue()

    def text(self, file: JsBuffer | bytes) -> str:
        """A file's text; FormatError where it is none."""
        return decoded(bytes_of(file))

    def read(self, text: str, chosen: str) -> dict[str, Any]:
        """What the examples of a text are, by the columns and kind that are chosen."""
        table = read_table(text)
        examples = make_examples(table, **asked(chosen))
        shown = [[e.given, e.wanted] for e in examples.examples[:SHOWN]]
        return {"columns": table.columns, "report": examples.report(), "shown": shown}

    # A run

    def begin(
        self, base: JsBuffer | bytes, order: str, saved: JsBuffer | bytes | None = None
    ) -> dict[str, Any]:
        """Get ready to make a task of a model's file and examples, or to go on with what was
        `saved`. An earlier task is let go of, if this one can be."""
        said = asked(order)
        examples: Examples = make_examples(read_table(said["text"]), **said["chosen"])
        begun = Base(bytes_of(base))
        tuner = TaskTuner(
            begun, examples, options=TuneOptions(**said["options"]),
            kernel=self._kernel(begun), saved=None if saved is None else bytes_of(saved),
        )  # fmt: skip
        self.close()
        self._tuner, self._name = tuner, str(said["name"])
        return self._progress("")

    def train(self, milliseconds: float) -> dict[str, Any]:
        """Train for about so long, for one step at least; `failed` says why it cannot go on."""
        tuner, failed = self._running(), ""
        until = time.perf_counter() + milliseconds / 1000
        while not tuner.done:
            try:
                tuner.step()
            except NumericError as error:
                failed = str(error)
                break
            if time.perf_counter() >= until:
                break
        return self._progress(failed)

    def _progress(self, failed: str) -> dict[str, Any]:
        tuner = self._running()
        return {
            "step": tuner.trainer.steps_made,
            "steps": tuner.trainer.recipe.steps,
            "seconds": tuner.trainer.seconds,
            "history": tuner.history,
            "done": tuner.done,
            "failed": failed,
            "report": tuner.report(),
        }

    def checkpoint(self) -> bytes:
        """What `begin` goes on from."""
        return self._running().checkpoint()

    def measure(self, milliseconds: float) -> dict[str, Any]:
        """Measure the run's task for about so long; the run is over then."""
        if self._measuring is None:
            tuner = self._running()
            task, examples = tuner.task(self._name), tuner.examples
            data = tuner.base.data
            tuner.close()
            self._tuner = None
            self._model = load(data)
            self._measuring = measure_task(self._model, task, examples, shots=self._shots)
        until = time.perf_counter() + milliseconds / 1000
        done, total = 0, 1
        try:
            while time.perf_counter() < until:
                done, total = next(self._measuring)
        except StopIteration as end:
            self._measuring = None
            self._use(end.value)
            return {"done": 1, "total": 1, "task": self._described()}
        return {"done": done, "total": total, "task": None}

    # A task

    def open(self, base: JsBuffer | bytes, file: str) -> dict[str, Any]:
        """Take a task's file, with the file of the model that it is for."""
        task = Task.read(file)
        begun = Base(bytes_of(base))
        if begun.sha256 != task.base["sha256"]:
            raise OptionError(
                f"the task {task.name!r} is for the model {task.base['name']!r}; {begun.name!r} is "
                "open: open that model first"
            )
        self.close()
        self._model = load(begun.data)
        self._use(task)
        return self._described()

    def answer(self, text: str, threshold: float) -> dict[str, Any]:
        """The task's answer to a text."""
        answerer = self._answering()
        answerer.threshold = threshold
        return said(answerer.answer(text))

    def file(self) -> str:
        """The task's file."""
        self._answering()
        assert self._task
        return self._task.to_json()

    def adapter(self) -> bytes:
        """The task's adapter, a GGUF file."""
        self._answering()
        assert self._task
        return self._task.adapter.data

    def close(self) -> None:
        """Let everything go."""
        self._open.close()
        self._answerer = self._task = None
        if self._measuring is not None:
            self._measuring.close()
            self._measuring = None
        if self._tuner is not None:
            self._tuner.close()
            self._tuner = None
        if self._model is not None:
            self._model.close()
            self._model = None

    def _use(self, task: Task) -> None:
        assert self._model
        self._task = task
        self._answerer = self._open.enter_context(task.open(self._model))

    def _described(self) -> dict[str, Any]:
        assert self._task
        task = self._task
        return {
            "name": task.name,
            "kind": task.shape.kind,
            "threshold": task.threshold,
            "rows": table(task.card) if "measured" in task.card else [],
            "errors": [{**one, "prompt": task.shape.prompt(one["given"])} for one in _errors(task)],
            "bytes": task.card.get("bytes", {}),
        }

    def _answering(self) -> Answerer:
        if self._answerer is None:
            raise OptionError("there is no task: make one, or open a task's file")
        return self._answerer

    def _running(self) -> TaskTuner:
        if self._tuner is None:
            raise OptionError("no task is being made: begin with examples")
        return self._tuner

    def _kernel(self, base: Base) -> Kernel | None:
        """The threads, for a model that gains from them; the bits are the same."""
        return self._engine.pool if len(base.data) >= THREADS_FROM else None


def _errors(task: Task) -> list[dict[str, Any]]:
    """The wrong answers of a task's card, which may be a stranger's."""
    found = task.card.get("errors")
    said = ("given", "wanted", "base", "prompted", "adapter")
    return [
        one for one in (found if isinstance(found, list) else [])
        if isinstance(one, dict) and all(isinstance(one.get(name), str) for name in said)
    ]  # fmt: skip
