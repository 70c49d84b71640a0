"""How good answers are: scores with intervals, a temperature for probabilities, what a threshold
costs.

Accuracy and macro F1 of labels; exact match; F1 over fields of JSON (pairs of a place and a value)
and over words of texts. Intervals are of the bootstrap's percentiles (Efron 1979): 95 % of 500
samples, drawn with our own integers, so that all machines say the same. The temperature is that of
Guo et al. 2017, https://arxiv.org/abs/1706.04599.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from ..errors import ThimbleError
from ..train.counter import draw
from .answer import Answer, Answerer, log_sum
from .examples import Example

RESAMPLES = 500
THRESHOLDS = (0.5, 0.7, 0.8, 0.9, 0.95)
TEMPERATURES = [1.1**power for power in range(40)]
"""Those that only flatten: a few right answers would ask for certainty."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """An example and its answer."""

    example: Example
    answer: Answer
    error: str = ""

    @property
    def right(self) -> bool:
        return same(self.answer.text, self.example.wanted)


def outcomes(answerer: Answerer, examples: Sequence[Example]) -> Iterator[Outcome]:
    """Yield what comes of each example; a text that does not fit counts as wrong."""
    for example in examples:
        try:
            yield Outcome(example, answerer.answer(example.given))
        except ThimbleError as error:
            yield Outcome(example, Answer("", None, False, {}, 0, 0.0), str(error))


def scores(kind: str, found: Sequence[Outcome]) -> dict[str, Any]:
    """Return each measure as [value, low, high], and what an answer takes."""
    first = "accuracy" if kind == "label" else "exact_match"
    more = {"label": ("macro_f1", macro_f1), "json": ("field_f1", field_f1)}
    measures: dict[str, Callable[[Sequence[Outcome]], float]] = {first: exact}
    measures |= [more.get(kind, ("word_f1", word_f1))]
    made: dict[str, Any] = {
        name: [measure(found), *interval(measure, found)] for name, measure in measures.items()
    }
    n = max(1, len(found))
    made["n"] = len(found)
    made["milliseconds"] = 1000 * sum(o.answer.seconds for o in found) / n
    made["tokens"] = sum(o.answer.tokens for o in found) / n
    if kind == "label":
        made["coverage"] = [coverage(found, threshold) for threshold in THRESHOLDS]
    return made


def exact(found: Sequence[Outcome]) -> float:
    """The share of answers that are what is wanted: accuracy, of labels."""
    return sum(outcome.right for outcome in found) / max(1, len(found))


def macro_f1(found: Sequence[Outcome]) -> float:
    """The mean over labels that are wanted of each one's F1."""
    wanted = Counter(o.example.wanted for o in found)
    said = Counter(o.answer.text for o in found)
    right = Counter(o.example.wanted for o in found if o.right)
    return sum(2 * right[label] / (wanted[label] + said[label]) for label in wanted) / max(
        1, len(wanted)
    )


def field_f1(found: Sequence[Outcome]) -> float:
    """F1 over all fields of all answers."""
    return _f1([(_fields(o.example.wanted), _fields(o.answer.text)) for o in found])


def word_f1(found: Sequence[Outcome]) -> float:
    """F1 over all words of all answers."""
    words = [(o.example.wanted.split(), o.answer.text.split()) for o in found]
    return _f1([(Counter(wanted), Counter(said)) for wanted, said in words])


def _f1(pairs: Sequence[tuple[Counter[str], Counter[str]]]) -> float:
    right = sum((wanted & said).total() for wanted, said in pairs)
    total = sum(wanted.total() + said.total() for wanted, said in pairs)
    return 2 * right / total if total else 0.0


def _fields(text: str) -> Counter[str]:
    """A JSON text's fields: where each value stands, and what it is."""
    try:
        value = json.loads(text)
    except ValueError:
        return Counter()
    found: Counter[str] = Counter()
    stack = [("", value)]
    while stack:
        place, one = stack.pop()
        if isinstance(one, dict) and one:
            stack += [(f"{place}/{name}", part) for name, part in one.items()]
        elif isinstance(one, list) and one:
            stack += [(f"{place}/", part) for part in one]
        else:
            found[f"{place}={json.dumps(one)}"] += 1
    return found


def same(said: str, wanted: str) -> bool:
    """Whether two answers are the same: as JSON, where both are objects, else but for spaces."""
    if wanted.startswith("{"):
        try:
            return bool(json.loads(said) == json.loads(wanted))
        except ValueError:
            pass
    return said.split() == wanted.split()


def interval(
    measure: Callable[[Sequence[Outcome]], float], found: Sequence[Outcome]
) -> tuple[float, float]:
    """Return the bounds of the measure's 95 % interval."""
    n = len(found)
    if not n:
        return 0.0, 0.0
    values = sorted(
        measure([found[draw(sample, i) * n >> 64] for i in range(n)]) for sample in range(RESAMPLES)
    )
    cut = RESAMPLES // 40
    return values[cut], values[-1 - cut]


def coverage(found: Sequence[Outcome], threshold: float) -> list[float | None]:
    """Return a threshold, the share of answers that reach it, and how many of these are right."""
    sure = [o for o in found if (o.answer.probability or 0.0) >= threshold]
    right = exact(sure) if sure else None
    return [threshold, len(sure) / max(1, len(found)), right]


def fit_temperature(logs: Sequence[tuple[dict[str, float], str]]) -> float:
    """Return the temperature at which the labels that were wanted are likeliest; 1 for none."""

    def nats(temperature: float) -> float:
        return sum(
            log_sum([log / temperature for log in found.values()]) - found[wanted] / temperature
            for found, wanted in logs
        )

    return min(TEMPERATURES, key=lambda t: (nats(t), abs(t - 1))) if logs else 1.0
