"""Records what transformers and llama.cpp compute with a small random model of each architecture.

    python -m venv build/peers
    build/peers/bin/pip install torch transformers==5.23.0 numpy gguf==0.19.0
    PYTHONPATH=pyodide_pkg build/peers/bin/python -m tests.vectors.record_architectures transformers
    build/peers/bin/pip install llama-cpp-python==0.3.36
    PYTHONPATH=pyodide_pkg build/peers/bin/python -m tests.vectors.record_architectures llama_cpp

Names of models behind that record these alone. The first writes `architectures.json` (each model's
config.json as `save_pretrained` writes it, names and shapes of its tensors, ids) and
`architectures.npz` with transformers' logits; the second adds what llama.cpp makes of the files
that `thimble convert` writes. Values are drawn by `tests/tiny_folders.py`. Both compute in float32,
over N_IDS positions; the logits of every STEP-th token are saved.
"""

from __future__ import annotations

import importlib
import json
import re
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tests import tiny_folders
from tests.tiny_folders import (
    CONFIGS,
    ENCODERS,
    RECORD,
    STAND_INS,
    WITHOUT_LLAMA_CPP,
    dense_layers,
    number_of,
    values,
    write_folder,
    write_weights,
)
from tests.tiny_tokenizers import n_vocab, write_tokenizer
from tests.tokenizer_vocabularies import HARD_TEXTS
from thimble.convert.folder import convert_folder
from thimble.convert.tokenizer_json import tokenizer_keys
from thimble.tokenizer import tokenizer_from_metadata

ARRAYS = RECORD.with_suffix(".npz")
N_IDS = 64
STEP = 44
TYPES = ("f32", "f16", "q8_0")
STEPS = {"f32": 2.0**-15, "f16": 2.0**-10, "q8_0": 2.0**-7}
"""Of what recorded logits are multiples, by the type of the model's matrices."""
SHORT = "Mia had a little red boat. "
ENCODED = ("a", SHORT, SHORT * 4 + "The duck swam to it." * 5)
"""Whose vectors are recorded of encoders; in the last, no window holds all."""
TEXTS = (
    *HARD_TEXTS,
    "<|user|>\n Hi there <|end|>  \n<|endoftext|> \nYes</s>  no<s> \n x",
    "  two  spaces   three\n\n\nlines\t\ttabs",
)
"""Encoded with special tokens parsed."""


def ids_of(name: str) -> list[int]:
    seed = number_of(name)
    return [int(i) for i in np.random.PCG64(seed).random_raw(N_IDS) % np.uint64(n_vocab(name))]


def transformers_logits(name: str) -> tuple[dict[str, Any], NDArray[np.float32]]:
    """What is recorded of a model, and its logits [N_IDS, n_vocab]."""
    torch: Any = importlib.import_module("torch")
    transformers: Any = importlib.import_module("transformers")
    wanted = {**(CONFIGS | ENCODERS | STAND_INS)[name], "vocab_size": n_vocab(name)}
    config = transformers.AutoConfig.for_model(**wanted)
    kind = transformers.AutoModel if name in ENCODERS else transformers.AutoModelForCausalLM
    model = kind.from_config(config)
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        model.save_pretrained(folder)
        safetensors: Any = importlib.import_module("safetensors")
        with safetensors.safe_open(folder / "model.safetensors", "np") as file:
            names: list[str] = list(file.keys())
            shapes = {key: tuple(file.get_slice(key).get_shape()) for key in names}
        write_weights(folder, values(name, shapes))
        found = kind.from_pretrained(
            folder, dtype=torch.float32, attn_implementation="eager"
        ).eval()
        said = json.loads((folder / "config.json").read_text())
    if name in STAND_INS:
        said = {**CONFIGS[name], "vocab_size": n_vocab(name)}
    if name in ENCODERS:
        record = {"config": said, "tensors": shapes}
        record["encoded"], vectors = transformers_vectors(name, found, record)
        return record, vectors
    ids = ids_of(name)
    with torch.no_grad():
        logits = found(torch.tensor([ids])).logits[0].numpy()
    return {"config": said, "tensors": shapes, "ids": ids}, logits


def transformers_vectors(
    name: str, model: Any, record: dict[str, Any]
) -> tuple[list[list[int]], NDArray[np.float32]]:
    """The ids of `ENCODED`, and what sentence-transformers makes of their last hidden states, not
    of length 1: [len(ENCODED), dim]."""
    torch: Any = importlib.import_module("torch")
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        write_tokenizer(folder, name)
        keys = tokenizer_keys(folder, n_vocab(name))
    tokenizer = tokenizer_from_metadata(dict(keys))
    ids = [tokenizer.encode(text) for text in ENCODED]
    rows = []
    with torch.no_grad():
        for one in ids:
            rows_of = model(torch.tensor([one])).last_hidden_state[0]
            vector = rows_of[0] if name.endswith("-first") else rows_of.mean(dim=0)
            for matrix in dense_layers(name).values():
                vector = torch.tensor(matrix) @ vector
            rows.append(vector.numpy())
    return ids, np.stack(rows)


def record_transformers(names: list[str]) -> None:
    models: dict[str, Any] = {}
    arrays: dict[str, Any] = {}
    if names:
        models, arrays = json.loads(RECORD.read_text())["models"], load_arrays()
    for name in names or (*CONFIGS, *ENCODERS):
        models[name], logits = transformers_logits(name)
        arrays[f"transformers/{name}"] = logits if name in ENCODERS else shortened(logits)
        print(name, logits.std(), np.abs(logits).max())
    versions = {name: version(name) for name in ("transformers", "torch")}
    before = json.loads(RECORD.read_text()) if names else {}
    write({**before, **versions, "models": models}, arrays)


def yarn_options(config: dict[str, Any]) -> dict[str, float]:
    """Between which numbers of turns YaRN's ramp lies: this llama.cpp does not read the keys of it
    in the architectures that we have, and is to be told."""
    rope = config.get("rope_parameters") or {}
    return {f"yarn_{name}": rope[name] for name in ("beta_fast", "beta_slow") if name in rope}


def dense_options(config: dict[str, Any]) -> dict[str, Any]:
    """An expert that no layer has: this llama.cpp refuses a Llama 4 without any."""
    if config["model_type"] != "llama4_text":
        return {}
    return {"kv_overrides": {"llama4.expert_count": 1, "llama4.expert_used_count": 1}}


def llama_cpp_logits(
    path: Path, ids: list[int], **options: Any
) -> tuple[NDArray[np.float32], list[list[int]]]:
    """The logits behind each of `ids`, and the ids of `TEXTS`."""
    llama_cpp: Any = importlib.import_module("llama_cpp")
    f32 = llama_cpp.GGML_TYPE_F32
    model = llama_cpp.Llama(
        str(path), n_ctx=64, n_batch=64, n_threads=1, n_threads_batch=1, n_gpu_layers=0,
        logits_all=True, flash_attn=False, type_k=f32, type_v=f32, verbose=False,
        **options,
    )  # fmt: skip
    model.eval(ids)
    found = np.array(model.scores[: len(ids)], dtype=np.float32)
    texts = [model.tokenize(text.encode(), add_bos=True, special=True) for text in TEXTS]
    model.close()
    return found, texts


def llama_cpp_vectors(path: Path, ids: list[list[int]]) -> NDArray[np.float32]:
    """The vectors of `ENCODED`, whose ids must be these, pooled as the file says."""
    llama_cpp: Any = importlib.import_module("llama_cpp")
    model = llama_cpp.Llama(
        str(path), n_ctx=256, n_batch=256, n_ubatch=256, n_threads=1, n_threads_batch=1,
        n_gpu_layers=0, embedding=True, flash_attn=False, verbose=False,
        pooling_type=llama_cpp.LLAMA_POOLING_TYPE_UNSPECIFIED,
    )  # fmt: skip
    own = [model.tokenize(text.encode(), add_bos=True, special=False) for text in ENCODED]
    assert own == ids, (own, ids)
    found = np.array([model.embed(text, normalize=False) for text in ENCODED], dtype=np.float32)
    model.close()
    return found


def record_llama_cpp(names: list[str]) -> None:
    record = json.loads(RECORD.read_text())
    arrays = load_arrays()
    record["llama_cpp_python"] = version("llama-cpp-python")
    for name in names or record["models"]:
        model = record["models"][name]
        if name in WITHOUT_LLAMA_CPP:
            continue
        with tempfile.TemporaryDirectory() as place:
            folder = write_folder(Path(place) / name, name)
            for kind in TYPES:
                path = Path(place) / f"{name}-{kind}.gguf"
                convert_folder(folder, path, kind)
                if name in ENCODERS:
                    found = llama_cpp_vectors(path, model["encoded"])
                    arrays[f"llama.cpp/{name}/{kind}"] = found
                    away = np.abs(found - arrays[f"transformers/{name}"]).max()
                    print(name, kind, "from transformers:", away, "of", np.abs(found).max())
                    continue
                options = yarn_options(model["config"]) | dense_options(model["config"])
                logits, model["texts"] = llama_cpp_logits(path, model["ids"], **options)
                logits = shortened(logits, kind)
                arrays[f"llama.cpp/{name}/{kind}"] = logits
                away = np.abs(logits - arrays[f"transformers/{name}"]).max()
                print(name, kind, "from transformers:", away)
    write(record, arrays)


def shortened(logits: NDArray[np.float32], kind: str = "f32") -> NDArray[np.float32]:
    """The logits of every STEP-th token without bits that no test looks at, which take room."""
    step = np.float32(STEPS[kind])
    return np.round(logits[:, ::STEP] / step) * step


def load_arrays() -> dict[str, NDArray[np.float32]]:
    """All arrays by name. They lie in four planes, the first, second, third and fourth bytes of all
    numbers, which halves the file."""
    with np.load(ARRAYS) as file:
        names, shapes, planes = file["names"], file["shapes"], file["planes"]
    ends = np.cumsum(shapes.prod(1))[:-1]
    parts = np.split(np.ascontiguousarray(planes.T).view(np.float32).ravel(), ends)
    found = zip(names, parts, shapes, strict=True)
    return {str(name): part.reshape(shape) for name, part, shape in found}


def save_arrays(arrays: dict[str, NDArray[np.float32]]) -> None:
    flat = np.concatenate([one.astype(np.float32).ravel() for one in arrays.values()])
    np.savez_compressed(
        ARRAYS,
        names=np.array(list(arrays)),
        shapes=np.array([one.shape for one in arrays.values()]),
        planes=np.ascontiguousarray(flat.view(np.uint8).reshape(-1, 4).T),
    )


def write(record: dict[str, Any], arrays: dict[str, Any]) -> None:
    save_arrays(arrays)
    text = json.dumps(record, indent=1)
    text = re.sub(r"(?<=[\[,])\s+(?=-?\d)", " ", text)  # lists of numbers in one line each
    RECORD.write_text(re.sub(r"(?<=\d)\s+\]", "]", text) + "\n", encoding="utf-8")


if __name__ == "__main__":
    tiny_folders.recorded.cache_clear()
    record = {"llama_cpp": record_llama_cpp, "transformers": record_transformers}[sys.argv[1]]
    record(sys.argv[2:])
