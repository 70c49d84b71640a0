"""Hooks that stand: a model that is changed, and whose sessions write as it then does.

    quiet = model.hooked(ablate_heads([(2, 3)]))
    for chunk in quiet.session().generate("Once upon a time"): ...
    thimble.evaluate_text(quiet, stories)

It shares the weights with the model that it was made from, and can be a member of an ensemble.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ..model import Model
from ..session import Session
from .forward import Forward, Pass
from .hooks import FwdHooks, HookFunction, Hooks
from .run import token_ids
from .sites import Filter

if TYPE_CHECKING:
    from ..adapter import Adapter, AdapterFile, Source


class HookedModel(Model):
    """Another model's weights with hooks of its own; they are called in every pass of every session
    of it.

    In a session the value that a hook sees begins where the computed part of the text ends: one
    token while text is written, `hook.past` tokens after its beginning.
    """

    def __init__(self, base: Model, fwd_hooks: FwdHooks = (), *, alone: bool = False) -> None:
        """`alone`: without the hooks of the model that it is made from."""
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
        self._alone = alone
        self.fwd_hooks = fwd_hooks

    @property
    def fwd_hooks(self) -> FwdHooks:
        """All hooks, those of the model that it was made from first. Sessions that are open follow
        a change: they compute their tokens again."""
        return self._own if self._alone else (*self.base.fwd_hooks, *self._own)

    @fwd_hooks.setter
    def fwd_hooks(self, hooks: FwdHooks) -> None:
        self._own = checked(self, hooks)
        self.changed()

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


def checked(model: Model, hooks: FwdHooks) -> tuple[tuple[Filter, HookFunction], ...]:
    """Hooks that fit a model; OptionError for those that do not, and for an ensemble's."""
    token_ids(model, [0])
    own = tuple(hooks)
    Hooks(model.config, own)
    return own


def forward(session: Session, ids: Sequence[int], which: int, logits: int) -> None:
    """What `Session._forward` does, of a model on which hooks stand."""
    model = session.model
    rows = {1: "all", 0: "last"}.get(which, "none")
    run = Forward(model.kernel, model.config, session._live(), model.name)
    run.run(Pass(ids, standing(model), logits=rows), logits)


def standing(model: Model) -> Hooks:
    """A model's hooks as a pass wants them, made once for each change."""
    made: tuple[int, Hooks] | None = model.__dict__.get("_standing")
    if made is None or made[0] != model.revision:
        made = model.__dict__["_standing"] = model.revision, Hooks(model.config, model.fwd_hooks)
    return made[1]
