"""Hooks that stand: a model that is changed, and whose sessions write as it then does.

    quiet = model.hooked(ablate_heads([(2, 3)]))
    for piece in quiet.session().generate("Once upon a time"): ...
    thimble.evaluate_text(quiet, stories)

It shares the weights with the model that it was made from, and can be a member of an ensemble.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ..errors import HookError, NumericError
from ..model import Model
from ..sampling import NOTHING_LEFT, Sampler
from ..session import Session
from .forward import Forward, Pass
from .hooks import FwdHooks, Hooks
from .run import token_ids

if TYPE_CHECKING:
    from ..adapter import Adapter, AdapterFile, Source


class HookedModel(Model):
    """A model with standing hooks; they are called in every pass of every session of it.

    In a session the value that a hook sees begins where the computed part of the text ends: one
    token while text is written, `hook.past` tokens after its beginning.
    """

    def __init__(self, base: Model, fwd_hooks: FwdHooks) -> None:
        token_ids(base, [0])  # no ensemble
        self.base = base
        self.config = base.config
        self.metadata = base.metadata
        self.tensors = base.tensors
        self.tokenizer = base.tokenizer
        self.weights = base.weights
        self.n_params = base.n_params
        self.name = base.name
        self._closed = False
        self._changes = 0
        self.fwd_hooks = fwd_hooks

    @property
    def fwd_hooks(self) -> FwdHooks:
        """All hooks, those of the model that it was made from first. Sessions that are open follow
        a change: they compute their tokens again."""
        return (*getattr(self.base, "fwd_hooks", ()), *self._own)

    @fwd_hooks.setter
    def fwd_hooks(self, hooks: FwdHooks) -> None:
        own = tuple(hooks)
        Hooks(self.config, own)
        self._own = own
        self._made: tuple[int, Hooks] | None = None
        self.changed()

    @property
    def hooks(self) -> Hooks:
        """The hooks as a pass wants them."""
        if self._made is None or self._made[0] != self.revision:
            self._made = self.revision, Hooks(self.config, self.fwd_hooks)
        return self._made[1]

    @property
    def adapter(self) -> Adapter | None:
        """What is on the weights; the model that this one was made from has them too."""
        return self.base.adapter

    def adapt(self, source: Source | AdapterFile, strength: float = 1.0) -> Adapter:
        """Put an adapter on the model that this one was made from."""
        return self.base.adapt(source, strength)

    @property
    def revision(self) -> int:
        return self.base.revision + self._changes

    @property
    def closed(self) -> bool:
        return self._closed or self.base.closed

    def close(self) -> None:
        """End it; the model that it was made from lives on."""
        self._closed = True

    def _session(self, n_ctx: int) -> Session:
        return HookedSession(self, n_ctx)


class HookedSession(Session):
    """One sequence over a model with standing hooks."""

    model: HookedModel

    def _forward(self, ids: Sequence[int], which: int, logits: int) -> None:
        if not self.model.hooks:
            super()._forward(ids, which, logits)
            return
        kept = {1: "all", 0: "last"}.get(which, "none")
        run = Forward(self._kernel, self.model.config, self._live(), self.model.name)
        run.run(Pass(ids, self.model.hooks, logits=kept), logits)

    def _compute(self, end: int) -> None:
        try:
            super()._compute(end)
        except HookError:
            del self._tokens[self._computed :]
            raise

    def _draw(self, pending: Sequence[int], sampler: Sampler) -> None:
        if pending:
            self._forward(pending, 0, self._logits.address)
        count = self.model.config.n_vocab
        if self._kernel.call("sample", self._logits.address, count, *sampler.addresses):
            raise NumericError(NOTHING_LEFT)
