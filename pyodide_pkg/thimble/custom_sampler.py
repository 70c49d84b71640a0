"""A sampler of the caller's own: a Python function that chooses each token.

    def coldest(logits, context):
        return max(range(len(logits)), key=logits.__getitem__)

    session.generate("Once", params, sampler=coldest)

It gets the model's own logits, a copy that it may change, and decides alone; `context.choose` is
the way back to Thimble's own stages. What it does wrong becomes a `SamplerError`.
"""

from __future__ import annotations

import operator
import traceback
from array import array
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from .errors import OptionError, SamplerError
from .kernel import Scratch
from .sampling import Choice, Sampler, SamplingParams

if TYPE_CHECKING:
    from .session import Session
    from .tokenizer import Tokenizer

CustomSampler = Callable[[Any, "SamplerContext"], int]
"""`sampler(logits, context)`: logits are `array('f')` of n_vocab; the answer is a token id."""

_MASK = 2**64 - 1
_GOLDEN = 0x9E3779B97F4A7C15


class SamplerContext:
    """Where a choice stands: what a sampler may look at besides the logits."""

    def __init__(self, session: Session, sampler: Sampler) -> None:
        self.tokens: tuple[int, ...] = session.tokens
        """The ids before the one that is to be chosen."""
        self.params: SamplingParams = sampler.params
        self.tokenizer: Tokenizer = session.model.tokenizer
        self._sampler = sampler
        self._n_vocab = session.model.config.n_vocab
        self._state: int | None = None

    @property
    def position(self) -> int:
        """Of the token that is to be chosen, in the session."""
        return len(self.tokens)

    def random(self) -> float:
        """Uniform in [0, 1), from seed and position alone.

        The first is the number that Thimble's own draw would take here, the others follow it.
        """
        if self._state is None:
            seeded = _mix(self.params.seed + _GOLDEN)
            self._state = _mix(seeded + (self.position + 1) * _GOLDEN)
        else:
            self._state = _mix(self._state + _GOLDEN)
        return (self._state >> 11) * 2.0**-53

    def choose(self, logits: Sequence[float]) -> int:
        """What Thimble's own stages choose from these logits, by the generation's parameters."""
        if len(logits) != self._n_vocab:
            raise OptionError(f"there are {len(logits)} logits; the vocabulary has {self._n_vocab}")
        values = array("f", logits)
        padded = (self._n_vocab + 3) & ~3
        memory = Scratch(self._sampler.memory.kernel, 4 * padded, "logits")
        try:
            memory.write(values.tobytes())
            return self._sampler.choose(memory.address, self._n_vocab, self.tokens).id
        finally:
            memory.close()


def choose(
    custom: CustomSampler,
    session: Session,
    sampler: Sampler,
    logits: array[float] | None = None,
) -> Choice:
    """The next token by the caller's sampler, described as any other; it is not appended.

    It sees other logits than the model's own where they are given.
    """
    given = session.logits() if logits is None else logits
    token = _ask(custom, given, SamplerContext(session, sampler))
    return session.token_logprob(token, top=sampler.params.top_logprobs)


def _ask(custom: CustomSampler, logits: array[float], context: SamplerContext) -> int:
    n_vocab = len(logits)
    try:
        answer = custom(logits, context)
    except KeyboardInterrupt as error:
        raise _failed("was interrupted", error) from None
    except Exception as error:
        words = traceback.format_exception_only(error)[-1].strip()
        raise _failed(f"raised {words}", error) from error
    if isinstance(answer, bool):
        raise SamplerError(f"the sampler returned {answer!r}; {_right(n_vocab)}")
    try:
        token = operator.index(answer)
    except TypeError:
        raise SamplerError(f"the sampler returned {_show(answer)}; {_right(n_vocab)}") from None
    if not 0 <= token < n_vocab:
        raise SamplerError(f"the sampler returned {token}; {_right(n_vocab)}")
    return token


def _right(n_vocab: int) -> str:
    return f"a token id is wanted, a whole number from 0 to {n_vocab - 1}"


def _show(answer: object) -> str:
    """What came instead of an id: short, and with its shape where it has one."""
    shape = getattr(answer, "shape", None)
    if shape is not None and shape != ():
        return f"{type(answer).__name__} of shape {shape}"
    if answer is None:
        return "nothing (None)"
    words = repr(answer)
    return words if len(words) <= 60 else f"{words[:57]}... ({type(answer).__name__})"


def _failed(what: str, error: BaseException) -> SamplerError:
    """With the traceback as the caller knows it: from the sampler on, without our own lines."""
    tb = error.__traceback__.tb_next if error.__traceback__ else None
    frames = traceback.extract_tb(tb)
    if not frames:  # it could not even be called: the wrong number of parameters
        return SamplerError(f"the sampler {what}")
    # The last line of the caller's own: an error inside of `context.choose` is told by its call.
    own = [frame for frame in frames if frame.filename != __file__] or list(frames)
    own = [frame for frame in own if frame.filename == own[0].filename]
    where = own[-1]
    listed = "".join(traceback.format_list(frames)).rstrip()
    return SamplerError(
        f"the sampler {what} (line {where.lineno}, in {where.name})",
        line=where.lineno,
        trace=f"Traceback (most recent call last):\n{listed}",
    )


def _mix(z: int) -> int:
    """The finalizer of SplitMix64 (Steele, Lea & Flood 2014), as in `kernels/sample.c`."""
    z &= _MASK
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & _MASK
    return z ^ (z >> 31)
