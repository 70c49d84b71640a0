"""One page about a model: what its heads do, and what they are worth."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from .effects import Progress, rank_heads
from .probes import HeadScores, detect_heads

if TYPE_CHECKING:
    from ..model import Model

KINDS = ("previous_token", "duplicate_token", "induction")
CLEAR = 0.4
"""A score from which a head is named after its pattern: most of what it looks at."""


def report(
    model: Model, stories: Sequence[str], *, progress: Progress | None = None
) -> dict[str, Any]:
    """Numbers that can be kept as JSON: scores of every head (`detect_heads`), its effect on the
    bits per byte of the stories (`rank_heads`), and the jobs that the scores make clear."""
    scores = detect_heads(model)
    ranking = rank_heads(model, stories, progress=progress)
    heads = [
        {**asdict(effect), "jobs": jobs(scores, effect.layer, effect.head)}
        | {kind: getattr(scores, kind)[effect.layer][effect.head] for kind in KINDS}
        for effect in ranking.heads
    ]
    config = model.config
    return {
        "model": model.name, "layers": config.n_layers, "heads_per_layer": config.n_heads,
        "parameters": model.n_params, "texts": len(stories),
        "bits_per_byte": ranking.bits_per_byte, "heads": heads,
    }  # fmt: skip


def jobs(scores: HeadScores, layer: int, head: int) -> list[str]:
    """The patterns that a head shows clearly."""
    return [kind for kind in KINDS if getattr(scores, kind)[layer][head] >= CLEAR]
