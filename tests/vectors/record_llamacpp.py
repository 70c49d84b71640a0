"""Records what llama.cpp computes, so that the tests can compare without building it.

    python -m venv build/llamacpp
    build/llamacpp/bin/pip install llama-cpp-python==0.3.36 gguf==0.19.0 numpy
    PYTHONPATH=pyodide_pkg build/llamacpp/bin/python -m tests.vectors.record_llamacpp

It writes `llamacpp.json` (version, ids, greedy continuations, each model's SHA-256) and
`llamacpp.npz` (logits, float32) beside itself. The models are those of `tests/tiny_models.py`, and
stories260K from `../shared`. llama.cpp runs on one thread, with a float32 cache and without flash
attention, so that its cache does not round; its products with quantized matrices round their input
to 8 bits, and those with F16 and BF16 matrices to 16, which only it does.

It also checks, and fails otherwise, that llama.cpp reads files of our own writer: the same tensors
in a file written by `gguf_writer` give the same logits, bit for bit.
"""

from __future__ import annotations

import functools
import hashlib
import importlib
import json
import re
import tempfile
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tests.tiny_models import SPECS, make
from thimble.gguf import read_header
from thimble.gguf_writer import GGUFWriter

# By name, so that type checkers do not look for a package that only this file needs.
llama_cpp: Any = importlib.import_module("llama_cpp")

HERE = Path(__file__).parent
STORIES = Path(__file__).parents[3] / "shared" / "models" / "stories260K.gguf"
PROMPTS = (
    "Once upon a time",
    "",
    "Lily wanted to play with the big dog",
    "The café was 100% ready!",
)
N_GREEDY = 200
N_IDS = 40
POSITIONS = (0, 1, 12, N_IDS - 1)


def load(path: Path) -> Any:
    """Return the model, ready to evaluate with every position's logits."""
    f32 = llama_cpp.GGML_TYPE_F32
    return llama_cpp.Llama(
        str(path), n_ctx=256, n_batch=64, n_threads=1, n_threads_batch=1, n_gpu_layers=0,
        logits_all=True, flash_attn=False, type_k=f32, type_v=f32, verbose=False,
    )  # fmt: skip


def logits(data: bytes, ids: list[int]) -> NDArray[np.float32]:
    """Return the logits behind each of `ids`, [len(ids), n_vocab], computed as one batch."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.gguf"
        path.write_bytes(data)
        model = load(path)
        model.eval(ids)
        found = np.array(model.scores[: len(ids)], dtype=np.float32)
        model.close()
    return found


def greedy(prompt: str) -> dict[str, Any]:
    """Return the likeliest continuation of a prompt, one token after the other, and how close the
    closest choice was."""
    model = load(STORIES)
    prompt_ids = model.tokenize(prompt.encode(), add_bos=True)
    model.eval(prompt_ids)
    ids: list[int] = []
    margin = np.inf
    for _ in range(N_GREEDY):
        last = model.scores[model.n_tokens - 1]
        second, first = np.argsort(last)[-2:]
        margin = min(margin, float(last[first] - last[second]))
        ids.append(int(first))
        model.eval(ids[-1:])
    text = model.detokenize(ids, prev_tokens=prompt_ids).decode(errors="replace")
    model.close()
    return {"prompt": prompt, "prompt_ids": prompt_ids, "ids": ids, "text": text,
            "smallest_margin": round(margin, 6)}  # fmt: skip


def rewritten(data: bytes) -> bytes:
    """Return the same model, written by our writer."""
    header = read_header(data, file_size=len(data))
    writer = GGUFWriter()
    for key, value in header.metadata.items():
        writer.add(key, value)
    for t in header.tensors:
        raw = data[t.offset : t.offset + t.nbytes]
        writer.add_tensor(t.name, t.shape, t.type, functools.partial(iter, (raw[:99], raw[99:])))
    return writer.to_bytes()


def main() -> None:
    models: dict[str, Any] = {}
    arrays: dict[str, Any] = {}
    files = {"stories260K": STORIES.read_bytes()} | {name: make(SPECS[name]) for name in SPECS}
    for name, data in files.items():
        n_vocab = len(read_header(data).metadata["tokenizer.ggml.tokens"])
        ids = [int(i) for i in np.random.PCG64(len(models)).random_raw(N_IDS) % np.uint64(n_vocab)]
        found = logits(data, ids)
        if not np.array_equal(found, logits(rewritten(data), ids)):
            raise SystemExit(f"{name}: llama.cpp computes something else from our writer's file")
        models[name] = {
            "sha256": hashlib.sha256(data).hexdigest(),
            "ids": ids,
            "positions": POSITIONS,
        }
        arrays[name] = found[list(POSITIONS)]
        print(name, found.std())
    record = {
        "llama_cpp_python": version("llama-cpp-python"),
        "gguf": version("gguf"),
        "system": llama_cpp.llama_print_system_info().decode(),
        "models": models,
        "greedy": [greedy(prompt) for prompt in PROMPTS],
    }
    np.savez_compressed(HERE / "llamacpp.npz", **arrays)
    text = json.dumps(record, indent=1, ensure_ascii=False)
    text = re.sub(r"(?<=[\[,])\s+(?=-?\d)", " ", text)  # lists of numbers in one line each
    (HERE / "llamacpp.json").write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
