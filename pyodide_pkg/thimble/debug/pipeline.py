"""One draw, stage by stage, as the kernel makes it.

The kernel's own sampler writes down what each stage did to each token (`tk_sample_trace`), so what
is shown here is the draw itself and not a second opinion.
"""

from __future__ import annotations

from array import array
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from ..errors import NumericError
from ..kernel import MAX_TOP, Kernel, Scratch
from ..layout import Layout
from ..sampling import NOTHING_LEFT, Sampler
from ..sampling_options import FATES

TRACE_HEAD = Layout(
    "tk_trace_head",
    "How a draw went.",
    uniform=("d", "the random number"),
    total=("d", "of the survivors' weights: the draw fell at uniform * total"),
    mass=("d", "of all weights"),
    survivors=("i", ""),
    id=("i", "of the token that was drawn"),
)
TRACE_ROW = Layout(
    "tk_trace_row",
    "What the stages of a draw made of one token.",
    id=("i", ""),
    fate=("i", ""),
    logit=("f", "the model's own"),
    biased=("f", "after bias and grammar"),
    penalized=("f", "after the penalties"),
    weight=("f", "after temperature, relative to the best"),
    start=("d", "the weights drawn from before this one"),
)


class Row(NamedTuple):
    """What the stages made of one token."""

    id: int
    fate: str
    """One of FATES."""
    logit: float
    """The model's own."""
    biased: float
    """After edits and logit bias."""
    penalized: float
    """After the penalties."""
    weight: float
    """After temperature: a probability relative to the best token's, which is 1."""
    start: float
    """The weights drawn from before this one, where it was kept."""


class Pipeline(NamedTuple):
    """A draw that has not been taken yet."""

    rows: tuple[Row, ...]
    """The best tokens, before and after the stages, and those that were edited; best first."""
    id: int
    """Who is drawn: the token whose start and weight enclose `uniform * total`."""
    uniform: float
    """The random number, in [0, 1)."""
    total: float
    """Of the kept tokens' weights."""
    mass: float
    """Of all tokens' weights."""
    kept: int
    """Tokens that were drawn from."""
    allowed: int | None
    """Tokens that the constraint lets come; None where there is none."""


class Tracer:
    """Runs the stages of one draw over a vocabulary and notes what each did."""

    def __init__(self, kernel: Kernel, n_vocab: int) -> None:
        self._kernel = kernel
        self._n_vocab = n_vocab
        padded = (n_vocab + 3) & ~3
        self._logits = Scratch(kernel, 4 * padded, "logits")
        self._edited = Scratch(kernel, 4 * padded, "edited logits")
        self._trace = Scratch(kernel, kernel.call("sample_trace_bytes", n_vocab), "the stages")

    def run(
        self,
        sampler: Sampler,
        logits: array[float],
        tokens: Sequence[int],
        edits: Mapping[int, float],
        *,
        best: int,
    ) -> Pipeline:
        """What `sampler` chooses after `tokens`, where the logits of some ids are others.

        `best` tokens are listed, at most 64. Raises NumericError where nothing is left to choose.
        """
        self._write(logits, edits)
        sampler.prepare(tokens)
        args = (self._edited.address, self._n_vocab, *sampler.addresses, self._trace.address)
        if self._kernel.call("sample_trace", *args):
            raise NumericError(NOTHING_LEFT)
        head = self._kernel.read(self._trace.address, TRACE_HEAD.size)
        uniform, total, mass, kept, drawn = TRACE_HEAD.unpack(head)
        ids = self._best(min(best, MAX_TOP, self._n_vocab))
        # Who was good and is no more belongs there too, and who has been touched; not who is only
        # listed because the constraint allows fewer tokens than are listed.
        noted = [token for token, _ in sampler.choice().top]
        noted += sorted({*edits, drawn} - {*noted})
        rows = tuple(
            row
            for row in self._rows([*ids, *(token for token in noted if token not in ids)])
            if row.fate != "constraint" or row.id in noted
        )
        return Pipeline(rows, drawn, uniform, total, mass, kept, self._allowed(sampler, tokens))

    def choose(
        self,
        sampler: Sampler,
        logits: array[float],
        tokens: Sequence[int],
        edits: Mapping[int, float],
    ) -> int:
        """The same choice without looking on."""
        self._write(logits, edits)
        return sampler.choose(self._edited.address, self._n_vocab, tokens).id

    def close(self) -> None:
        for memory in (self._logits, self._edited, self._trace):
            memory.close()

    def _write(self, logits: array[float], edits: Mapping[int, float]) -> None:
        self._logits.write(logits.tobytes())
        self._edited.write(edited(logits, edits).tobytes())

    def _allowed(self, sampler: Sampler, tokens: Sequence[int]) -> int | None:
        if sampler.constraint is None:
            return None
        return sampler.constraint.count(tokens)

    def _best(self, count: int) -> array[int]:
        out = Scratch(self._kernel, 4 * MAX_TOP, "the best tokens")
        found = self._kernel.call(
            "sample_best", self._trace.address, self._n_vocab, count, out.address
        )
        ids = array("i", self._kernel.read(out.address, 4 * found))
        out.close()
        return ids

    def _rows(self, ids: Sequence[int]) -> tuple[Row, ...]:
        memory = Scratch(self._kernel, (8 + TRACE_ROW.size) * len(ids), "rows of the stages")
        memory.write(array("i", ids).tobytes())
        rows = memory.address + 8 * len(ids)
        args = (self._trace.address, self._logits.address, memory.address, len(ids), rows)
        self._kernel.call("sample_rows", *args)
        data = self._kernel.read(rows, TRACE_ROW.size * len(ids))
        memory.close()
        return tuple(
            Row(token, FATES[fate], *rest) for token, fate, *rest in TRACE_ROW.iter_unpack(data)
        )


def edited(logits: array[float], edits: Mapping[int, float]) -> array[float]:
    """A copy in which the logits of some ids are others."""
    changed = logits[:]
    for token, value in edits.items():
        changed[token] = value
    return changed
