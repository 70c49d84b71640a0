"""One answer of a model that does one job: a label with its probability, fields, or a text.

It knows prompts and what an answer may be, not where texts come from. Labels are
chosen as a constraint would let them be written: where only one can follow, nothing is computed,
and where several can, the model's probabilities of these alone count.
"""

from __future__ import annotations

import json
import math
import time
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from ..adapter import Adapter
from ..constrain import json_schema
from ..errors import ContextError, OptionError
from ..model import Model
from ..sampling import SamplingParams
from ..session import Session

TEXT = "{text}"
"""Stands in a template for what is given."""


@dataclass(frozen=True, slots=True)
class Shape:
    """How a task asks, and what its answers are."""

    kind: str
    """`label`, `json` or `text`."""
    template: str
    """The prompt, with `{text}` where what is given stands."""
    lead: str
    """What stands before every answer: a space, where words begin with one."""
    labels: tuple[str, ...] = ()
    schema: dict[str, Any] | None = None
    max_tokens: int = 64
    """Of an answer that is written."""
    one_line: bool = True
    """Whether a written answer ends with its line."""

    def prompt(self, text: str) -> str:
        return self.template.replace(TEXT, text)


class Answer(NamedTuple):
    """What came of one text."""

    text: str
    """The label, the JSON or the text; the label too where it is not sure."""
    probability: float | None
    """Of the label."""
    sure: bool
    """Whether that reaches the threshold; and whether what was written is whole."""
    probabilities: dict[str, float]
    """Of all labels."""
    tokens: int
    """That the model read and wrote."""
    seconds: float

    @property
    def fields(self) -> Any:
        """The JSON's value; None where there is none."""
        try:
            return json.loads(self.text)
        except ValueError:
            return None


@dataclass(slots=True)
class _Node:
    """Labels that begin with the same tokens."""

    children: dict[int, _Node] = field(default_factory=dict)
    label: str | None = None
    count: int = 0


class Answerer:
    """A model that answers in a shape. Close it to give its session's memory back."""

    def __init__(
        self, model: Model, shape: Shape, *, before: str = "", temperature: float = 1.0,
        threshold: float = 0.0, adapter: Adapter | None = None,
    ) -> None:  # fmt: skip
        """`before` stands before each prompt: what is to be done, or examples. `temperature`
        flattens or sharpens the probabilities of labels; below `threshold` one is not sure.
        `adapter` is on the model while it answers; without one, whichever is on then."""
        if TEXT not in shape.template:
            raise OptionError(f"the template {shape.template!r:.60} has no {TEXT} in it")
        if not temperature > 0:
            raise OptionError(f"temperature {temperature!r} must be above 0")
        self.model, self.shape, self.before = model, shape, before
        self.temperature, self.threshold = temperature, threshold
        self._adapter = adapter
        self._session: Session | None = None
        self._root = self._tree() if shape.kind == "label" else _Node()
        self._grammar = json_schema(shape.schema) if shape.schema is not None else None

    @property
    def threshold(self) -> float:
        """Below it a label is not sure. Raises OptionError for one that is not from 0 to 1."""
        return self._threshold

    @threshold.setter
    def threshold(self, threshold: float) -> None:
        number = isinstance(threshold, int | float) and not isinstance(threshold, bool)
        if not number or not 0 <= threshold <= 1:
            raise OptionError(f"threshold {threshold!r} must be a number from 0 to 1")
        self._threshold = float(threshold)

    def ids(self, text: str) -> list[int]:
        """Return the prompt's tokens: words of people are never control tokens."""
        tokenizer = self.model.tokenizer
        found = tokenizer.encode(self.before + self.shape.prompt(text), add_special=False)
        return found if tokenizer.bos_id is None else [tokenizer.bos_id, *found]

    def fits(self, text: str) -> bool:
        """Whether a text and its answer have room in the model's context."""
        return len(self.ids(text)) + self._room() <= self.model.config.n_ctx

    def answer(self, text: str) -> Answer:
        """Answer one text. Raises ContextError where it is too long."""
        began = time.perf_counter()
        ids = self.ids(text)
        most = self.model.config.n_ctx - self._room()
        if len(ids) > most:
            raise ContextError(
                f"the text {text!r:.40} makes a prompt of {len(ids):,} tokens; {self.model.name!r} "
                f"has room for {most:,} beside the answer"
            )
        with self._adapted():
            session = self._opened()
            session.rollback(_shared(session.tokens, ids))
            if self.shape.kind == "label":
                return self._choose(session, ids, began)
            return self._write(session, ids, began)

    def log_probabilities(self, text: str) -> dict[str, float]:
        """Return each label's, before any temperature."""
        found: dict[str, float] = {}
        with self._adapted():
            session, ids = self._opened(), self.ids(text)
            session.rollback(_shared(session.tokens, ids))
            session.append(ids[len(session.tokens) :])
            self._walk(session, self._root, 0.0, found)
        return found

    def _adapted(self) -> AbstractContextManager[None]:
        """The model with this task's adapter on."""
        return nullcontext() if self._adapter is None else self._adapter.on()

    def _choose(self, session: Session, ids: list[int], began: float) -> Answer:
        session.append(ids[len(session.tokens) :])
        found: dict[str, float] = {}
        read = self._walk(session, self._root, 0.0, found)
        probabilities = softened(found, self.temperature)
        label = max(probabilities, key=lambda name: (probabilities[name], name))
        p = probabilities[label]
        seconds = time.perf_counter() - began
        return Answer(label, p, p >= self.threshold, probabilities, len(ids) + read, seconds)

    def _walk(self, session: Session, node: _Node, so_far: float, found: dict[str, float]) -> int:
        """Give each label below a node its log-probability; return how many tokens were read."""
        end = self.model.tokenizer.eos_id
        ways: list[tuple[int, _Node | None]] = [*node.children.items()]
        if node.label is not None and ways and end is not None:
            ways.append((end, None))
        if not ways or node.count == 1:
            found[_only(node)] = so_far
            return 0
        logs = [0.0]
        if len(ways) > 1:
            logs = [session.token_logprob(token).logprob for token, _ in ways]
            total = log_sum(logs)
            logs = [log - total for log in logs]
        read, here = 0, len(session.tokens)
        for (token, child), log in zip(ways, logs, strict=True):
            if child is None:
                assert node.label is not None
                found[node.label] = so_far + log
            elif child.count == 1:
                found[_only(child)] = so_far + log
            else:
                session.append([token])
                read += 1 + self._walk(session, child, so_far + log, found)
                session.rollback(here)
        return read

    def _write(self, session: Session, ids: list[int], began: float) -> Answer:
        shape = self.shape
        params = SamplingParams(
            max_tokens=shape.max_tokens, temperature=0.0, grammar=self._grammar,
            stop=("\n",) if shape.one_line and self._grammar is None else (),
        )  # fmt: skip
        text, tokens, finish = "", len(ids), None
        for chunk in session.generate(ids[len(session.tokens) :], params):
            text, tokens, finish = text + chunk.text, tokens + 1, chunk.finish_reason
        whole = finish == "stop"
        return Answer(text.strip(), None, whole, {}, tokens, time.perf_counter() - began)

    def _tree(self) -> _Node:
        root, tokenizer = _Node(), self.model.tokenizer
        for label in self.shape.labels:
            node = root
            node.count += 1
            for token in tokenizer.encode(self.shape.lead + label, add_special=False):
                node = node.children.setdefault(token, _Node())
                node.count += 1
            if node.label is not None:
                raise OptionError(
                    f"the labels {node.label!r} and {label!r} are the same to {self.model.name!r}"
                )
            node.label = label
        if not root.count:
            raise OptionError("a task of kind 'label' has no labels")
        return root

    def _room(self) -> int:
        """Tokens that an answer may take."""
        if self.shape.kind != "label":
            return self.shape.max_tokens
        encode = self.model.tokenizer.encode
        return max(len(encode(self.shape.lead + label)) for label in self.shape.labels) + 1

    def _opened(self) -> Session:
        if self._session is None:
            self._session = self.model.session()
        return self._session

    def close(self) -> None:
        if self._session is not None:
            self._session.close()
            self._session = None


def softened(logs: dict[str, float], temperature: float) -> dict[str, float]:
    """Return probabilities of log-probabilities at a temperature."""
    scaled = {label: log / temperature for label, log in logs.items()}
    total = log_sum(list(scaled.values()))
    return {label: math.exp(log - total) for label, log in scaled.items()}


def log_sum(logs: list[float]) -> float:
    """Return the logarithm of the sum of exponentials."""
    most = max(logs)
    return most + math.log(math.fsum(math.exp(log - most) for log in logs))


def _only(node: _Node) -> str:
    """The one label below a node."""
    while node.label is None:
        (node,) = node.children.values()
    return node.label


def _shared(tokens: tuple[int, ...], ids: list[int]) -> int:
    """How many first tokens are the same, of which at least one is left to compute."""
    n = 0
    for a, b in zip(tokens, ids[:-1], strict=False):
        if a != b:
            break
        n += 1
    return n
