"""YaRN: RoPE for texts longer than those that a model was trained on (Peng et al. 2023).

What turns fast stays as it is, what turns slowly is slowed down by a factor, with a ramp between
them; and all that is rotated grows a little. As in llama.cpp and transformers, which agree.
"""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Yarn:
    """The numbers that a file has, all of them above 0."""

    factor: float
    """How many times longer texts may be."""
    trained: int
    """Positions that the model was trained on."""
    fast: float = 32.0
    slow: float = 1.0
    """Turns over those, from which on a pair turns fast, and up to which it turns slowly."""
    grown: float = 1.0
    """What the growth is multiplied by."""

    def divisors(self, base: float, dim: int) -> tuple[float, ...]:
        """What divides the frequency of each pair of the `dim` values that RoPE rotates."""

        def pair(turns: float) -> float:
            """Which pair turns so often, counted from the fastest."""
            around = self.trained / (turns * 2 * math.pi)
            return dim * math.log(around) / (2 * math.log(base))

        low = max(math.floor(pair(self.fast)), 0)
        high = min(math.ceil(pair(self.slow)), dim - 1)
        found = []
        for i in range(dim // 2):
            unscaled = 1.0 - min(max((i - low) / max(0.001, high - low), 0.0), 1.0)
            found.append(1.0 / ((1.0 - unscaled) / self.factor + unscaled))
        return tuple(found)

    @property
    def attention_factor(self) -> float:
        """What queries and keys are multiplied by."""
        return self.grown * (1.0 + 0.1 * math.log(self.factor))
