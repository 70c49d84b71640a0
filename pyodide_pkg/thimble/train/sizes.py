"""The dial: one number, about a model's millions of parameters, that fixes the network's shape.

Counts are of the layers and a vocabulary of 256 bytes; a larger vocabulary adds `dim` for each
token. It knows shapes only, not how long a model is trained.
"""

from __future__ import annotations

from typing import NamedTuple

from ..errors import OptionError


class Shape(NamedTuple):
    dim: int
    n_layers: int
    n_heads: int
    n_kv_heads: int
    hidden: int


SIZES: dict[float, Shape] = {
    0.05: Shape(dim=32, n_layers=3, n_heads=2, n_kv_heads=2, hidden=96),
    0.1: Shape(dim=64, n_layers=2, n_heads=2, n_kv_heads=2, hidden=160),
    0.2: Shape(dim=64, n_layers=4, n_heads=2, n_kv_heads=2, hidden=192),
    0.37: Shape(dim=96, n_layers=3, n_heads=3, n_kv_heads=3, hidden=256),
    0.8: Shape(dim=128, n_layers=4, n_heads=4, n_kv_heads=4, hidden=352),
    1.3: Shape(dim=160, n_layers=4, n_heads=5, n_kv_heads=5, hidden=416),
    2.0: Shape(dim=192, n_layers=5, n_heads=4, n_kv_heads=2, hidden=512),
    2.8: Shape(dim=192, n_layers=6, n_heads=4, n_kv_heads=4, hidden=544),
    4.0: Shape(dim=256, n_layers=5, n_heads=4, n_kv_heads=4, hidden=672),
}
"""The dial's positions."""


def shape_of(size: float) -> Shape:
    """Return the network at a position of the dial; raises `OptionError` for any other number."""
    if size not in SIZES:
        raise OptionError(f"size is {size!r}; it must be one of {', '.join(map(str, SIZES))}")
    return SIZES[size]
