"""A model that is not here yet: what its header says, what it takes, how fast it may be.

The page fetches the first bytes of a file and asks before it fetches the rest. Nothing is loaded
here; the measurements are those of `limits.py`, on memory as large as the model as far as that is
sensible, so that caches do not flatter it.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from ..errors import FormatError, UnsupportedError
from ..footprint import weights_bytes
from ..gguf import GGUFHeader, NeedMoreData, read_header
from ..kernel import Scratch, default_kernel
from ..model_config import config_from_header
from ..split import joined_header
from ..state import FIRST_POSITIONS, state_bytes, usual_kv_type
from .limits import multiplies, rate
from .options import asked

if TYPE_CHECKING:
    from ..model_config import ModelConfig
    from .engine import Engine
    from .pool import JsBuffer

LARGEST = 1 << 31
"""Addresses of kernel memory are positive 32-bit numbers in a page."""
BESIDE = 160 << 20
"""Bytes that Python, the engine and a model that is loaded already take of that, about."""
STREAM = 64 << 20
"""Bytes that a measurement reads at most: more than the caches of most machines."""


class Service:
    """What the worker asks as "bring.METHOD"."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def examine(self, head: JsBuffer | bytes, total: int | None) -> dict[str, Any]:
        """What the first bytes of a file of `total` bytes say of it: `estimate`, which is null
        where they are too few, and how many it takes then: `more`.

        Raises FormatError and UnsupportedError for what cannot run here.
        """
        data = head if isinstance(head, bytes) else head.to_bytes()
        whole = total is not None and len(data) >= total
        try:
            header = read_header(data, file_size=total)
        except NeedMoreData as more:
            if whole:
                raise FormatError(str(more)) from None
            return {"estimate": None, "more": more.at_least}
        parts = header.metadata.get("split.count", 1)
        if isinstance(parts, int) and parts > 1:
            raise UnsupportedError(
                f"this is one of {parts} parts of a model: open all of them together, or the "
                "address of the first, under the names that llama.cpp's gguf-split gives them"
            )
        return {"estimate": describe(header, config_from_header(header)), "more": 0}

    def join(self, heads: JsBuffer | bytes, parts: str) -> dict[str, Any]:
        """How a model's parts become one file: its `header`, and at which byte of each part the
        tensors behind it `starts`. `heads` are the parts' first bytes, one behind the other, and
        `parts` is a JSON list of their names, how many bytes of each are here, and how many it
        has. Where there are too few, `joined` is null, and `more` bytes of `part` are wanted.

        Raises FormatError where the parts make no model.
        """
        data = memoryview(heads if isinstance(heads, bytes) else heads.to_bytes())
        names, headers, sizes, at = [], [], [], 0
        for number, (name, here, size) in enumerate(asked(parts)):
            try:
                headers.append(read_header(data[at : at + here], file_size=size))
            except NeedMoreData as more:
                if here >= size:
                    raise FormatError(f"{name!r}: {more}") from None
                return {"joined": None, "part": number, "more": more.at_least}
            names.append(name)
            sizes.append(size)
            at += here
        joined = {
            "header": joined_header(names, headers, data, sizes),
            "starts": [header.data_offset for header in headers],
        }
        return {"joined": joined, "part": 0, "more": 0}

    def speed(self, reads: int, quantized: int, floats: int) -> dict[str, Any]:
        """Tokens a second that one thread could do at best, and what holds it there, for a model
        whose tokens read `reads` and take so many multiply-adds of the two kinds."""
        kernel = default_kernel()
        size = max(1 << 20, min(reads, STREAM)) & ~127
        block = Scratch(kernel, size, "measuring")
        try:
            rounds = rate(
                1, lambda times: kernel.call("machine_stream", block.address, size, times)
            )
        finally:
            block.close()
        memory = reads / (size * rounds)
        arithmetic = 0.0
        for products, kind in ((quantized, 0), (floats, 1)):
            if products:
                arithmetic += products / multiplies(kernel.call, kind)
        return {
            "speed": 1 / max(memory, arithmetic, 1e-9),
            "by": "memory" if memory > arithmetic else "arithmetic",
            "read": size * rounds,
        }


def describe(header: GGUFHeader, config: ModelConfig) -> dict[str, Any]:
    """What the page shows of a model before it is loaded, and what `speed` is asked with."""
    kernel = default_kernel()
    weights = weights_bytes(kernel, header.tensors, config)
    matrices = [t for t in header.tensors if len(t.shape) > 1]
    names = {t.name for t in matrices}
    # The embedding is looked up, a row a token, where the output is another matrix.
    used = [t for t in matrices if t.name != "token_embd.weight" or "output.weight" not in names]
    kept, first = usual_kv_type(kernel, config), min(FIRST_POSITIONS, config.n_ctx)
    needed = weights + state_bytes(kernel, config, first, kept)
    types: Counter[str] = Counter()
    for tensor in matrices:
        types[tensor.type.name] += tensor.n_elements
    return {
        "name": config.name,
        "architecture": config.architecture,
        "parameters": sum(t.n_elements for t in header.tensors),
        "types": [name for name, _ in types.most_common()],
        "chat": "tokenizer.chat_template" in header.metadata,
        "bytes": header.file_end,
        "window": config.n_ctx,
        # Weights, and the keys and values of a short text; then of the longest there may be.
        "needed": needed,
        "neededFull": weights + state_bytes(kernel, config, config.n_ctx, kept),
        "fits": needed + BESIDE <= LARGEST,
        "limit": LARGEST - BESIDE,
        "reads": weights_bytes(kernel, used, config),
        "quantized": sum(t.n_elements for t in used if t.type.block > 1),
        "floats": sum(t.n_elements for t in used if t.type.block == 1),
    }
