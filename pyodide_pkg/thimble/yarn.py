"""RoPE for texts longer than those that a model was trained on: by one factor, or YaRN (Peng et al.
2023), as a file's keys say.

With YaRN, what turns fast stays as it is, what turns slowly is slowed down by a factor, with a ramp
between them; and all that is rotated grows a little. As in llama.cpp and transformers, which agree.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from .architectures import Architecture
from .errors import FormatError, UnsupportedError
from .header_keys import Keys

MAX_SCALE = 1 << 20
"""More cannot be meant by how often something rotates, or by how much longer a text is."""


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


def yarn_of(arch: Architecture, keys: Keys, rope_base: float, n_ctx: int) -> Yarn | None:
    """Return how the file scales RoPE where that is YaRN."""
    if not arch.rope or keys.metadata.get(keys.full("rope.scaling.type")) != "yarn":
        return None
    if arch.windows:
        raise UnsupportedError(
            f"{keys.full('rope.scaling.type')} is 'yarn', which does not run in {arch.name} models"
        )
    if rope_base <= 1.0:
        raise FormatError(f"{keys.full('rope.freq_base')} is {rope_base}; above 1 is right")
    usual = {"factor": None, "yarn_beta_fast": 32.0, "yarn_beta_slow": 1.0, "attn_factor": 1.0}
    factor, fast, slow, grown = (
        keys.number(f"rope.scaling.{name}", default=number) for name, number in usual.items()
    )
    for name, number in zip(usual, (factor, fast, slow, grown), strict=True):
        least = 1.0 if name == "factor" else 1 / MAX_SCALE
        if not least <= number <= MAX_SCALE:
            raise FormatError(
                f"{keys.full('rope.scaling')}.{name} is {number}; {least:g} to {MAX_SCALE} is right"
            )
    trained = keys.width("rope.scaling.original_context_length", default=n_ctx)
    return Yarn(factor, trained, fast, slow, grown)


def rope_scale(keys: Keys, rope_short: bool) -> float:
    """Return what positions are divided by."""
    kind = keys.metadata.get(keys.full("rope.scaling.type"), "linear")
    if kind == "yarn" or (rope_short and kind == "longrope"):
        return 1.0
    if kind not in ("none", "linear"):
        raise UnsupportedError(
            f"{keys.full('rope.scaling.type')} is {kind!r:.100}; 'none', 'linear' and 'yarn' run "
            "here"
        )
    factor = "rope.scaling.factor"
    if keys.full(factor) not in keys.metadata:
        factor = "rope.scale_linear"  # the name before scaling had types
    value = keys.metadata.get(keys.full(factor), 0.0)
    if kind == "none" or value == 0.0:
        return 1.0
    return keys.number(factor)
