"""Records what llama.cpp computes with adapters, so that the tests can compare without building it.

    PYTHONPATH=pyodide_pkg build/llamacpp/bin/python -m tests.vectors.record_adapters

with the environment of `record_llamacpp.py`. It writes `adapters.json` (version, ids, SHA-256 of
each model and adapter) and `adapters.npz` (logits, float32) beside itself. The adapters are those
of `tests/tiny_adapters.py`. It also checks, and fails otherwise, that llama.cpp reads an adapter of
our own writer: the same numbers in a file by `adapter_file` give the same logits, bit for bit.
"""

from __future__ import annotations

import hashlib
import importlib
import json
import tempfile
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tests.tiny_adapters import factors, make_adapter
from tests.tiny_models import SPECS, make
from thimble.adapter import adapter_file

# By name, so that type checkers do not look for a package that only this file needs.
llama_cpp: Any = importlib.import_module("llama_cpp")

HERE = Path(__file__).parent
IDS = [int(i) for i in np.random.PCG64(77).random_raw(24) % np.uint64(350)]
POSITIONS = (0, 5, 23)
RANK, ALPHA = 5, 10.0
CASES = (("f32", "F32", 1.0), ("f32", "F16", 0.7), ("q8_0", "F32", 0.7), ("q4_0-tied", "F32", 1.5),
         ("head48", "F32", -0.5))  # fmt: skip
"""Model, encoding of the adapter, and strength."""


def logits(model: bytes, adapter: bytes, strength: float) -> NDArray[np.float32]:
    """Return the logits behind each of IDS, computed as one batch."""
    f32 = llama_cpp.GGML_TYPE_F32
    with tempfile.TemporaryDirectory() as folder:
        paths = [Path(folder) / "model.gguf", Path(folder) / "adapter.gguf"]
        for path, data in zip(paths, (model, adapter), strict=True):
            path.write_bytes(data)
        loaded = llama_cpp.Llama(
            str(paths[0]), n_ctx=256, n_batch=64, n_threads=1, n_threads_batch=1, n_gpu_layers=0,
            logits_all=True, flash_attn=False, type_k=f32, type_v=f32, verbose=False,
            lora_path=str(paths[1]), lora_scale=strength,
        )  # fmt: skip
        loaded.eval(IDS)
        found = np.array(loaded.scores[: len(IDS)], dtype=np.float32)
        loaded.close()
    return found


def main() -> None:
    cases: list[Any] = []
    arrays: dict[str, Any] = {}
    for at, (name, type, strength) in enumerate(CASES):
        spec = SPECS[name]
        model, adapter = make(spec), make_adapter(spec, rank=RANK, alpha=ALPHA, type=type)
        found = logits(model, adapter, strength)
        if type == "F32":
            pairs = {
                key: ((up.shape[0], down.shape[1], RANK), down.tobytes(), up.tobytes())
                for key, (down, up) in factors(spec, RANK).items()
            }
            ours = adapter_file(pairs, alpha=ALPHA).to_bytes()
            if not np.array_equal(found, logits(model, ours, strength)):
                raise SystemExit(
                    f"{name}: llama.cpp computes something else from our writer's file"
                )
        sha256 = [hashlib.sha256(data).hexdigest() for data in (model, adapter)]
        cases.append({"model": name, "type": type, "strength": strength, "sha256": sha256})
        arrays[str(at)] = found[list(POSITIONS)]
        print(name, type, strength, np.abs(found - logits(model, adapter, 0.0)).max())
    record = {
        "llama_cpp_python": version("llama-cpp-python"), "gguf": version("gguf"), "ids": IDS,
        "positions": POSITIONS, "rank": RANK, "alpha": ALPHA, "cases": cases,
    }  # fmt: skip
    np.savez_compressed(HERE / "adapters.npz", **arrays)
    (HERE / "adapters.json").write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
