"""A small model that drafts, and a larger one that checks: the larger one's text, sooner.

    quick = thimble.Speculative(target, draft)
    session = quick.session()
    for chunk in session.generate("Once upon a time"): ...
    session.speculation.acceptance

Speculative decoding (Leviathan et al. 2023; Chen et al. 2023): the draft writes a few tokens, the
target computes all of them in one pass, and those that it would have written too stay. Both
papers accept a token by a second draw, which keeps the target's distribution. Here each draw
depends on seed and position alone, so the target simply draws as ever, from the rows of that pass,
and what it draws stays: these are the target's own tokens, the very same as without a draft, at
every temperature and with every sampling option. The draft draws with the same random numbers,
which makes two similar distributions name the same token most of the time.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from .combined import same_vocabulary
from .errors import HookError, NumericError, OptionError
from .kernel import BATCH, Kernel, Scratch
from .language_model import LanguageModel, Revision
from .layout import Layout
from .model import HookedModel, Model
from .sampling import MOST_DRAFTED, NOTHING_LEFT, Choice, Sampler, SamplingParams
from .session import Session
from .weights import Weights

if TYPE_CHECKING:
    from .lens.hooks import FwdHooks, Hooks

CLASSES = 8
"""Of a drafted token, by the probability that the draft gives it."""
MEMORY = 1 / 16
"""How far one answer of the target moves the chance of a class."""
TRY_AGAIN = 12
"""Tokens without a draft after which one is drafted in any case, to see how it fares."""
DRAFT = Layout(
    "tk_draft",
    "A draft for another model to check.",
    least=("d", "the chance of being read that a token must have to be drafted"),
    chance=(f"{CLASSES}d", "of a token, by the probability that the draft gives it"),
    most=("i", ""),
    found=("i", "told: how many were drafted"),
    ids=(f"{MOST_DRAFTED}i", "told"),
    classes=(f"{MOST_DRAFTED}i", "told: those of the probabilities"),
)


class Speculation(NamedTuple):
    """What drafting brought: a round is a pass of the target that checks drafted tokens. `checked`
    counts drafted tokens up to the first that the target would not have written, that one
    included; what was drafted after it had no say."""

    rounds: int = 0
    drafted: int = 0
    checked: int = 0
    accepted: int = 0

    @property
    def acceptance(self) -> float | None:
        """Of the drafted tokens that were checked, the part that the target writes too."""
        return self.accepted / self.checked if self.checked else None

    @property
    def tokens_per_round(self) -> float | None:
        """Tokens that a pass of the target brings; without a draft it is 1."""
        return 1 + self.accepted / self.rounds if self.rounds else None


class Speculative(LanguageModel):
    """The target, as a model that writes sooner.

    `most`: tokens drafted at most before the target looks (1 to 15). `least`: the chance to be
    accepted that a token must have to be drafted, by what became of the draft's tokens so far.
    Raises OptionError for two models that do not go together.
    """

    def __init__(
        self, target: LanguageModel, draft: LanguageModel, *, most: int = 6, least: float = 0.5
    ) -> None:
        target, draft = _plain(target, "target"), _plain(draft, "draft")
        if target is draft:
            raise OptionError(f"model {target.name!r} cannot draft for itself: nothing is saved")
        if not same_vocabulary(target, draft):
            raise OptionError(
                f"the draft {draft.name!r} has another vocabulary than the target {target.name!r}: "
                "its tokens say nothing there"
            )
        if not isinstance(most, int) or not 1 <= most <= MOST_DRAFTED:
            raise OptionError(f"most is {most!r}; it must be a whole number from 1 to 15")
        if not 0.0 <= least <= 1.0:
            raise OptionError(f"least is {least!r}; it must be a number from 0 to 1")
        self.target, self.draft = target, draft
        self.most, self.least = most, least
        super().__init__(
            target.config,
            target.tokenizer,
            name=f"{target.name}, drafted by {draft.name}",
            n_params=target.n_params + draft.n_params,
            metadata=target.metadata,
            tensors=target.tensors,
        )

    @property
    def kernel(self) -> Kernel:
        return self.target.kernel

    @property
    def weights(self) -> Weights:
        """The target's."""
        return self.target.weights

    @property
    def fwd_hooks(self) -> FwdHooks:
        """The target's; set them there."""
        return self.target.fwd_hooks

    @fwd_hooks.setter
    def fwd_hooks(self, hooks: FwdHooks) -> None:
        self.target.fwd_hooks = hooks

    @property
    def pass_hooks(self) -> Hooks | None:
        """The target's."""
        return self.target.pass_hooks

    @property
    def nbytes(self) -> int:
        """Bytes of kernel memory that both models' weights take."""
        return self.target.nbytes + self.draft.nbytes

    @property
    def revision(self) -> Revision:
        """The target's; the draft's sessions follow the draft."""
        return self.target.revision

    @property
    def closed(self) -> bool:
        return self._closed or self.target.closed or self.draft.closed

    def _session(self, n_ctx: int, kv_type: str | None = None) -> Session:
        return SpeculativeSession(self, n_ctx, kv_type or self.target.kv_type)

    def close(self) -> None:
        """End it; the two models live on."""
        self._closed = True


def _plain(model: LanguageModel, what: str) -> Model:
    """Return the model where it is one, without hooks of its own; OptionError."""
    if not isinstance(model, Model) or isinstance(model, HookedModel):
        raise OptionError(
            f"the {what} {model.name!r} is several models, or has hooks; give a plain one"
        )
    if model.closed:
        raise OptionError(f"the {what} {model.name!r} is closed")
    return model


class _Draft(Session):
    """The draft's text: the target's, and what was drafted after it."""

    def write(
        self, sampler: Sampler, chances: Sequence[float], least: float, most: int
    ) -> tuple[list[int], list[int]]:
        """Draft up to `most` tokens as long as the chance that all of them are accepted is at least
        `least`; returns them and their classes."""
        self._prepare_logits()
        self._grow(len(self._tokens) + most)
        sampler.prepare(self._tokens)
        packed = DRAFT.pack(least, *chances, most, *[0] * (1 + 2 * MOST_DRAFTED))
        plan = Scratch(self._kernel, len(packed), "drafting")
        plan.write(packed)
        pending = self._tokens[self._computed :]
        status = self._run(
            "draft_tokens", pending, self._logits.address, *sampler.addresses, plan.address,
            checked=False,
        )  # fmt: skip
        if status < 0:
            raise NumericError(NOTHING_LEFT)
        self._finite(status)
        found, *rest = DRAFT.unpack(self._kernel.read(plan.address, DRAFT.size))[2 + CLASSES :]
        plan.close()
        ids, classes = rest[:found], rest[MOST_DRAFTED : MOST_DRAFTED + found]
        self._tokens += ids
        # Of a round that was not cut short, the last token is drawn but not computed.
        self._computed = self._logits_at = len(self._tokens) - (found == most)
        return ids, classes


class SpeculativeSession(Session):
    """One sequence of the target, and ahead of it what the draft thinks that comes."""

    model: Speculative

    def __init__(self, model: Speculative, n_ctx: int, kv_type: str | None = None) -> None:
        # The target's cache holds `_computed` tokens and then those ahead. Row i of its logits is
        # of what comes after `_rows_at + i` tokens; they are good up to `_rows_end` tokens.
        self._ahead: list[int] = []
        self._classes: list[int] = []
        self._rows_at, self._rows_end = 1, 0
        self._rows = Scratch(
            model.kernel, BATCH * 4 * ((model.config.n_vocab + 3) & ~3), "the drafted rows"
        )
        self._draft = _Draft(model.draft, min(n_ctx, model.draft.config.n_ctx), kv_type)
        self._agreed = 0  # tokens at the draft's beginning that are this session's
        self._drafting: Sampler | None = None
        # Trusted at first: who is not asked cannot show that they know.
        self._chances = [0.6 + 0.4 * (c + 0.5) / CLASSES for c in range(CLASSES)]
        self._quiet = 0  # tokens written since the draft was last believed
        self.speculation = Speculation()
        """What drafting brought since the session was made."""
        super().__init__(model, n_ctx, kv_type)

    @property
    def runs_in_kernel(self) -> bool:
        return False

    def sample(self, sampler: Sampler) -> Choice:
        """Choose the next token; it is not appended."""
        self._invalidate_if_stale()
        if self._logits_at != len(self._tokens) and not self._drafted_row():
            self._round(sampler)
        row = self._drafted_row() or self._logits.address
        return sampler.choose(row, self.model.config.n_vocab, self._tokens)

    def accept(self, token: int) -> None:
        """Append one token; where it is the one that was drafted, it is computed already."""
        super().accept(token)
        draft, at = self._draft._tokens, len(self._tokens) - 1
        if self._agreed == at < len(draft) and draft[at] == token:
            self._agreed += 1
        if not self._ahead:
            return
        accepted = self._ahead[0] == token
        self._learn(self._classes[0], accepted)
        if accepted:
            del self._ahead[0], self._classes[0]
            self._computed += 1
        else:
            self._computed = self._truncate_cache(self._computed)

    def rollback(self, n: int) -> None:
        """Keep the first n tokens; nothing of them is computed again."""
        super().rollback(n)
        self._agreed = min(self._agreed, n)

    def _learn(self, kind: int, accepted: bool) -> None:
        self._chances[kind] += MEMORY * (accepted - self._chances[kind])
        s = self.speculation
        self.speculation = s._replace(checked=s.checked + 1, accepted=s.accepted + accepted)

    def _drafted_row(self) -> int:
        """The address of the logits of what comes next, where a round has left them, or 0."""
        n = len(self._tokens)
        if self._computed != n or not self._rows_at <= n <= self._rows_end:
            return 0
        return self._rows.address + (n - self._rows_at) * 4 * self._row

    def _round(self, sampler: Sampler) -> None:
        """Compute the pending tokens, and with them what the draft thinks that follows."""
        super()._prepare_logits()
        n, start = len(self._tokens), self._computed
        drafted, classes = self._drafted(sampler.params, sampler.next_mu, n, BATCH - (n - start))
        if not drafted:
            self._compute(n)
            return
        self._grow(n + len(drafted))
        try:
            self._forward(self._tokens[start:] + drafted, 1, self._rows.address)
        except (NumericError, HookError):
            self._compute(n)  # only the text's own tokens may raise
            return
        self._computed = n
        self._ahead, self._classes = drafted, classes
        self._rows_at, self._rows_end = start + 1, n + len(drafted)
        s = self.speculation
        self.speculation = s._replace(rounds=s.rounds + 1, drafted=s.drafted + len(drafted))

    def _drafted(
        self, params: SamplingParams, mu: float, n: int, left: int
    ) -> tuple[list[int], list[int]]:
        """What the draft writes after the n tokens there are, and the classes of that."""
        draft, model = self._draft, self.model
        most = min(model.most, left, self.n_ctx - n - 1, draft.n_ctx - n)
        if most < 1:
            return [], []
        least = model.least
        self._quiet += 1
        if self._quiet > TRY_AGAIN:
            most, least = 1, 0.0
        elif max(self._chances) < least:
            return [], []  # whatever it says is not believed
        params = dataclasses.replace(params, top_logprobs=0, grammar=None)
        if self._drafting is None or self._drafting.params != params:
            self._drafting = Sampler(
                draft.model.kernel, model.config.n_vocab, params, draft.model.tokenizer
            )
        self._drafting.mu = mu
        draft.rollback(self._agreed)
        draft._check(self._tokens[self._agreed :])
        draft._tokens += self._tokens[self._agreed :]
        self._agreed = n
        ids, classes = draft.write(self._drafting, self._chances, least, most)
        self._quiet = 0 if ids else self._quiet
        # A text ends with the first of these; nothing is to be checked behind it.
        ends = [at for at, token in enumerate(ids) if token in model.tokenizer.eog_ids]
        return (ids[: ends[0]], classes[: ends[0]]) if ends else (ids, classes)

    def _prepare_logits(self) -> None:
        row = self._drafted_row()
        if row and self._logits_at != len(self._tokens):
            self._kernel.call("copy", self._logits.address, row, 4 * self._row)
            self._logits_at = len(self._tokens)
        super()._prepare_logits()

    def _forward(self, ids: Sequence[int], which: int, logits: int) -> None:
        if self._ahead:
            kept, end = self._truncate_cache(self._computed), self._computed
            for at in range(kept, end, BATCH):  # what could not be kept is computed again
                super()._forward(self._tokens[at : min(at + BATCH, end)], -1, 0)
        super()._forward(ids, which, logits)

    def _truncate_cache(self, n: int) -> int:
        self._ahead, self._classes = [], []
        self._rows_end = min(self._rows_end, n)
        return super()._truncate_cache(n)

    def _copy_cache(self, other: Session, n: int) -> int:
        kept = super()._copy_cache(other, n)
        assert isinstance(other, SpeculativeSession)
        self._agreed = min(other._agreed, n)
        self._draft.close()
        draft = other._draft.fork(self._agreed)
        assert isinstance(draft, _Draft)
        self._draft, self._chances = draft, list(other._chances)
        return kept

    def _free(self) -> None:
        super()._free()
        self._draft.close()
        self._rows.close()
        if self._drafting:
            self._drafting.close()
