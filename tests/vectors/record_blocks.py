"""Records what llama.cpp computes of models whose matrices are blocks of any encoding, and ggml's
values of blocks of types that the PyPI package `gguf` does not know.

As `record_llamacpp.py`, in whose environment it runs:

    PYTHONPATH=pyodide_pkg build/llamacpp/bin/python -m tests.vectors.record_blocks

It writes `blocks.json` (each model's SHA-256, ids) and `blocks.npz` (logits, values) beside itself.
"""

from __future__ import annotations

import ctypes
import hashlib
import importlib
import json
from pathlib import Path
from typing import Any

import numpy as np

from tests.random_blocks import UNKNOWN_TO_GGUF, random_bytes
from tests.tiny_blocks import NAMES, make_blocks
from tests.vectors.record_llamacpp import logits
from thimble.tensor_types import TensorType

HERE = Path(__file__).parent
POSITIONS = (0, 7, 63)


def ggml_values(kind: TensorType, raw: bytes) -> Any:
    """By ggml's own function, which lies beside llama-cpp-python's library."""
    package: Any = importlib.import_module("llama_cpp")
    library = ctypes.CDLL(str(Path(package.__file__).parent / "lib" / "libggml-base.so"))
    n = len(raw) // kind.nbytes * kind.block
    values = (ctypes.c_float * n)()
    function = getattr(library, f"dequantize_row_{kind.name.lower()}")
    function(ctypes.c_char_p(raw), values, ctypes.c_int64(n))
    return np.array(values, np.float32)


def main() -> None:
    record: dict[str, Any] = {}
    arrays: dict[str, Any] = {}
    ids = [int(i) for i in np.random.PCG64(5).random_raw(64) % np.uint64(300)]
    for name in NAMES:
        data = make_blocks(name)
        record[name] = {"sha256": hashlib.sha256(data).hexdigest()}
        arrays[name] = logits(data, ids)[list(POSITIONS)]
        print(name, arrays[name].std())
    for kind in UNKNOWN_TO_GGUF:
        arrays[f"values/{kind.name}"] = ggml_values(kind, random_bytes(kind))
    np.savez_compressed(HERE / "blocks.npz", **arrays)
    whole = {"ids": ids, "positions": POSITIONS, "models": record}
    (HERE / "blocks.json").write_text(json.dumps(whole) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
