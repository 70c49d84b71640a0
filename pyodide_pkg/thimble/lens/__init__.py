"""The lens: what happens inside a model, and what happens if it is changed there.

    logits, cache = model.run_with_cache("Once upon a time")
    cache["pattern", 0]                                # [head, pos, key]
    model.run_with_hooks("Once upon a time", fwd_hooks=[("blocks.2.attn.hook_z", function)])
    model.hooked(lens.ablate_heads([(2, 3)])).session().generate("Once upon a time")

The names are TransformerLens'. It is imported when it is first asked for, and runs in kernels of
its own (`kernels/capture.c`): who does not use it pays nothing for it.
"""

from __future__ import annotations

from .cache import Cache
from .hooked import HookedModel, HookedSession
from .hooks import HookPoint
from .run import cost, run_with_cache, run_with_hooks
from .sites import axes, site_names
from .tensor import Tensor

__all__ = [
    "Cache", "HookPoint", "HookedModel", "HookedSession", "Tensor", "axes", "cost",
    "run_with_cache", "run_with_hooks", "site_names",
]  # fmt: skip
