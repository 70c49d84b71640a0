"""A session's pass over a model on which hooks stand (`Model.fwd_hooks`, `Model.hooked`)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from .forward import Forward, Pass
from .hooks import Hooks

if TYPE_CHECKING:
    from ..session import Session


def forward(session: Session, hooks: Hooks, ids: Sequence[int], which: int, logits: int) -> None:
    """What `Session._forward` does, with `hooks` called on the way."""
    model = session.model
    rows = {1: "all", 0: "last"}.get(which, "none")
    run = Forward(model.kernel, model.config, session._live(), model.name)
    run.run(Pass(ids, hooks, logits=rows), logits)
