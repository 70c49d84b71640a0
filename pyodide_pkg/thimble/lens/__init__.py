"""The lens: what happens inside a model, and what happens if it is changed there.

    from thimble import lens

    logits, cache = model.run_with_cache("Once upon a time")
    cache["pattern", 0]                                # [head, pos, key]
    model.run_with_hooks("Once upon a time", fwd_hooks=[("blocks.2.attn.hook_z", function)])
    model.hooked(lens.ablate_heads(model, [(2, 3)])).session().generate("Once upon a time")
    lens.detect_heads(model).best("induction")

The names are TransformerLens'. It is imported when it is first asked for, and runs in kernels of
its own (`kernels/capture.c`): who does not use it pays nothing for it.
"""

from __future__ import annotations

from typing import Any

from ..deprecated import warn
from ..model import HookedModel
from ..session import Session
from .cache import Cache
from .control_vector import ControlVector
from .effects import (
    HeadEffect,
    PatchGrid,
    Ranking,
    Scorer,
    patch_grid,
    patch_grid_steps,
    rank_heads,
    rank_heads_steps,
)
from .estimates import attribution_patching, attribution_ranking, attribution_ranking_steps
from .hooks import HookPoint
from .interventions import (
    ablate_attention,
    ablate_heads,
    ablate_mlps,
    ablate_neurons,
    means,
    patch,
    scale_heads,
    scale_mlps,
    scale_neurons,
    steer,
    steering_vector,
)
from .neurons import (
    direction_writes,
    exciting_tokens,
    matrix,
    neuron_writes,
    rounding,
    sampled,
    similar_tokens,
    similarities,
    token_cosines,
)
from .probes import HeadScores, detect_heads
from .readout import (
    Attribution,
    Contributions,
    LensCell,
    LogitLens,
    Part,
    contributions,
    logit_attribution,
    logit_lens,
    project,
)
from .report import report
from .run import cost, run_with_cache, run_with_hooks
from .sites import axes, site_names
from .tensor import Tensor
from .unembed import token_direction

__all__ = [
    "Attribution", "Cache", "Contributions", "ControlVector", "HeadEffect", "HeadScores",
    "HookPoint", "HookedModel",
    "LensCell", "LogitLens", "Part", "PatchGrid", "Ranking", "Scorer",
    "Tensor", "ablate_attention", "ablate_heads", "ablate_mlps", "ablate_neurons",
    "attribution_patching", "attribution_ranking", "attribution_ranking_steps", "axes",
    "contributions", "cost", "detect_heads", "direction_writes", "exciting_tokens",
    "logit_attribution", "logit_lens", "matrix", "means", "neuron_writes", "patch", "patch_grid",
    "patch_grid_steps", "project", "rank_heads", "rank_heads_steps", "report", "rounding",
    "run_with_cache", "run_with_hooks", "sampled", "scale_heads", "scale_mlps", "scale_neurons",
    "similar_tokens", "similarities", "site_names", "steer", "steering_vector", "token_cosines",
    "token_direction",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    """The session of a hooked model is a session as any."""
    if name == "HookedSession":
        warn("lens.HookedSession", "thimble.Session")
        return Session
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
