"""How the next token is chosen: the parameters, and their way into the kernel.

The choice itself is made by `kernels/sample.c`. To add a sampler: a field here, checked in
`__post_init__`, a field in the kernel's `tk_sampling`, and a stage there.
"""

from __future__ import annotations

import dataclasses
import math
import struct
from array import array
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple, overload

from .errors import NumericError, OptionError
from .kernel import MAX_TOP, Kernel, Scratch

if TYPE_CHECKING:
    from .constrain import Constraint, Grammar
    from .tokenizer import Tokenizer

RECENT = 64
"""Tokens that the repetition penalty looks back."""
NOTHING_LEFT = "the logits hold a NaN, or nothing is left to choose from"
_SAMPLING = struct.Struct("<Qddddqqqqiiiiii")
_CHOICE = struct.Struct("<iiff")


@dataclass(frozen=True, slots=True, kw_only=True)
class SamplingParams:
    """What a generation is asked for. Names are OpenAI's and llama.cpp's.

    Raises OptionError for a value out of its range.
    """

    max_tokens: int = 256
    """Tokens to write at most."""
    temperature: float = 1.0
    """Divides the logits; 0 takes the best token every time."""
    top_k: int = 0
    """Only the k best tokens; 0 for all."""
    top_p: float = 1.0
    """Only the best tokens that together have this probability (Holtzman et al. 2020)."""
    min_p: float = 0.0
    """Only tokens at least this probable relative to the best (Nguyen et al. 2024)."""
    repetition_penalty: float = 1.0
    """Divides positive and multiplies negative logits of the last 64 ids (Keskar et al. 2019)."""
    logit_bias: Mapping[int, float] = field(default_factory=dict)
    """Added to the logits of these ids; minus infinity bans one."""
    stop: Sequence[str] = ()
    """Writing ends before any of these strings."""
    seed: int = 0
    """Of the draws: with the position it alone decides them."""
    top_logprobs: int = 0
    """Alternatives to report with each token."""
    grammar: Grammar | None = None
    """What the text must match, from `thimble.constrain`; None for any text."""

    def __post_init__(self) -> None:
        _whole("max_tokens", self.max_tokens, 0, 2**31 - 1)
        _number("temperature", self.temperature, 0.0, 100.0)
        if 0.0 < self.temperature < 0.001:
            raise OptionError(f"temperature is {self.temperature}; it must be 0 or at least 0.001")
        _whole("top_k", self.top_k, 0, 2**31 - 1)
        _number("top_p", self.top_p, 0.0, 1.0)
        _number("min_p", self.min_p, 0.0, 1.0)
        _number("repetition_penalty", self.repetition_penalty, 0.01, 100.0)
        _whole("seed", self.seed, 0, 2**64 - 1)
        _whole("top_logprobs", self.top_logprobs, 0, MAX_TOP)
        self._check_bias()
        self._check_stop()
        if self.grammar is not None:
            self._check_grammar()

    def _check_bias(self) -> None:
        if not isinstance(self.logit_bias, Mapping):
            raise OptionError(
                f"logit_bias is {self.logit_bias!r}; it must map token ids to numbers"
            )
        for token, bias in self.logit_bias.items():
            _whole("a token id in logit_bias", token, 0, 2**31 - 1)
            real = isinstance(bias, (int, float)) and not isinstance(bias, bool)
            if not real or math.isnan(bias) or bias > 1e9:
                raise OptionError(
                    f"logit_bias of token {token} is {bias!r}; it must be a number below 1e9"
                )

    def _check_grammar(self) -> None:
        from .constrain import Grammar  # who has no grammar does not wait for it

        if not isinstance(self.grammar, Grammar):
            raise OptionError(
                f"grammar is {self.grammar!r:.60}; it must be made by thimble.constrain: "
                "json_schema(...), regex(...) or gbnf(...)"
            )

    def _check_stop(self) -> None:
        bad = isinstance(self.stop, str) or not all(isinstance(s, str) and s for s in self.stop)
        if bad:
            raise OptionError(f"stop is {self.stop!r}; it must be a list of non-empty strings")


def params_from(options: Mapping[str, object]) -> SamplingParams:
    """`SamplingParams` from named options; OptionError for a name that does not exist."""
    known = [f.name for f in dataclasses.fields(SamplingParams)]
    for name in options:
        if name not in known:
            raise OptionError(f"there is no option {name!r}; there are {', '.join(known)}")
    return SamplingParams(**options)  # type: ignore[arg-type]


def _whole(name: str, value: object, low: int, high: int) -> None:
    if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
        raise OptionError(f"{name} is {value!r}; it must be a whole number from {low} to {high}")


def _number(name: str, value: object, low: float, high: float) -> None:
    real = isinstance(value, (int, float)) and not isinstance(value, bool)
    if not real or not low <= value <= high:  # type: ignore[operator]
        raise OptionError(f"{name} is {value!r}; it must be a number from {low:g} to {high:g}")


class Top(Sequence[tuple[int, float]]):
    """The best tokens and their log-probabilities, the most probable first.

    They stay as the kernel left them until somebody looks: most tokens are never looked at, and
    taking them apart costs as much as the rest of a small model's token in Python.
    """

    __slots__ = ("_ids", "_logprobs")

    def __init__(self, ids: bytes = b"", logprobs: bytes = b"") -> None:
        self._ids = ids
        self._logprobs = logprobs

    @property
    def ids(self) -> array[int]:
        return array("i", self._ids)

    @property
    def packed(self) -> bytes:
        """The ids as int32 numbers, then the log-probabilities as float32 ones."""
        return self._ids + self._logprobs

    def __len__(self) -> int:
        return len(self._ids) // 4

    def __iter__(self) -> Iterator[tuple[int, float]]:
        return zip(self.ids, array("f", self._logprobs), strict=True)

    @overload
    def __getitem__(self, at: int) -> tuple[int, float]: ...

    @overload
    def __getitem__(self, at: slice) -> tuple[tuple[int, float], ...]: ...

    def __getitem__(self, at: int | slice) -> tuple[int, float] | tuple[tuple[int, float], ...]:
        return tuple(self)[at]

    def __eq__(self, other: object) -> bool:
        return isinstance(other, (Top, tuple)) and tuple(self) == tuple(other)

    def __hash__(self) -> int:
        return hash(tuple(self))

    def __repr__(self) -> str:
        return repr(tuple(self))


class Choice(NamedTuple):
    """One chosen token. `logprob`, `entropy` (nats) and `top` (id, logprob) are of the model's own
    distribution, before anything was done to it."""

    id: int
    logprob: float
    entropy: float
    top: Sequence[tuple[int, float]]


class Sampler:
    """The kernel's view of one generation's parameters, and memory for its choice.

    `padding` are rows of the output that stand for no token; none is drawn unless `logit_bias`
    names it.
    """

    def __init__(
        self, kernel: Kernel, n_vocab: int, params: SamplingParams, padding: Iterable[int] = ()
    ) -> None:
        for token in params.logit_bias:
            if token >= n_vocab:
                raise OptionError(f"logit_bias names token {token}; the vocabulary has {n_vocab}")
        self.params = params
        self.constraint: Constraint | None = None
        biases = {**dict.fromkeys(padding, -math.inf), **params.logit_bias}
        bias = self._n_bias = len(biases)
        choice = kernel.call("choice_bytes")
        self._recent_at = _SAMPLING.size
        self._bias_at = self._recent_at + 4 * RECENT
        self._choice_at = self._bias_at + 8 * bias
        self._scratch_at = (self._choice_at + choice + 15) & ~15
        total = self._scratch_at + kernel.call("sample_scratch", n_vocab)
        self.memory = Scratch(kernel, total, "sampling")
        ids, values = array("i", biases), array("f", biases.values())
        self.memory.write(ids.tobytes() + values.tobytes(), self._bias_at)

    @property
    def addresses(self) -> tuple[int, int, int]:
        """Of the parameters, the scratch and the choice, as `tk_sample` takes them."""
        base = self.memory.address
        return base, base + self._scratch_at, base + self._choice_at

    def constrain(self, tokenizer: Tokenizer, before: Sequence[int]) -> None:
        """Keep the tokens behind these to the grammar, if there is one."""
        if self.params.grammar is not None:
            from .constrain import Constraint

            kernel, grammar = self.memory.kernel, self.params.grammar
            at_start = all(tokenizer.is_special(token) for token in before)
            self.constraint = Constraint(kernel, tokenizer, grammar, len(before), at_start)

    def prepare(self, tokens: Sequence[int]) -> None:
        """Tell the kernel where the draw stands: after `tokens`."""
        p, base = self.params, self.memory.address
        mask = self.constraint.mask(tokens) if self.constraint else 0
        recent: list[int] = []
        if p.repetition_penalty != 1.0:
            recent = sorted(set(tokens[-RECENT:]))
            self.memory.write(array("i", recent).tobytes(), self._recent_at)
        n_bias = self._n_bias
        packed = _SAMPLING.pack(
            p.seed, p.temperature, p.top_p, p.min_p, p.repetition_penalty,
            base + self._recent_at, base + self._bias_at, base + self._bias_at + 4 * n_bias, mask,
            len(tokens), min(p.top_k, 2**31 - 1), p.top_logprobs, len(recent), n_bias, 0,
        )  # fmt: skip
        self.memory.write(packed)

    def choose(self, logits: int, n_vocab: int, tokens: Sequence[int]) -> Choice:
        """Choose after `tokens` from the logits at an address, [n_vocab padded to 4]."""
        self.prepare(tokens)
        if self.memory.kernel.call("sample", logits, n_vocab, *self.addresses):
            raise NumericError(NOTHING_LEFT)
        return self.choice()

    def choice(self) -> Choice:
        """What the kernel chose last."""
        return read_choice(self.memory.kernel, self.memory.address + self._choice_at)

    def close(self) -> None:
        self.memory.close()


def read_choice(kernel: Kernel, address: int) -> Choice:
    """The kernel's `tk_choice` at `address`."""
    token, n_top, logprob, entropy = _CHOICE.unpack(kernel.read(address, _CHOICE.size))
    if not n_top:
        return Choice(token, logprob, entropy, ())
    ids = kernel.read(address + _CHOICE.size, 4 * n_top)
    logprobs = kernel.read(address + _CHOICE.size + 4 * MAX_TOP, 4 * n_top)
    return Choice(token, logprob, entropy, Top(ids, logprobs))
