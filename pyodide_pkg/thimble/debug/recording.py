"""A run as a file: everything that it takes to write the same text again, and to know that it is
the same. docs/debugger.md describes the format.

Reading trusts nothing: whatever the bytes are, they become a `Recording` or a FormatError that says
where it went wrong.
"""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

from ..errors import ContextError, FormatError, OptionError
from ..json_text import parse_json
from ..sampling_options import DECIDING, SamplingParams, params_from
from ..state import KV_TYPES
from .tree import HOW, Step

if TYPE_CHECKING:
    from ..constrain import Grammar

FORMAT = "thimble-run"
VERSION = 1
MOST_BYTES = 32 << 20
MOST_STEPS = 1 << 20
MOST_EDITS = 1 << 12
_LONGEST = 1 << 20

MOST_GRAMMARS = 64
"""Times that the grammar may change in a run: each has to be understood anew."""


def deciding(params: SamplingParams) -> SamplingParams:
    """Only what decides about a token; the rest as it is without being asked."""
    return SamplingParams(**{name: getattr(params, name) for name in DECIDING})


@dataclass(frozen=True, slots=True)
class RecordedStep:
    """One token: what was done to it, and what came of it."""

    id: int
    logprob: float
    params: SamplingParams
    how: str = "drawn"
    edits: Mapping[int, float] = field(default_factory=dict)
    constraint_start: int | None = None
    """The token, counted from the prompt's first, at which the text of its grammar begins."""
    mu: float | None = None
    """What mirostat's state was before the draw, where it had a say."""


def as_recorded(step: Step) -> RecordedStep:
    """What a recording holds of a step."""
    mu = None if step.mu is None else step.mu[0]
    params = deciding(step.params)
    place = step.constraint_start
    return RecordedStep(step.id, step.logprob, params, step.how, step.edits, place, mu)


@dataclass(frozen=True, slots=True)
class Recording:
    """A run: the model it needs, its prompt and its steps."""

    model: str
    sha256: str | None
    """Of the model's file, where it is known."""
    prompt: tuple[int, ...]
    steps: tuple[RecordedStep, ...]
    prompt_text: str = ""
    text: str = ""
    """For people; nothing is computed from it."""
    kv_type: str = "f32"
    """As what keys and values were kept, which decides about bits."""

    def check(self, *, sha256: str | None, kv_type: str, n_ctx: int) -> None:
        """Whether a session can do it over again to the same bits.

        Raises OptionError for another model or `kv_type`, ContextError where it is longer than the
        context.
        """
        if self.sha256 and sha256 and self.sha256 != sha256:
            raise OptionError(
                f"the run was made with {self.model!r}, whose file has the SHA-256 "
                f"{self.sha256[:12]}…; this one has {sha256[:12]}…"
            )
        if self.kv_type != kv_type:
            raise OptionError(
                f"the run kept keys and values as {self.kv_type!r}, this session keeps them as "
                f"{kv_type!r}: its bits are others"
            )
        wanted = len(self.prompt) + len(self.steps)
        if wanted > n_ctx + 1:
            raise ContextError(f"the run has {wanted:,} tokens and the context holds {n_ctx:,}")

    def to_json(self) -> str:
        """As a file."""
        steps = []
        before = RecordedStep(0, 0.0, SamplingParams())
        for step in self.steps:
            steps.append(_step_words(step, before))
            before = step
        whole = {
            "format": FORMAT,
            "version": VERSION,
            "model": {"name": self.model, "sha256": self.sha256, **self._kept_as()},
            "prompt": {"text": self.prompt_text, "ids": list(self.prompt)},
            "text": self.text,
            "steps": steps,
        }
        return json.dumps(whole, ensure_ascii=False, allow_nan=False)

    def _kept_as(self) -> dict[str, str]:
        """What is not as it was in all files before there were other ways."""
        return {} if self.kv_type == "f32" else {"kv_type": self.kv_type}

    @classmethod
    def from_json(cls, data: str | bytes) -> Recording:
        """Read a file. Raises FormatError naming what is wrong in it."""
        if len(data) > MOST_BYTES:
            raise FormatError(f"a recorded run has at most {MOST_BYTES:,} bytes, not {len(data):,}")
        return _Reader().recording(parse_json(data, "a recorded run"))


class Mismatch(NamedTuple):
    """Where a replay came out differently."""

    step: int
    """Counted from 1."""
    words: str


@dataclass(slots=True)
class Replay:
    """How far the replay of a recording has come."""

    recording: Recording
    done: int = 0
    mismatch: Mismatch | None = None

    @property
    def over(self) -> bool:
        return self.mismatch is not None or self.done == len(self.recording.steps)

    def check(self, token: int, logprob: float) -> bool:
        """Compare the next step with what came of it now; whether they are the same, to the bit."""
        step = self.recording.steps[self.done]
        if token != step.id:
            words = f"token {token} came and not {step.id}"
        elif logprob != step.logprob:
            words = f"token {token} has the log-probability {logprob!r} and not {step.logprob!r}"
        else:
            self.done += 1
            return True
        self.mismatch = Mismatch(self.done + 1, words)
        return False


def _step_words(step: RecordedStep, before: RecordedStep) -> dict[str, Any]:
    words: dict[str, Any] = {"id": step.id, "logprob": step.logprob}
    if step.how != "drawn":
        words["how"] = step.how
    logits = {str(token): value for token, value in step.edits.items() if value > -math.inf}
    bans = [token for token, value in step.edits.items() if value == -math.inf]
    if logits:
        words["logits"] = logits
    if bans:
        words["bans"] = bans
    changed = {
        name: _plain(name, getattr(step.params, name))
        for name in DECIDING
        if getattr(step.params, name) != getattr(before.params, name)
    }
    if changed:
        words["params"] = changed
    if step.constraint_start != before.constraint_start:
        words["constraint_start"] = step.constraint_start
    if step.mu is not None:
        words["mu"] = step.mu
    return words


def _plain(name: str, value: Any) -> Any:
    """A parameter as JSON has it: a banned id's bias is null, since there is no infinity."""
    if name == "grammar" and value is not None:
        return value.described()
    if name == "dry_sequence_breakers":
        return list(value)
    if name != "logit_bias":
        return value
    return {str(token): bias if math.isfinite(bias) else None for token, bias in value.items()}


class _Reader:
    """Goes through the parsed JSON and knows where it is."""

    def __init__(self) -> None:
        self._grammars = 0

    def recording(self, whole: object) -> Recording:
        top = self._object(whole, "the file")
        if top.get("format") != FORMAT:
            raise FormatError(f'this is no recorded run: "format" is {_show(top.get("format"))}')
        if top.get("version") != VERSION:
            raise FormatError(
                f'"version" is {_show(top.get("version"))}; this engine reads version {VERSION}'
            )
        model = self._object(top.get("model"), "model")
        prompt = self._object(top.get("prompt"), "prompt")
        ids = self._list(prompt.get("ids"), "prompt.ids")
        sha256 = model.get("sha256")
        steps: list[RecordedStep] = []
        before = RecordedStep(0, 0.0, SamplingParams())
        for number, step in enumerate(self._list(top.get("steps"), "steps"), 1):
            before = self._step(step, f"step {number}", before, len(ids) + number - 1)
            steps.append(before)
        return Recording(
            model=self._text(model.get("name"), "model.name"),
            sha256=None if sha256 is None else self._text(sha256, "model.sha256"),
            prompt=tuple(self._id(token, "prompt.ids") for token in ids),
            steps=tuple(steps),
            prompt_text=self._text(prompt.get("text"), "prompt.text"),
            text=self._text(top.get("text"), "text"),
            kv_type=self._kv_type(model.get("kv_type", "f32")),
        )

    def _kv_type(self, value: object) -> str:
        if not isinstance(value, str) or value not in KV_TYPES:
            raise FormatError(f"model.kv_type is {_show(value)}; {', '.join(KV_TYPES)} are right")
        return value

    def _step(self, value: object, where: str, before: RecordedStep, place: int) -> RecordedStep:
        """A step; `place` tokens stand before it."""
        step = self._object(value, where)
        logprob = self._number(step.get("logprob"), f"{where}: logprob")
        how = step.get("how", "drawn")
        if how not in HOW:
            raise FormatError(f"{where}: how is {_show(how)}; it is one of {', '.join(HOW)}")
        edits = dict.fromkeys(self._ids(step.get("bans", []), f"{where}: bans"), -math.inf)
        logits = self._object(step.get("logits", {}), f"{where}: logits")
        for token, logit in logits.items():
            edits[self._key(token, f"{where}: logits")] = self._number(logit, f"{where}: logits")
        if len(edits) > MOST_EDITS:
            raise FormatError(f"{where} has {len(edits):,} edits; at most {MOST_EDITS:,} are read")
        params = self._params(step.get("params", {}), where, before.params)
        # What version 0.1 wrote has the name of that time.
        begins = step.get("constraint_start", step.get("shape_from", before.constraint_start))
        if (begins is None) != (params.grammar is None):
            raise FormatError(
                f"{where}: constraint_start is {_show(begins)}; it goes with a grammar in params"
            )
        if begins is not None and self._id(begins, f"{where}: constraint_start") > place:
            raise FormatError(
                f"{where}: constraint_start is {begins:,}; only {place:,} tokens stand before it"
            )
        taken = self._id(step.get("id"), f"{where}: id")
        mu = step.get("mu")
        if mu is not None:
            mu = self._number(mu, f"{where}: mu")
        return RecordedStep(taken, logprob, params, how, edits, begins, mu)

    def _params(self, value: object, where: str, before: SamplingParams) -> SamplingParams:
        changed = self._object(value, f"{where}: params")
        if not changed:
            return before
        for name in changed:
            if name not in DECIDING:
                raise FormatError(f"{where}: there is no parameter {_show(name)}")
        if "logit_bias" in changed:
            bias = self._object(changed["logit_bias"], f"{where}: logit_bias")
            changed["logit_bias"] = {
                self._key(token, f"{where}: logit_bias"): -math.inf
                if amount is None
                else self._number(amount, f"{where}: logit_bias")
                for token, amount in bias.items()
            }
        if "dry_sequence_breakers" in changed:
            where_ = f"{where}: dry_sequence_breakers"
            changed["dry_sequence_breakers"] = tuple(
                self._text(one, where_)
                for one in self._list(changed["dry_sequence_breakers"], where_)
            )
        whole = {f.name: getattr(before, f.name) for f in dataclasses.fields(SamplingParams)}
        try:
            if changed.get("grammar") is not None:
                changed["grammar"] = self._grammar(changed["grammar"], where)
            return params_from({**whole, **changed})
        except OptionError as error:
            raise FormatError(f"{where}: {error}") from None

    def _grammar(self, value: object, where: str) -> Grammar:
        from ..constrain import Grammar  # most runs have none

        self._grammars += 1
        if self._grammars > MOST_GRAMMARS:
            raise FormatError(f"{where}: the grammar changes more than {MOST_GRAMMARS} times")
        grammar = self._object(value, f"{where}: grammar")
        for name in ("kind", "source"):
            self._text(grammar.get(name), f"{where}: grammar.{name}")
        return Grammar.from_described(grammar)

    def _ids(self, value: object, where: str) -> list[int]:
        return [self._id(token, where) for token in self._list(value, where)]

    def _object(self, value: object, where: str) -> dict[str, Any]:
        if not isinstance(value, dict):
            raise FormatError(f"{where} is {_show(value)}; it must be an object")
        return dict(value)

    def _list(self, value: object, where: str) -> list[Any]:
        if not isinstance(value, list) or len(value) > MOST_STEPS:
            raise FormatError(
                f"{where} is {_show(value)}; it must be a list of at most {MOST_STEPS:,}"
            )
        return value

    def _text(self, value: object, where: str) -> str:
        if not isinstance(value, str) or len(value) > _LONGEST:
            raise FormatError(f"{where} is {_show(value)}; it must be a text")
        return value

    def _id(self, value: object, where: str) -> int:
        real = isinstance(value, int) and not isinstance(value, bool)
        if not real or not 0 <= value < 2**31:  # type: ignore[operator]
            raise FormatError(f"{where} has {_show(value)}; it must be a token id")
        return value  # type: ignore[return-value]

    def _key(self, value: str, where: str) -> int:
        if not (value.isascii() and value.isdigit() and len(value) <= 10):
            raise FormatError(f"{where} has {_show(value)}; it must be a token id")
        return self._id(int(value), where)

    def _number(self, value: object, where: str) -> float:
        real = isinstance(value, (int, float)) and not isinstance(value, bool)
        if not real or not -1e9 <= value <= 1e9:  # type: ignore[operator]
            raise FormatError(f"{where} has {_show(value)}; it must be a number up to a billion")
        return float(value)  # type: ignore[arg-type]


def _show(value: object) -> str:
    if value is None:
        return "missing"
    if isinstance(value, dict):
        return "an object"
    if isinstance(value, list):
        return f"a list of {len(value):,}"
    words = repr(value)
    return words if len(words) <= 40 else f"{words[:37]}..."
