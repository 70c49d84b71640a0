"""Several models as one: their next-token distributions are combined, and what comes out is a model
like any other.

    both = thimble.Ensemble([stories, fairy_tales], method="mixture", weights=[0.7, 0.3])
    for chunk in both.session().generate("Once upon a time"): ...

Members keep their own weights and are held once; each has a cache of its own in every session. The
combination is computed by `kernels/ensemble.c`.
"""

from __future__ import annotations

import dataclasses
from array import array
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from .combined import METHODS, CombinedModel, check_each, known_method, same_vocabulary
from .deprecated import warn
from .errors import HookError, NumericError, OptionError
from .kernel import BATCH, Scratch
from .language_model import LanguageModel
from .sampling import Choice, Sampler
from .session import Session

if TYPE_CHECKING:
    from .byte_level import ByteMixture

PLAUSIBLE = 0.1
"""Of the first member's best probability: what is below is out of a contrastive choice."""


class Ensemble(CombinedModel):
    """Two to eight models with one vocabulary; `combine` also makes the mixture of others.

    `weights`: one number a member; equal by default, and for the contrastive method 1.5 and -0.5,
    or 1, 0.5 and -0.5. Those of the other methods are divided by their sum. Raises OptionError for
    members that do not fit together and for weights that make no sense.
    """

    def __new__(cls, members: Sequence[LanguageModel], **options: Any) -> Ensemble | ByteMixture:  # type: ignore[misc]  # of version 0.1
        if cls is Ensemble and by_bytes(members, options.get("method", "mixture")):
            from .byte_level import ByteMixture

            warn("thimble.Ensemble of models with other vocabularies", "thimble.combine")
            return ByteMixture(members, **options)
        return super().__new__(cls)

    def __init__(
        self,
        members: Sequence[LanguageModel],
        *,
        method: str = "mixture",
        weights: Sequence[float] | None = None,
    ) -> None:
        known_method(method)
        _check_members(members)
        first = members[0]
        super().__init__(
            members,
            dataclasses.replace(first.config, n_ctx=min(member.config.n_ctx for member in members)),
            first.tokenizer,
            name=f"{method} of {', '.join(member.name for member in members)}",
            method=method,
            weights=weights,
        )

    def _session(self, n_ctx: int, kv_type: str | None = None) -> Session:
        return EnsembleSession(self, n_ctx, kv_type)


def combine(
    members: Sequence[LanguageModel],
    *,
    method: str = "mixture",
    weights: Sequence[float] | None = None,
) -> Ensemble | ByteMixture:
    """Return models as one: an `Ensemble` where they share a vocabulary, and else the mixture of
    their next bytes, a `ByteMixture` (`byte_level.py`), whose tokens are bytes. What the arguments
    are and which errors are raised, say those two."""
    if by_bytes(members, method):
        from .byte_level import ByteMixture  # most are of one vocabulary

        return ByteMixture(members, method=method, weights=weights)
    return Ensemble(members, method=method, weights=weights)


def by_bytes(members: Sequence[LanguageModel], method: str) -> bool:
    """Whether these can be combined by their next bytes only."""
    if method != "mixture":
        return False
    check_each(members)
    return not all(same_vocabulary(members[0], member) for member in members[1:])


class EnsembleSession(Session):
    """One sequence over every member."""

    model: Ensemble

    def __init__(self, model: Ensemble, n_ctx: int, kv_type: str | None = None) -> None:
        self.parts = [member._session(n_ctx, kv_type) for member in model.members]
        """The members' sessions: their caches. What is in them is decided here."""
        self._plain = self._all_plain()
        count = len(self.parts)
        row = 4 * ((model.config.n_vocab + 3) & ~3)
        self._rows = Scratch(model.kernel, BATCH * count * row, "the members' logits")
        # Addresses of a row of each member and of their sessions, their weights and the bound; a
        # row of scratch.
        self._table = Scratch(model.kernel, 24 * count + 8 + row, "combining")
        # How many tokens the members' last rows come after, and which of their rows those are.
        self._fresh, self._last = -1, 0
        # How the logits that are there were combined.
        self._rule: tuple[str, tuple[float, ...]] | None = None
        super().__init__(model, n_ctx, kv_type)

    @property
    def runs_in_kernel(self) -> bool:
        return False

    def _all_plain(self) -> bool:
        """Whether the kernel can compute all members by itself: none has hooks or is many."""
        return all(part.runs_in_kernel for part in self.parts)

    def _start_over(self) -> None:
        self._plain = self._all_plain()
        super()._start_over()

    def member_logits(self, index: int) -> array[float]:
        """What one member says of the next token: n_vocab float32 numbers, copied."""
        self._rows_ready()
        size = self.model.config.n_vocab
        return array("f", self._kernel.read(self._last_row(index), 4 * size))

    def weigh_each(self, token: int, *, top: int = 0) -> list[Choice]:
        """What `token_logprob` says, of each member."""
        self._check([token], append=False)
        self._rows_ready()
        members = range(len(self.parts))
        return [self._describe(self._last_row(i), [token], top)[0] for i in members]

    def score_each(self, ids: Sequence[int]) -> list[list[Choice]]:
        """What `score` says, of the ensemble and then of each member; computed once."""
        self._check(ids)
        members = range(len(self.parts))
        found: list[list[Choice]] = [[] for _ in range(1 + len(members))]
        for at in range(0, len(ids), BATCH):
            part = list(ids[at : at + BATCH])
            first = self.weigh_each(part[0]) if self._tokens else []
            found[0] += self.score(part)
            for i in members:
                # The rows of the whole batch are still there.
                rows = self._rows.address + i * BATCH * 4 * self._row
                found[1 + i] += first[i : i + 1] + self._describe(rows, part[1:], 0)
        return found

    def _rows_ready(self) -> None:
        """See to it that the members' last rows are those of the next token."""
        self._ready()
        if self._fresh != self._logits_at:
            # The row was computed before a rollback or in a copy: once more.
            self._computed = self._truncate_cache(self._computed - 1)
            self._ready()

    def _prepare_logits(self) -> None:
        if self._logits_at == len(self._tokens) and self._rule != self._rule_now:
            if self._fresh == self._logits_at:
                self._combine(self._last, 1, self._logits.address)
            else:
                self._logits_at = -1  # those rows are of another place: the last token once more
        super()._prepare_logits()

    @property
    def _rule_now(self) -> tuple[str, tuple[float, ...]]:
        return self.model.method, self.model.member_weights

    def _last_row(self, index: int) -> int:
        return self._rows.address + (index * BATCH + self._last) * 4 * self._row

    def _live(self) -> int:
        for part in self.parts:
            part._live()
        return 0

    def _grow(self, wanted: int) -> None:
        for part in self.parts:
            part._grow(wanted)

    def _forward(self, ids: Sequence[int], which: int, logits: int) -> None:
        before = self._computed
        try:
            if which == 0 and self._plain:
                self._step(ids, logits)
                return
            for index, part in enumerate(self.parts):
                rows = self._rows.address + index * BATCH * 4 * self._row
                part._forward(ids, which, rows)
            if which >= 0:
                self._combine(0, len(ids) if which else 1, logits)
        except (NumericError, HookError):
            self._truncate_cache(before)
            raise
        if which >= 0:
            self._last, self._fresh = len(ids) - 1 if which else 0, before + len(ids)

    def _step(self, ids: Sequence[int], logits: int) -> None:
        """All members, and what they say together, in one call."""
        self._ids.write(array("i", ids).tobytes())
        method, *table = self._kernel_args(0)
        sessions = self._table.address + 8 * len(self.parts)
        self._check_status(self._kernel.call(
            "combine_step", sessions, self._ids.address, len(ids), method, *table, logits
        ))  # fmt: skip
        self._last, self._fresh = 0, self._computed + len(ids)

    def _combine(self, start: int, count: int, logits: int) -> None:
        """From the members' rows, `start` and the following, to `count` rows at `logits`."""
        for at in range(count):
            args = self._kernel_args(start + at)
            self._check_status(self._kernel.call("combine", *args, logits + at * 4 * self._row))

    def _kernel_args(self, at: int) -> tuple[int, ...]:
        """Tell the kernel how row `at` is combined; what it then takes, but for the result."""
        model, members, base = self.model, len(self.parts), self._table.address
        bound = PLAUSIBLE if model.method == "contrastive" else 0.0
        first, step = self._rows.address + at * 4 * self._row, BATCH * 4 * self._row
        rows = array("q", range(first, first + members * step, step))
        self._table.write(
            rows.tobytes()
            + array("q", [part._address for part in self.parts]).tobytes()
            + array("d", (*model.member_weights, bound)).tobytes()
        )
        weights = base + 16 * members
        scratch = weights + 8 * members + 8
        method = METHODS[model.method]
        return method, base, weights, members, model.config.n_vocab, scratch

    def _check_status(self, status: int) -> None:
        """Take up what the kernel says of a combination."""
        if status > 0:
            self.parts[status >> 16]._finite(status & 0xFFFF)
        if status < 0:
            name = self.model.members[-1 - status].name
            raise NumericError(f"the logits of member {name!r} hold a NaN")
        self._rule = self._rule_now

    def _draw(self, pending: Sequence[int], sampler: Sampler) -> None:
        self._draw_apart(pending, sampler)

    def _truncate_cache(self, n: int) -> int:
        return self._agreed(n, [part._truncate_cache(n) for part in self.parts])

    def _copy_cache(self, other: Session, n: int) -> int:
        assert isinstance(other, EnsembleSession)
        self._rule = other._rule
        pairs = zip(self.parts, other.parts, strict=True)
        return self._agreed(n, [part._copy_cache(source, n) for part, source in pairs])

    def _agreed(self, n: int, kept: list[int]) -> int:
        """Where members have kept different numbers of positions, keep what all of them can."""
        while min(kept) < n:
            n = min(kept)
            kept = [part._truncate_cache(n) for part in self.parts]
        return n

    def _free(self) -> None:
        for part in self.parts:
            part.close()
        self._rows.close()
        self._table.close()


def _check_members(members: Sequence[LanguageModel]) -> None:
    check_each(members)
    first = members[0]
    for member in members[1:]:
        if not same_vocabulary(first, member):
            raise OptionError(
                f"member {member.name!r} has another vocabulary than {first.name!r}: their tokens "
                "cannot be compared one by one; only the mixture can be made, by bytes"
            )
        if member.kernel is not first.kernel:
            raise OptionError(
                f"member {member.name!r} lies in another memory than {first.name!r}: one of them "
                "is large enough for threads, and the other is not"
            )
