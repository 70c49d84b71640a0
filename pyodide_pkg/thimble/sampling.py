"""How the next token is chosen: the way of the parameters (`sampling_options.py`) into the kernel.

The choice itself is made by `kernels/sample.c`.
"""

from __future__ import annotations

import math
from array import array
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple, overload

from .errors import NumericError, OptionError
from .kernel import MAX_TOP, Kernel, Scratch
from .layout import Layout
from .sampling_options import OPTIONS, SamplingParams, params_from
from .sequence_breakers import SequenceBreakers

if TYPE_CHECKING:
    from .constrain import Constraint
    from .tokenizer import Tokenizer

__all__ = ["Choice", "Sampler", "SamplingParams", "Top", "params_from", "read_choice"]

NOTHING_LEFT = "the logits hold a NaN, or nothing is left to choose from"
MOST_DRAFTED = 15
"""Tokens that the kernels may draw in one call (`speculate.py`)."""

SAMPLING = Layout(
    "tk_sampling",
    "What a draw is told; what differs from draw to draw comes first.",
    last=("q", "address: int32, the ids before this draw in their order; or 0"),
    mask=("q", "address: uint32, a bit for each id that may come; or 0"),
    mu=("d", "mirostat's bound of surprise, in bits"),
    position=("i", "of the draw"),
    n_last=("i", "how many ids there are at `last`"),
    dry_limit=("i", "ids at the end that no sequence breaker divides"),
    n_top=("i", "alternatives to tell"),
    next_mu=("d", "told: what mu is after this draw"),
    seed=("Q", ""),
    repeats=("q", "address: int32, scratch of n_last"),
    breakers=("q", "address: uint32, a bit for each id that breaks sequences alone; or 0"),
    bias_ids=("q", "address: int32"),
    bias_values=("q", "address: float"),
    n_bias=("q", ""),
    **{name: (option.kernel, "") for name, option in OPTIONS.items() if option.kernel == "d"},
    **{name: (option.kernel, "") for name, option in OPTIONS.items() if option.kernel == "i"},
)
_HEAD = SAMPLING.part("last", "n_top")
_NEXT_MU = SAMPLING.offsets["next_mu"]
CHOICE = Layout(
    "tk_choice",
    "What a draw tells, of the model's own distribution.",
    id=("i", ""),
    n_top=("i", ""),
    logprob=("f", "nats"),
    entropy=("f", "nats"),
    top_ids=(f"{MAX_TOP}i", ""),
    top_logprobs=(f"{MAX_TOP}f", ""),
)
_CHOICE = CHOICE.part("id", "entropy")


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


_KERNEL_OPTIONS = tuple(
    name for code in "di" for name, option in OPTIONS.items() if option.kernel == code
)
"""The options in the kernel's struct, in its order."""


class Sampler:
    """The kernel's view of one generation's parameters, and memory for its choice.

    Mirostat has a state, `mu`, which each token that was drawn and then taken moves. What else is
    drawn depends on the tokens, the seed and the position alone.
    """

    def __init__(
        self,
        kernel: Kernel,
        n_vocab: int,
        params: SamplingParams,
        tokenizer: Tokenizer | None = None,
    ) -> None:
        """`tokenizer`: whose tokens break DRY's sequences, and which rows of the output stand for
        no token: none of those is drawn unless `logit_bias` names it."""
        for token in params.logit_bias:
            if token >= n_vocab:
                raise OptionError(f"logit_bias names token {token}; the vocabulary has {n_vocab}")
        self.params = params
        self.constraint: Constraint | None = None
        self._window = _window(params)
        self._last: Scratch | None = None
        self._breakers: SequenceBreakers | None = None
        if params.dry_multiplier and tokenizer is not None:
            self._breakers = SequenceBreakers.of(kernel, tokenizer, params.dry_sequence_breakers)
        self._mu = 2.0 * params.mirostat_tau
        self._drawn: tuple[int, int, float] | None = None
        """Position and id of the last draw, and what mu is once it is taken."""
        self._position = 0
        padding = tokenizer.padding if tokenizer is not None else ()
        biases = {**dict.fromkeys(padding, -math.inf), **params.logit_bias}
        self._n_bias = len(biases)
        self._bias_at = SAMPLING.size
        self._choice_at = self._bias_at + 8 * self._n_bias
        self._scratch_at = (self._choice_at + CHOICE.size + 15) & ~15
        total = self._scratch_at + kernel.call("sample_scratch", n_vocab)
        self.memory = Scratch(kernel, total, "sampling")
        ids, values = array("i", biases), array("f", biases.values())
        self.memory.write(ids.tobytes() + values.tobytes(), self._bias_at)
        self._write_params()

    def _write_params(self) -> None:
        p, base, n_bias = self.params, self.memory.address, self._n_bias
        mask = self._breakers.mask if self._breakers else 0
        repeats = self._last.address + self._last.nbytes // 2 if self._last else 0
        options = [getattr(p, name) for name in _KERNEL_OPTIONS]
        self.memory.write(SAMPLING.pack(
            0, 0, 0.0, 0, 0, 0, 0, 0.0, p.seed, repeats, mask, base + self._bias_at,
            base + self._bias_at + 4 * n_bias, n_bias, *options,
        ))  # fmt: skip

    @property
    def addresses(self) -> tuple[int, int, int]:
        """Of the parameters, the scratch and the choice, as `tk_sample` takes them."""
        base = self.memory.address
        return base, base + self._scratch_at, base + self._choice_at

    @property
    def mu(self) -> float:
        """Mirostat's state before the next draw: the bound of surprise, in bits."""
        return self._mu

    @mu.setter
    def mu(self, value: float) -> None:
        self._mu, self._drawn = value, None

    @property
    def next_mu(self) -> float:
        """What it is where the token that was drawn last is taken."""
        return self._mu if self._drawn is None else self._drawn[2]

    def constrain(self, tokenizer: Tokenizer, before: Sequence[int]) -> None:
        """Keep the tokens behind these to the grammar, if there is one."""
        if self.params.grammar is not None:
            from .constrain import Constraint

            kernel, grammar = self.memory.kernel, self.params.grammar
            at_start = all(tokenizer.is_special(token) for token in before)
            self.constraint = Constraint(kernel, tokenizer, grammar, len(before), at_start)

    def prepare(self, tokens: Sequence[int]) -> None:
        """Tell the kernel where the draw stands: after `tokens`."""
        mask = self.constraint.mask(tokens) if self.constraint else 0
        last = n_last = limit = 0
        if self._window:
            last, n_last, limit = self._write_last(tokens)
        if self._drawn is not None:
            at, token, mu = self._drawn
            if len(tokens) > at and tokens[at] == token:
                self._mu = mu
            self._drawn = None
        self._position = len(tokens)
        n_top = self.params.top_logprobs
        self.memory.write(_HEAD.pack(last, mask, self._mu, len(tokens), n_last, limit, n_top))

    def _write_last(self, tokens: Sequence[int]) -> tuple[int, int, int]:
        """Put the last tokens in their order where penalties read them: address, how many, and
        how many of them no sequence breaker divides."""
        count = len(tokens) if self._window < 0 else min(self._window, len(tokens))
        wanted = 4 * (count + MOST_DRAFTED + 1)
        if self._last is None or self._last.nbytes < 2 * wanted:
            if self._last is not None:
                self._last.close()
            self._last = Scratch(self.memory.kernel, 4 * wanted, "the last tokens")
            self._write_params()  # which names the scratch behind them
        self._last.write(array("i", tokens[len(tokens) - count :]).tobytes())
        limit = self._breakers.limit(tokens, count) if self._breakers else count
        return self._last.address, count, limit

    def choose(self, logits: int, n_vocab: int, tokens: Sequence[int]) -> Choice:
        """Choose after `tokens` from the logits at an address, [n_vocab padded to 4]."""
        self.prepare(tokens)
        if self.memory.kernel.call("sample", logits, n_vocab, *self.addresses):
            raise NumericError(NOTHING_LEFT)
        return self.choice()

    def choice(self) -> Choice:
        """What the kernel chose last."""
        kernel, base = self.memory.kernel, self.memory.address
        found = read_choice(kernel, base + self._choice_at)
        if self.params.mirostat:
            (mu,) = array("d", kernel.read(base + _NEXT_MU, 8))
            self._drawn = self._position, found.id, mu
        return found

    def close(self) -> None:
        if self._last is not None:
            self._last.close()
        self.memory.close()


def _window(params: SamplingParams) -> int:
    """How many of the last tokens a draw has to know: 0 for none, below 0 for all."""
    sizes = []
    if (params.repetition_penalty, params.frequency_penalty, params.presence_penalty) != (1, 0, 0):
        sizes.append(params.repeat_last_n)
    if params.dry_multiplier:
        sizes.append(params.dry_penalty_last_n)
    return -1 if min(sizes, default=0) < 0 else max(sizes, default=0)


def read_choice(kernel: Kernel, address: int) -> Choice:
    """The kernel's `tk_choice` at `address`."""
    token, n_top, logprob, entropy = _CHOICE.unpack(kernel.read(address, _CHOICE.size))
    if not n_top:
        return Choice(token, logprob, entropy, ())
    ids = kernel.read(address + CHOICE.offsets["top_ids"], 4 * n_top)
    logprobs = kernel.read(address + CHOICE.offsets["top_logprobs"], 4 * n_top)
    return Choice(token, logprob, entropy, Top(ids, logprobs))
