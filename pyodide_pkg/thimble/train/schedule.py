"""The learning rate: up in a short line, level for long, down to zero in a straight line or along
a cosine.

Source: Hagele et al. 2024, https://arxiv.org/abs/2405.18392.
"""

from __future__ import annotations

from .recipe import Recipe


def warm_up(step: int, recipe: Recipe) -> float:
    """Return the share of the learning rate that the first steps may have."""
    return min(1.0, (step + 1) / recipe.warmup_steps) if recipe.warmup_steps else 1.0


def rate(recipe: Recipe, step: int) -> float:
    """Return the share of the learning rate for `step`, the first being 0, to the same bits on
    every machine."""
    left, fall = recipe.steps - step, recipe.decay_steps
    share = 1.0
    if left <= fall and recipe.schedule == "cosine":
        share = (1.0 + _cosine((fall - left + 0.5) / fall)) / 2
    elif left <= fall:
        # The last step has half of the one before it: at zero it would change nothing.
        share = (left - 1) / fall if left > 1 else 0.5 / fall
    return share * warm_up(step, recipe)


def _cosine(half_turns: float) -> float:
    """Return the cosine of pi times a number from 0 to 1, from additions and products only: a
    library's last bit is its own affair."""
    x = half_turns - 0.5  # cos(pi (x + 1/2)) = -sin(pi x), |pi x| <= pi / 2
    angle = x * 3.141592653589793
    square = angle * angle
    term, total = angle, angle
    for n in range(1, 14):
        term = term * -square / (2 * n * (2 * n + 1))
        total += term
    return -total
