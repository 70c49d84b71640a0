"""What a model will take of kernel memory, by its header alone: asked of the kernels that will hold
it, so that nothing is counted twice. What a text takes, `state.py` says."""

from __future__ import annotations

import struct
from collections.abc import Iterable

from .gguf import TensorInfo
from .kernel import Kernel, Scratch
from .model_config import ModelConfig, is_run, is_vector, parts_of


def weights_bytes(kernel: Kernel, tensors: Iterable[TensorInfo], config: ModelConfig) -> int:
    """Return the bytes of tensors as kernels keep them, also where no memory here holds them;
    `config` says which are several in one."""
    scratch = Scratch(kernel, 8, "a question")
    run = [tensor for tensor in tensors if is_run(config, tensor.name)]
    total = sum(_tensor_bytes(kernel, scratch, tensor, config) for tensor in run)
    scratch.close()
    return total


def _tensor_bytes(kernel: Kernel, scratch: Scratch, tensor: TensorInfo, config: ModelConfig) -> int:
    parts = parts_of(config, tensor.name)
    heights = [rows for _, rows in parts] if parts else [tensor.shape[0]]
    if is_vector(tensor):
        heights = heights if parts else [tensor.n_elements]
        return sum((rows + 3) // 4 * 16 for rows in heights)
    total = 0
    for rows in heights:
        shape = (rows, tensor.shape[-1])
        kernel.call("tensor_size", tensor.type.ggml_id, *shape, scratch.address)
        total += struct.unpack("<Q", kernel.read(scratch.address, 8))[0]
    return total
