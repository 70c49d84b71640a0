"""What a task's card says: its base as it is, with examples in the prompt, and with the adapter,
all asked the same held-out texts.

    measuring = measure_task(model, task, examples)
    for done, total in measuring: ...           # one text after the other
"""

from __future__ import annotations

import dataclasses
from collections.abc import Generator
from typing import Any

from ..model import Model
from .answer import Answerer
from .examples import Examples
from .measure import Outcome, outcomes, scores
from .task import Task
from .tuner import asked_plainly, calibrate

MOST_ERRORS = 25
"""Texts with a wrong answer that a card shows."""
ROWS = ("base", "prompted", "adapter")


def measure_task(
    model: Model, task: Task, examples: Examples, *, shots: int = 5
) -> Generator[tuple[int, int], None, Task]:
    """Ask the held-out texts three times, yielding how many are asked and how many will be; return
    the task with its card, and with the temperature that the check part gives.

    `model` is the task's base, without an adapter; so it is again at the end.
    """
    held = examples.part("held-out")
    done, total, found = 0, len(ROWS) * len(held), dict[str, list[Outcome]]()

    def asked(row: str, answerer: Answerer) -> Generator[tuple[int, int], None, None]:
        nonlocal done
        found[row] = []
        for outcome in outcomes(answerer, held):
            found[row].append(outcome)
            done += 1
            yield done, total

    for row, count in (("base", 0), ("prompted", shots)):
        answerer = asked_plainly(model, task, examples, count)
        try:
            yield from asked(row, answerer)
        finally:
            answerer.close()
    with task.open(model) as tuned:
        temperature = 1.0
        if task.shape.kind == "label":
            temperature = tuned.temperature = calibrate(tuned, examples.part("check"))
        yield from asked("adapter", tuned)
    card = task.card | {
        "shots": shots,
        "bytes": {"model": sum(t.nbytes for t in model.tensors), "adapter": len(task.adapter.data)},
        "measured": {row: scores(task.shape.kind, each) for row, each in found.items()},
        "errors": _errors(found),
    }
    return dataclasses.replace(task, temperature=temperature, card=card)


def _errors(found: dict[str, list[Outcome]]) -> list[dict[str, Any]]:
    """Texts that the adapter answers wrongly, with what each of them said."""
    wrong = []
    for base, prompted, adapter in zip(*(found[row] for row in ROWS), strict=True):
        if not adapter.right:
            wrong.append({
                "given": adapter.example.given,
                "wanted": adapter.example.wanted,
                "base": base.answer.text,
                "prompted": prompted.answer.text,
                "adapter": adapter.answer.text,
                "probability": adapter.answer.probability,
                "error": adapter.error,
            })  # fmt: skip
    return wrong[:MOST_ERRORS]


def table(card: dict[str, Any]) -> list[tuple[str, ...]]:
    """Return a card's measures as rows of words, the heads first."""
    measured = card["measured"]
    names = [name for name, value in measured["adapter"].items() if _is_score(value)]
    rows = [("", *(name.replace("_", " ") for name in names), "ms", "tokens")]
    titles = {
        "base": "the base, told what to do",
        "prompted": f"the base with up to {card['shots']} examples",
        "adapter": "the adapter",
    }
    for row in ROWS:
        said = measured[row]
        words = [
            f"{100 * value:.0f} % ({100 * low:.0f} to {100 * high:.0f})"
            for value, low, high in (said[name] for name in names)
        ]
        rows.append((titles[row], *words, f"{said['milliseconds']:.0f}", f"{said['tokens']:.0f}"))
    return rows


def _is_score(value: Any) -> bool:
    return isinstance(value, list) and len(value) == 3 and isinstance(value[0], float)
