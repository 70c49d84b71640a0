"""Where a forward pass can be looked at and changed: names, and their shapes.

A site is a value of the model's plan (`plan.py`) that has a name in TransformerLens, so what there
is depends on the model. This file knows names, places and shapes; it computes nothing. Names and
meanings are TransformerLens' (Nanda & Bloom 2022,
https://github.com/TransformerLensOrg/TransformerLens), without the batch axis.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

from ..errors import OptionError
from ..model_config import ModelConfig
from ..plan import KINDS, VALUES, Layer, compile_plan, widths
from ..program import STAGES


class Site(NamedTuple):
    """A value that can be seen. `stop` is the place in the program from which on it is there."""

    name: str
    layer: int | None
    value: str
    """Its name in the plan."""
    stop: int


EMBED, STREAM = "hook_embed", "hook_resid_pre"

Filter = str | Callable[[str], bool]
"""A name, or a function that says of each name whether it is meant."""
Names = None | Filter | Iterable[Filter]


@functools.lru_cache(maxsize=8)
def all_sites(config: ModelConfig) -> tuple[Site, ...]:
    """Every site of a model, in the order in which a pass meets them."""
    found: list[Site] = []
    start = 0
    for layer, section in compile_plan(config).sections():
        prefix = "" if layer is None else f"blocks.{layer}."
        if layer is not None:
            found.append(Site(prefix + STREAM, layer, STREAM, STAGES * start))
        stops = {value: stop for value, stop in _stops(section, start) if _is_site(value, layer)}
        found += [Site(prefix + value, layer, value, stop) for value, stop in stops.items()]
        start += len(section)
    return tuple(found)


def _stops(section: Layer, start: int) -> Iterator[tuple[str, int]]:
    """Each value that a section leaves, and where; of one that is left twice the last place."""
    for index, op in enumerate(section, start):
        for stage, value in enumerate(op.outputs, 1):
            between = KINDS[op.kind].staged and stage < len(op.outputs)
            yield value, STAGES * index + stage if between else STAGES * (index + 1)


def _is_site(value: str, layer: int | None) -> bool:
    """Whether a value has a name outside; what goes into the first layer has it there."""
    if value == STREAM and layer is None:
        return False
    return "hook_" in value or value == "logits"


def site_names(config: ModelConfig) -> list[str]:
    """Every name, in the order in which a pass meets them."""
    return [site.name for site in all_sites(config)]


def layers_with(config: ModelConfig, value: str) -> list[int]:
    """The layers that have a value of this name."""
    sites = (site for site in all_sites(config) if site.value == value)
    return [site.layer for site in sites if site.layer is not None]


def place(name: str) -> tuple[int | None, str]:
    """The layer of a name, and the rest of it."""
    if name.startswith("blocks."):
        _, layer, rest = name.split(".", 2)
        return int(layer), rest
    return None, name


def axes(name: str) -> tuple[str, ...]:
    """What the dimensions of a value stand for."""
    return VALUES[place(name)[1]]


def shape(config: ModelConfig, name: str, tokens: int, keys: int) -> tuple[int, ...]:
    """The shape of a value in a pass of so many tokens that sees so many positions."""
    known = {**widths(config), "pos": tokens, "key": keys}
    return tuple(known[axis] for axis in axes(name))


def select(config: ModelConfig, names: Names) -> list[str]:
    """The names that are meant, each once and in the order of the pass; None means all.

    Raises OptionError for a name that there is not, with the nearest that there is.
    """
    known = site_names(config)
    if names is None:
        return known
    if isinstance(names, str) or callable(names):
        names = (names,)
    wanted: set[str] = set()
    for one in names:
        wanted |= matches(known, one)
    return [name for name in known if name in wanted]


def matches(known: list[str], one: Filter) -> set[str]:
    """The names that one filter means: at least one."""
    if isinstance(one, str):
        if one not in known:
            raise OptionError(f"there is no value called {one!r}{_nearest(one, known)}")
        return {one}
    if not callable(one):
        raise OptionError(f"a name is {one!r:.100}; a text or a function of a text is right")
    found = {name for name in known if one(name)}
    if not found:
        raise OptionError("the filter accepts none of the names that there are")
    return found


def _nearest(name: str, known: list[str]) -> str:
    import difflib  # only for a mistake

    layer = name.split(".", 2)[1] if name.startswith("blocks.") and name.count(".") > 1 else ""
    layers = sum(one.endswith(".hook_resid_pre") for one in known)
    if layer.isdigit() and int(layer) >= layers:
        return f"; the layers are 0 to {layers - 1}"
    near = difflib.get_close_matches(name, known, 1, 0.0)
    return f"; did you mean {near[0]!r}?" if near else ""


def full_name(config: ModelConfig, key: str | tuple[str | int | None, ...]) -> str:
    """The name that TransformerLens' shorthand stands for: ("pattern", 0), ("resid_post", -1),
    ("scale", 0, "ln1"), ("embed",), or a whole name."""
    known = site_names(config)
    if isinstance(key, str):
        parts: tuple[str | int | None, ...] = (key,)
    else:
        parts = key
    name, layer = str(parts[0]), parts[1] if len(parts) > 1 else None
    kind = str(parts[2]) if len(parts) > 2 and parts[2] is not None else ""
    if name in known:
        return name
    if layer is None:
        ends = [one for one in known if one.endswith(f"hook_{name}") and place(one)[0] is None]
    else:
        number = int(layer) + (config.n_layers if int(layer) < 0 else 0)
        begin = f"blocks.{number}."
        ends = [
            one
            for one in known
            if one.startswith(begin) and one.endswith(f"hook_{name}") and kind in one[len(begin) :]
        ]
    if not ends:
        matches(known, f"blocks.{layer}.hook_{name}" if layer is not None else name)
    return ends[0]
