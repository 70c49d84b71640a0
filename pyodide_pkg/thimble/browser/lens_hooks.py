"""Changes inside a model, as the page says them, as hooks.

A change is an object: its kind ("head", "neuron", "mlp", "attention", "steer", "patch"), its layer,
its unit where a layer has several, what is done to it, and whether it is on. This file knows no
session; what takes a pass of its own (means, directions, the values of another prompt) is kept, so
that switching a change off and on again costs nothing.
"""

from __future__ import annotations

import math
from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from .. import lens
from ..errors import OptionError
from ..lens.interventions import Hook

if TYPE_CHECKING:
    from ..lens.cache import Cache
    from ..model import Model

MOST_CHANGES = 64
MOST_CHARACTERS = 2000
"""Of a prompt that a change is made from."""
MOST_FACTOR = 100.0
"""A part may be made so much larger; a direction may be added so many times."""
MEAN_STORIES = 5
"""Texts that a mean is taken over."""

KINDS = ("head", "neuron", "mlp", "attention", "steer", "patch")
WAYS = ("zero", "mean", "scale")
SITES = {
    "head": "attn.hook_z", "neuron": "mlp.hook_post", "mlp": "hook_mlp_out",
    "attention": "hook_attn_out",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Change:
    """One change, checked but for what the model has to have."""

    kind: str
    layer: int
    unit: int | None
    """A head or a neuron; of a patch a head, or None for the whole stream before the layer."""
    how: str
    """What becomes of a part: "zero", "mean" or "scale"."""
    factor: float
    """Of a scale; the strength of a direction."""
    towards: str
    """The prompt that a direction leads to, or that a patch is taken from."""
    away: str
    on: bool


def parse(said: Any) -> Change:
    """A change as the page says it. Raises OptionError for what is none."""
    if not isinstance(said, dict):
        raise OptionError(f"a change is {said!r:.60}; an object with kind and layer is right")
    kind, how = said.get("kind"), said.get("how", "zero")
    if kind not in KINDS:
        raise OptionError(f"there is no change {kind!r:.60}; there are {', '.join(KINDS)}")
    if how not in WAYS:
        raise OptionError(f"nothing is done {how!r:.60}; {', '.join(WAYS)} are there")
    unit = None if said.get("unit") is None else _whole(said["unit"], "unit")
    if unit is None and kind in ("head", "neuron"):
        raise OptionError(f"a change of a {kind} says no unit; the number of a {kind} is right")
    return Change(
        kind, _whole(said.get("layer"), "layer"), unit, how, _factor(said.get("factor", 1.0)),
        _prompt(said, "towards"), _prompt(said, "away"), bool(said.get("on", True)),
    )  # fmt: skip


class Workshop:
    """Makes hooks of changes, for one model without hooks of its own."""

    def __init__(self, model: Model) -> None:
        self.model = model
        self.stories: Sequence[str] = ()
        """What means are taken over."""
        self._adapted = self._adapter()
        self._means: dict[str, list[float]] = {}
        self._directions: dict[tuple[str, str, int], array[float]] = {}
        self._caches: dict[tuple[str, str], Cache] = {}

    def hooks(self, change: Change) -> list[Hook]:
        """A change's hooks, whether it is on or not. Raises OptionError for a layer or a unit that
        the model does not have."""
        if self._adapted != self._adapter():
            self._adapted = self._adapter()
            for kept in (self._means, self._directions, self._caches):
                kept.clear()
        if change.kind == "steer":
            return self._steer(change)
        if change.kind == "patch":
            return self._patch(change)
        return self._part(change)

    def _adapter(self) -> tuple[str, float] | None:
        """What is on the model's weights: with another adapter, or more of it, all is measured
        anew."""
        adapter = self.model.adapter
        return None if adapter is None else (adapter.file.sha256, adapter.strength)

    def _part(self, change: Change) -> list[Hook]:
        model, layer, unit = self.model, change.layer, change.unit or 0
        if change.how == "scale":
            if change.kind == "attention":
                every = range(model.config.n_heads)
                return lens.scale_heads(model, {(layer, head): change.factor for head in every})
            if change.kind == "mlp":
                return lens.scale_mlps(model, {layer: change.factor})
            scale = lens.scale_heads if change.kind == "head" else lens.scale_neurons
            return scale(model, {(layer, unit): change.factor})
        lens.interventions.check_layer(model, layer)
        mean = self._mean(f"blocks.{layer}.{SITES[change.kind]}") if change.how == "mean" else None
        if change.kind == "mlp":
            return lens.ablate_mlps(model, [layer], mean)
        if change.kind == "attention":
            return lens.ablate_attention(model, [layer], mean)
        ablate = lens.ablate_heads if change.kind == "head" else lens.ablate_neurons
        return ablate(model, [(layer, unit)], mean)

    def _mean(self, name: str) -> dict[str, list[float]]:
        if name not in self._means:
            if not self.stories:
                raise OptionError("there is no text to take a mean over; give one, or choose zero")
            self._means |= lens.means(self.model, self.stories, name)
        return self._means

    def _steer(self, change: Change) -> list[Hook]:
        key = change.towards, change.away, change.layer
        for prompt, side in ((change.towards, "towards"), (change.away, "away from")):
            if not prompt.strip():
                raise OptionError(f"the prompt to steer {side} is empty; two prompts are needed")
        if key not in self._directions:
            self._directions[key] = lens.steering_vector(
                self.model, change.towards, change.away, layer=change.layer
            )
        return lens.steer(
            self.model, self._directions[key], layer=change.layer, strength=change.factor
        )

    def _patch(self, change: Change) -> list[Hook]:
        """Values of another prompt, wherever both texts have a token."""
        model, layer, head = self.model, change.layer, change.unit
        if not change.towards.strip():
            raise OptionError("the prompt to take values from is empty")
        lens.interventions.check_layer(model, layer)
        if head is not None:
            lens.interventions.check_units(model, [(layer, head)], model.config.n_heads, "head")
        name = f"blocks.{layer}.{'hook_resid_pre' if head is None else 'attn.hook_z'}"
        key = change.towards, name
        if key not in self._caches:
            _, self._caches[key] = lens.run_with_cache(model, change.towards, name, last_only=True)
        heads = None if head is None else [head]
        return lens.patch(model, self._caches[key], name, heads=heads)


def _whole(value: Any, what: str) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise OptionError(f"the {what} of a change is {value!r:.40}; a whole number is right")
    return value


def _factor(value: Any) -> float:
    good = isinstance(value, (int, float)) and not isinstance(value, bool)
    if not good or not math.isfinite(value) or abs(value) > MOST_FACTOR:
        raise OptionError(
            f"a change is by {value!r:.40}; a number from {-MOST_FACTOR:g} to {MOST_FACTOR:g} is "
            "right"
        )
    return float(value)


def _prompt(said: dict[str, Any], name: str) -> str:
    value = said.get(name, "")
    if not isinstance(value, str):
        raise OptionError(f"{name} is {value!r:.40}; a text is right")
    if len(value) > MOST_CHARACTERS:
        raise OptionError(
            f"the prompt of a change has {len(value):,} characters; at most {MOST_CHARACTERS:,} "
            "can be taken"
        )
    return value
