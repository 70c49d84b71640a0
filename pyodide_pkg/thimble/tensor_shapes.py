"""Which tensors a model has, of which shapes, and what those are made of that are several."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .architecture import EXPERTS, GATED, SHARED, Shapes
from .architectures import ARCHITECTURES

if TYPE_CHECKING:
    from .model_config import ModelConfig


def tensor_names(config: ModelConfig) -> dict[str, tuple[int, ...]]:
    """Return the tensors that a model of this configuration has, and their shapes, rows first."""
    arch = ARCHITECTURES[config.architecture]
    widths = _widths(config)
    shapes = dict(arch.tensors)
    for i in range(config.n_layers):
        shapes |= {f"blk.{i}.{name}": shape for name, shape in _layer_shapes(config, i).items()}
    present = {
        "output.weight": not config.tied_output,
        "rope_freqs.weight": config.rope_freqs,
        "rope_factors_short.weight": config.features.rope_short,
        "rope_factors_long.weight": config.features.rope_short,
        "dense_2.weight": config.features.projected > 0,
        "dense_3.weight": config.features.projected > 0,
    }
    shapes |= {name: shape for name, shape in arch.optional.items() if present[name]}
    return {name: tuple(widths[width] for width in shape) for name, shape in shapes.items()}


def is_run(config: ModelConfig, name: str) -> bool:
    """Whether a tensor is of a layer that runs, or of none: those that predict further tokens lie
    behind them."""
    layer = name.split(".")[1] if name.startswith("blk.") else ""
    nextn = ARCHITECTURES[config.architecture].nextn
    return not (nextn and layer.isdecimal() and int(layer) >= config.n_layers)


def _layer_shapes(config: ModelConfig, layer: int) -> Shapes:
    arch, f = ARCHITECTURES[config.architecture], config.features
    more = {name: arch.layer_optional[name] for name in f.layer_optional}
    shapes = {**arch.layer_tensors, **more} if f.attends(layer) else dict(arch.headless_tensors)
    if f.experts and arch.experts_switch:
        kept = {name: shape for name, shape in shapes.items() if name not in GATED}
        shapes = {**kept, **EXPERTS}
    if layer == 0:
        shapes = {name: shape for name, shape in shapes.items() if name not in arch.first_lacks}
    return {**shapes, **SHARED} if f.shared else shapes


def _widths(config: ModelConfig) -> dict[str, int]:
    """Return what the names of widths in the table of architectures are."""
    widths = {
        "vocab": config.n_vocab,
        "dim": config.dim,
        "hidden": config.hidden_dim,
        "q": config.n_heads * config.head_dim,
        "kv": config.n_kv_heads * config.head_dim,
        "head": config.head_dim,
        "pairs": config.rope_dim // 2,
        "context": config.n_ctx,
        "gates": 2 * config.hidden_dim,
        "taps": config.features.taps,
        "experts": config.features.experts,
        "projected": config.features.projected,
        "gated_taps": 3 * config.dim,
        "one": 1,
        "types": config.features.token_types,
        "shared": config.features.shared,
        "inner": config.features.scan_heads * config.features.scan_width,
        "scan_heads": config.features.scan_heads,
        "value": config.features.scan_width,
        "gated_q": 2 * config.n_heads * config.head_dim,
    }
    keys = config.features.scan_groups * config.features.scan_state
    widths["conv"] = widths["inner"] + 2 * keys
    widths["zxbcdt"] = widths["inner"] + widths["conv"] + widths["scan_heads"]
    widths["qkv"] = widths["q"] + 2 * widths["kv"]
    return widths


def parts_of(config: ModelConfig, name: str) -> tuple[tuple[str, int], ...] | None:
    """Return what a tensor is made of where it is several, one below the other, as experts' are:
    names and rows, in order. None for a tensor that is one."""
    prefix, short = "", name
    if name.startswith("blk."):
        _, layer, short = name.split(".", 2)
        prefix = f"blk.{layer}."
    arch = ARCHITECTURES[config.architecture]
    shape = {**EXPERTS, **arch.layer_tensors}.get(short, ())
    if len(shape) == 3:
        height = _widths(config)[shape[1]]
        return tuple((f"{name}.{i}", height) for i in range(config.features.experts))
    parts = arch.fused.get(short)
    if parts is None:
        return None
    widths = _widths(config)
    return tuple((prefix + part, widths[width]) for part, width in parts.items())


def layer_parts(config: ModelConfig, layer: int) -> frozenset[str]:
    """Return the names of a layer's tensors, without `blk.N.`; of those that are fused, the
    parts'."""
    arch = ARCHITECTURES[config.architecture]
    names = _layer_shapes(config, layer)
    return frozenset(p for name in names for p in arch.fused.get(name, (name,)))


def once_parts(config: ModelConfig) -> frozenset[str]:
    """Return the names of the tensors that there are once, of those that must be there."""
    return frozenset(ARCHITECTURES[config.architecture].tensors)
