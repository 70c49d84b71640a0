"""The learning rate: up in a short line, level for long, down to zero in a straight line or along
a cosine.

The level part may be as long as one likes, and the fall may begin at any moment, so a run can be
given its end while it is under way: a file `plan.json` in its folder,

    {"steps": 3600, "decay_start": 2400}

overrules the recipe from the next step on. If the end is moved after the fall began, the rate goes
on from where it is, in a straight line to the new end.

Source: Hagele et al. 2024, https://arxiv.org/abs/2405.18392.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from ..errors import OptionError
from .recipe import Recipe


@dataclass(frozen=True, slots=True)
class Plan:
    """Both are counted in steps from the run's beginning."""

    steps: int
    decay_start: int

    @classmethod
    def read(cls, recipe: Recipe, folder: Path) -> Plan:
        """Return the recipe's plan, or what `plan.json` makes of it."""
        path = folder / "plan.json"
        said = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
        if unknown := sorted(set(said) - {"steps", "decay_start"}):
            raise OptionError(f"{path} has no {unknown[0]!r}; it has steps and decay_start")
        steps = int(said.get("steps", recipe.steps))
        return cls(steps, int(said.get("decay_start", steps - recipe.decay_steps)))


def lower(level: float, step: int, plan: Plan) -> float:
    """Return the level for `step`, the first being 0, from that of the step before; at first 1."""
    if step < plan.decay_start or step >= plan.steps:
        return level
    left = plan.steps - step
    # The last step is still made, at half of the one before it: at zero it would change nothing.
    return level * (left - 1) / left if left > 1 else level / 2


def warm_up(step: int, recipe: Recipe) -> float:
    """Return the share of the learning rate that the first steps may have."""
    return min(1.0, (step + 1) / recipe.warmup_steps) if recipe.warmup_steps else 1.0


def rate(recipe: Recipe, step: int) -> float:
    """Return the share of the learning rate for `step`, the first being 0, to the same bits on
    every machine: our kernels' trainer has no `plan.json`, so a recipe says all."""
    left, fall = recipe.steps - step, recipe.decay_steps
    share = 1.0
    if left <= fall and recipe.schedule == "cosine":
        share = (1.0 + _cosine((fall - left + 0.5) / fall)) / 2
    elif left <= fall:
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
