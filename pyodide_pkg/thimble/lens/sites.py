"""Where a forward pass can be looked at and changed: TransformerLens' names, and their shapes.

A site is a value that arises in every block, or once. This file knows names and shapes; it computes
nothing. Names and meanings are TransformerLens' (Nanda & Bloom 2022,
https://github.com/TransformerLensOrg/TransformerLens), without the batch axis.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import NamedTuple

from ..errors import OptionError
from ..model_config import ModelConfig


class Site(NamedTuple):
    """A value of a block. `stage` is the kernel's step that leaves it (`capture.c`); -1: it is
    there before the first."""

    name: str
    stage: int
    axes: tuple[str, ...]


_RESIDUAL = ("pos", "d_model")
_QUERY, _KEY, _HIDDEN = ("pos", "head", "d_head"), ("pos", "kv_head", "d_head"), ("pos", "d_mlp")

BLOCK: tuple[Site, ...] = (
    Site("hook_resid_pre", -1, _RESIDUAL),
    Site("ln1.hook_scale", 0, ("pos", "one")),
    Site("ln1.hook_normalized", 1, _RESIDUAL),
    Site("attn.hook_q", 2, _QUERY),
    Site("attn.hook_k", 2, _KEY),
    Site("attn.hook_v", 2, _KEY),
    Site("attn.hook_rot_q", 3, _QUERY),
    Site("attn.hook_rot_k", 3, _KEY),
    Site("attn.hook_attn_scores", 4, ("head", "pos", "key")),
    Site("attn.hook_pattern", 5, ("head", "pos", "key")),
    Site("attn.hook_z", 6, _QUERY),
    Site("attn.hook_result", 7, ("pos", "head", "d_model")),
    Site("hook_attn_out", 8, _RESIDUAL),
    Site("hook_resid_mid", 9, _RESIDUAL),
    Site("ln2.hook_scale", 10, ("pos", "one")),
    Site("ln2.hook_normalized", 11, _RESIDUAL),
    Site("mlp.hook_pre", 12, _HIDDEN),
    Site("mlp.hook_pre_linear", 12, _HIDDEN),
    Site("mlp.hook_post", 13, _HIDDEN),
    Site("hook_mlp_out", 14, _RESIDUAL),
    Site("hook_resid_post", 15, _RESIDUAL),
)
"""The sites of a block, in the order of the kernel's table."""
STAGES = 16
"""Steps of a block."""
BY_NAME = {site.name: index for index, site in enumerate(BLOCK)}
RESID_PRE, RESID_POST = BY_NAME["hook_resid_pre"], BY_NAME["hook_resid_post"]
SCORES, PATTERN = BY_NAME["attn.hook_attn_scores"], BY_NAME["attn.hook_pattern"]
RESULT = BY_NAME["attn.hook_result"]
OPTIONAL = (SCORES, PATTERN, RESULT)
"""Left out where nobody asks for them."""

EMBED = "hook_embed"
HEAD: tuple[Site, ...] = (
    Site("ln_final.hook_scale", 0, ("pos", "one")),
    Site("ln_final.hook_normalized", 1, _RESIDUAL),
    Site("logits", 2, ("pos", "d_vocab")),
)
"""What comes after the last block."""

Filter = str | Callable[[str], bool]
"""A name, or a function that says of each name whether it is meant."""
Names = None | Filter | Iterable[Filter]


def site_names(config: ModelConfig) -> list[str]:
    """Every name, in the order in which a pass meets them."""
    names = [EMBED]
    for layer in range(config.n_layers):
        names += [f"blocks.{layer}.{site.name}" for site in BLOCK]
    return names + [site.name for site in HEAD]


def place(name: str) -> tuple[int | None, str]:
    """The layer of a name, and the rest of it."""
    if name.startswith("blocks."):
        _, layer, rest = name.split(".", 2)
        return int(layer), rest
    return None, name


def axes(name: str) -> tuple[str, ...]:
    """What the dimensions of a value stand for."""
    layer, rest = place(name)
    if layer is not None:
        return BLOCK[BY_NAME[rest]].axes
    return next((site.axes for site in HEAD if site.name == rest), _RESIDUAL)


def shape(config: ModelConfig, name: str, tokens: int, keys: int) -> tuple[int, ...]:
    """The shape of a value in a pass of so many tokens that sees so many positions."""
    widths = {
        "pos": tokens, "key": keys, "one": 1, "head": config.n_heads, "kv_head": config.n_kv_heads,
        "d_head": config.head_dim, "d_model": config.dim, "d_mlp": config.hidden_dim,
        "d_vocab": config.n_vocab,
    }  # fmt: skip
    return tuple(widths[axis] for axis in axes(name))


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
