"""Several models as one: their next-token distributions are combined, and what comes out is a model
like any other.

    both = thimble.Ensemble([stories, fairy_tales], method="mixture", weights=[0.7, 0.3])
    for chunk in both.session().generate("Once upon a time"): ...

Members keep their own weights and are held once; each has a cache of its own in every session. The
combination is computed by `kernels/ensemble.c`.
"""

from __future__ import annotations

import dataclasses
import math
from array import array
from collections.abc import Callable, Iterator, Sequence

from .errors import HookError, NumericError, OptionError
from .kernel import BATCH, Kernel, Scratch
from .model import Model
from .sampling import Choice, Sampler
from .session import Session

METHODS = {"mixture": 0, "product": 1, "vote": 2, "confident": 3, "contrastive": 4}
"""By the kernel's numbers: the average of probabilities; the average of log-probabilities (product
of experts, Hinton 2002); each member's best token has its vote; the member that is surest of its
best token speaks alone; log-probabilities with signs, among the tokens that the first member finds
plausible (contrastive decoding, Li et al. 2023; with three members DExperts, Liu et al. 2021)."""
MOST_MEMBERS = 8
PLAUSIBLE = 0.1
"""Of the first member's best probability: what is below is out of a contrastive choice."""


class Ensemble(Model):
    """Two to eight models with one vocabulary. The mixture of others is made by bytes: what comes
    then is a `ByteMixture` (`byte_level.py`), whose tokens are bytes.

    `weights`: one number a member; equal by default, and for the contrastive method 1.5 and -0.5,
    or 1, 0.5 and -0.5. Those of the other methods are divided by their sum. Raises OptionError for
    members that do not fit together and for weights that make no sense.
    """

    def __new__(cls, members: Sequence[Model], **options: object) -> Ensemble:
        if cls is Ensemble and options.get("method", "mixture") == "mixture":
            _check_each(members)
            if not all(same_vocabulary(members[0], member) for member in members[1:]):
                from .byte_level import ByteMixture

                cls = ByteMixture
        return super().__new__(cls)

    def __init__(
        self,
        members: Sequence[Model],
        *,
        method: str = "mixture",
        weights: Sequence[float] | None = None,
    ) -> None:
        known_method(method)
        _check_members(members)
        first = members[0]
        self.members = tuple(members)
        self.method = method
        self.config = dataclasses.replace(
            first.config, n_ctx=min(member.config.n_ctx for member in members)
        )
        self.metadata = {}
        self.tensors = ()
        self.tokenizer = first.tokenizer
        self.n_params = sum(member.n_params for member in members)
        self.name = f"{method} of {', '.join(member.name for member in members)}"
        self._closed = False
        self._shares: tuple[float, ...] = ()
        self.member_weights = _usual_weights(method, len(members)) if weights is None else weights

    @property
    def member_weights(self) -> tuple[float, ...]:
        """One number a member; sessions that are open follow a change."""
        return self._shares

    @member_weights.setter
    def member_weights(self, weights: Sequence[float]) -> None:
        self._shares = checked_weights(self.method, weights, len(self.members))

    def combine_by(self, method: str, weights: Sequence[float] | None = None) -> None:
        """Combine by this method from now on, with its usual weights or these; open sessions follow
        without computing anything again."""
        count = len(self.members)
        shares = _usual_weights(known_method(method), count) if weights is None else weights
        self._shares = checked_weights(method, shares, count)
        self.method = method

    @property
    def kernel(self) -> Kernel:
        return self.members[0].kernel

    @property
    def nbytes(self) -> int:
        """Bytes of kernel memory that the members' weights take."""
        return sum(member.nbytes for member in self.members)

    @property
    def revision(self) -> int:
        """The members' together: adapters are put on them, not on the ensemble."""
        return sum(member.revision for member in self.members)

    @property
    def closed(self) -> bool:
        return self._closed or any(member.closed for member in self.members)

    def _session(self, n_ctx: int) -> Session:
        return EnsembleSession(self, n_ctx)

    def close(self) -> None:
        """End it; the members live on."""
        self._closed = True


class EnsembleSession(Session):
    """One sequence over every member."""

    model: Ensemble

    def __init__(self, model: Ensemble, n_ctx: int) -> None:
        self.parts = [member._session(n_ctx) for member in model.members]
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
        super().__init__(model, n_ctx)

    def _all_plain(self) -> bool:
        """Whether the kernel can compute all members by itself: none has hooks or is many."""
        return all(type(part) is Session and not part.model.fwd_hooks for part in self.parts)

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
            self._computed -= 1
            self._truncate_cache(self._computed)
            self._compute(len(self._tokens))

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
            part._computed = self._computed  # so much of its cache is copied
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

    def _truncate_cache(self, n: int) -> None:
        for part in self.parts:
            part._truncate_cache(n)

    def _copy_cache(self, other: Session, n: int) -> None:
        assert isinstance(other, EnsembleSession)
        self._rule = other._rule
        for part, source in zip(self.parts, other.parts, strict=True):
            part._copy_cache(source, n)

    def _free(self) -> None:
        for part in self.parts:
            part.close()
        self._rows.close()
        self._table.close()


def known_method(method: str) -> str:
    if method not in METHODS:
        raise OptionError(f"there is no method {method!r}; there are {', '.join(METHODS)}")
    return method


def _check_each(members: Sequence[Model]) -> None:
    if not 2 <= len(members) <= MOST_MEMBERS:
        raise OptionError(f"an ensemble has 2 to {MOST_MEMBERS} members, not {len(members)}")
    for index, member in enumerate(members):
        if member.closed:
            raise OptionError(f"member {member.name!r} is closed")
        if any(member is other for other in members[:index]):
            raise OptionError(f"member {member.name!r} is there twice: it would only weigh more")


def _check_members(members: Sequence[Model]) -> None:
    _check_each(members)
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


def same_vocabulary(a: Model, b: Model) -> bool:
    """Whether the same id means the same bytes in both."""
    return a.config.n_vocab == b.config.n_vocab and all(
        a.tokenizer.token_bytes(token) == b.tokenizer.token_bytes(token)
        for token in range(a.config.n_vocab)
    )


def _usual_weights(method: str, count: int) -> tuple[float, ...]:
    if method != "contrastive":
        return (1.0,) * count
    if count > 3:
        raise OptionError(f"say the weights of {count} members: a contrast has two or three")
    return (1.5, -0.5) if count == 2 else (1.0, 0.5, -0.5)


def checked_weights(method: str, weights: Sequence[float], count: int) -> tuple[float, ...]:
    found = tuple(float(weight) for weight in weights)
    if len(found) != count:
        raise OptionError(f"there are {count} members and {len(found)} weights")
    signed = method == "contrastive"
    for weight in found:
        if not math.isfinite(weight) or abs(weight) > 1e6 or (weight < 0.0 and not signed):
            least = "-1e6" if signed else "0"
            raise OptionError(f"a weight is {weight}; it must be from {least} to 1e6")
    if not any(found):
        raise OptionError("all weights are 0: nobody would be asked")
    if signed:
        return found
    total = sum(found)
    return tuple(weight / total for weight in found)


def fit_weights(
    members: Sequence[Model],
    stories: Sequence[str],
    *,
    rounds: int = 50,
    progress: Callable[[int, int], None] | None = None,
) -> tuple[float, ...]:
    """The weights of the mixture that gives the stories the most probability, by expectation
    maximisation (Dempster, Laird & Rubin 1977); `progress(done, total)` counts members, or
    stories where the members are read by bytes.

    The likelihood is concave in the weights, so the start does not matter.
    """
    _check_each(members)
    columns = list(_probabilities(members, stories, progress))
    rows = list(zip(*columns, strict=True))
    if not rows:
        raise OptionError("the text has nothing to predict: it needs at least two tokens")
    weights = [1.0 / len(members)] * len(members)
    for _ in range(rounds):
        weights = better_weights(weights, rows)
    return tuple(weights)


def _probabilities(
    members: Sequence[Model],
    stories: Sequence[str],
    progress: Callable[[int, int], None] | None,
) -> Iterator[list[float]]:
    """What each member gives to every token of the stories; or to every byte, where their tokens
    differ."""
    from .evaluate import MAX_TOKENS, story_choices

    if not all(same_vocabulary(members[0], member) for member in members[1:]):
        from .byte_level import byte_choices

        yield from byte_choices(members, stories, MAX_TOKENS, progress)
        return
    n_ctx = min(member.config.n_ctx for member in members)
    for done, member in enumerate(members, 1):
        found = (choice for story in stories for choice in story_choices(member, story, n_ctx))
        yield [math.exp(choice.logprob) for choice in found]
        if progress:
            progress(done, len(members))


def better_weights(weights: Sequence[float], rows: Sequence[Sequence[float]]) -> list[float]:
    """One round of `fit_weights`: each row has what the members gave to one token."""
    taken = [0.0] * len(weights)
    for row in rows:
        shares = [weight * p for weight, p in zip(weights, row, strict=True)]
        total = sum(shares)
        for index, share in enumerate(shares):
            taken[index] += share / total if total > 0.0 else 1.0 / len(weights)
    return [share / len(rows) for share in taken]
