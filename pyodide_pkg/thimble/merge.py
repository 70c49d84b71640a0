"""A model and an adapter as one file, for programs that take no adapters.

    merge_file("story.gguf", "pirates.gguf", "story-pirates.gguf", "q8_0")

A matrix becomes W + strength * alpha / rank * B A in float32, and is then encoded like those that
`quantize` writes; with an adapter beside it W keeps the bits that it has.
"""

from __future__ import annotations

import os
from collections.abc import Callable

import numpy as np

from .adapter import AdapterFile, checked_strength, is_matrix
from .dequantize import Floats, dequantize
from .errors import FormatError, UnsupportedError
from .gguf import GGUFHeader, TensorInfo
from .kernel import Kernel
from .quantize import Change, Progress, check_destination, requantized, type_named
from .split import opened


def merge_file(
    base: str | os.PathLike[str],
    adapter: AdapterFile,
    dst: str | os.PathLike[str],
    type: str,
    progress: Progress | None = None,
    *,
    strength: float = 1.0,
    kernel: Kernel | None = None,
) -> int:
    """Write the model in `base`, or in the files of which that is the first part, to `dst` with an
    adapter in its weights, its matrices as `type`; returns how many the adapter changed.

    `dst` appears whole or not at all. Raises FormatError for an adapter of another model,
    UnsupportedError for what cannot be adapted, and what `quantize_file` raises.
    """
    target, factor = type_named(type), checked_strength(strength)
    check_destination(base, dst)
    with opened(base) as (file, header, _):
        changes = _changes(header, adapter, factor)
        name = os.fspath(base)
        requantized(
            file, header, target, progress, name=name, kernel=kernel, changes=changes
        ).write(dst)
    return len(changes)


def _changes(header: GGUFHeader, adapter: AdapterFile, strength: float) -> dict[str, Change]:
    """What becomes of each matrix that the adapter changes, by name."""
    found = header.metadata.get("general.architecture")
    if adapter.architecture != found:
        raise FormatError(
            f"the adapter is for the architecture {adapter.architecture!r:.40}; the model is "
            f"{found!r:.40}"
        )
    tensors = {tensor.name: tensor for tensor in header.tensors}
    made = {}
    for name, pair in adapter.pairs.items():
        tensor, wanted = tensors.get(name), (pair.up.shape[0], pair.down.shape[1])
        if tensor is None:
            raise FormatError(
                f"the adapter changes {name!r:.70}, which the model has not: it is for another one"
            )
        if not is_matrix(name) or len(tensor.shape) != 2:
            raise UnsupportedError(f"the adapter changes {name!r:.70}; that is not done here")
        if tensor.shape != wanted:
            raise FormatError(
                f"the adapter is for a {name!r} of {wanted[0]} x {wanted[1]}; the model has one of "
                f"{tensor.shape[0]} x {tensor.shape[1]}: it is for another one"
            )
        scale = np.float32(strength * adapter.scale(pair))
        down, up = (_factor(adapter, factor) for factor in (pair.down, pair.up))
        made[name] = _added(tensor, scale * up, down)
    return made


def _factor(adapter: AdapterFile, tensor: TensorInfo) -> Floats:
    data = adapter.data[tensor.offset : tensor.offset + tensor.nbytes]
    return dequantize(data, tensor.type, tensor.shape)


def _added(tensor: TensorInfo, up: Floats, down: Floats) -> Callable[[bytes, int, int], bytes]:
    def change(raw: bytes, first: int, rows: int) -> bytes:
        weights = dequantize(raw, tensor.type, (rows, tensor.shape[1]))
        return (weights + up[first : first + rows] @ down).astype("<f4").tobytes()

    return change
