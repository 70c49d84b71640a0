"""Checkpoints as nanoGPT saves them, written without torch, and their vocabularies.

    (tmp_path / "ckpt.pt").write_bytes(checkpoint(weights(bias=True)))

What torch.save writes is a pickle of protocol 2 that names its classes; here it is put together by
hand, instruction by instruction, so that no torch is needed and hostile ones can be written too.
`tests/test_convert_nanogpt.py` has torch read it where there is one.
"""

from __future__ import annotations

import io
import math
import pickle
import struct
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tests.tiny_models import random_values

SIZES = {"n_layer": 2, "n_head": 4, "n_embd": 32, "block_size": 72}
CHARACTERS = "\n !,.'3" + "ABCDEFGHIJabcdefghijklmnopqrstuvwxyz" + "éß“”中🐉"

Weights = dict[str, NDArray[np.float32]]


@dataclass(frozen=True)
class Named:
    """A class or function, by its name."""

    module: str
    name: str


@dataclass(frozen=True)
class Placed:
    """A tensor: which storage has it, and how."""

    kind: str
    key: str
    count: int
    shape: tuple[int, ...]
    offset: int = 0
    strides: tuple[int, ...] | None = None


@dataclass(frozen=True)
class Ordered:
    """An OrderedDict."""

    items: Mapping[str, Any]


def weights(*, bias: bool, prefix: str = "", n_vocab: int = len(CHARACTERS)) -> Weights:
    """A state dict's arrays; lm_head.weight is the embedding."""
    dim, context = SIZES["n_embd"], SIZES["block_size"]
    shapes: dict[str, tuple[int, ...]] = {
        "transformer.wte.weight": (n_vocab, dim), "transformer.wpe.weight": (context, dim),
    }  # fmt: skip
    for i in range(SIZES["n_layer"]):
        layer = {
            "ln_1": (dim,), "attn.c_attn": (3 * dim, dim), "attn.c_proj": (dim, dim),
            "ln_2": (dim,), "mlp.c_fc": (4 * dim, dim), "mlp.c_proj": (dim, 4 * dim),
        }  # fmt: skip
        for name, shape in layer.items():
            shapes[f"transformer.h.{i}.{name}.weight"] = shape
            if bias:
                shapes[f"transformer.h.{i}.{name}.bias"] = shape[:1]
    shapes["transformer.ln_f.weight"] = (dim,)
    if bias:
        shapes["transformer.ln_f.bias"] = (dim,)
    found = {}
    for i, (name, shape) in enumerate(shapes.items()):
        norm = ".ln_" in name and name.endswith("weight")
        size = 1.5 * math.sqrt(3 / shape[-1]) if len(shape) > 1 else 0.2
        found[prefix + name] = random_values(900 + i, shape, size) + np.float32(norm)
    found[f"{prefix}lm_head.weight"] = found[f"{prefix}transformer.wte.weight"]
    return found


def checkpoint(arrays: Weights, **changes: Any) -> bytes:
    """The bytes of a ckpt.pt; `changes` are of its dict."""
    whole, storages = parts(arrays)
    return archive(dumped({**whole, **changes}), storages)


def parts(arrays: Weights) -> tuple[dict[str, Any], dict[str, bytes]]:
    """A checkpoint's dict, and the bytes of its storages."""
    storages: dict[str, bytes] = {}
    keys: dict[int, str] = {}
    model: dict[str, Any] = {}
    for name, array in arrays.items():
        key = keys.setdefault(id(array), str(len(keys)))
        storages[key] = array.astype("<f4").tobytes()
        model[name] = Placed("FloatStorage", key, array.size, array.shape)
    n_vocab = next(a.shape[0] for name, a in arrays.items() if name.endswith("wte.weight"))
    whole = {
        "model": Ordered(model),
        "optimizer": {"state": {0: {"step": 7, "exp_avg": next(iter(model.values()))}},
                      "param_groups": [{"lr": 6e-4, "betas": (0.9, 0.95), "params": [0, 1]}]},
        "model_args": {**SIZES, "bias": False, "vocab_size": n_vocab, "dropout": 0.0},
        "iter_num": 2000, "best_val_loss": 1.47, "config": {"out_dir": "out", "compile": True},
    }  # fmt: skip
    return whole, storages


def archive(
    tree: bytes, storages: Mapping[str, bytes], compression: int = zipfile.ZIP_STORED
) -> bytes:
    """The zip archive of a tree and its storages."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", compression) as file:
        entries = {"data.pkl": tree, "byteorder": b"little", "version": b"3\n"}
        entries |= {f"data/{key}": data for key, data in storages.items()}
        for name, data in entries.items():
            info = zipfile.ZipInfo(f"ckpt/{name}")
            info.compress_type = compression
            file.writestr(info, data)
    return out.getvalue()


def dumped(value: Any) -> bytes:
    """A pickle of protocol 2."""
    return b"\x80\x02" + _put(value) + b"."


def _put(value: Any) -> bytes:
    if isinstance(value, Named):
        return f"c{value.module}\n{value.name}\n".encode()
    if isinstance(value, Placed):
        return _tensor(value)
    if isinstance(value, Ordered):
        return _put(Named("collections", "OrderedDict")) + b")R" + _items(value.items)
    if isinstance(value, dict):
        return b"}" + _items(value)
    if isinstance(value, list):
        return b"](" + b"".join(map(_put, value)) + b"e"
    if isinstance(value, tuple):
        return b"(" + b"".join(map(_put, value)) + b"t"
    return pickle.dumps(value, 2)[2:-1]  # a number or a text


def _items(items: Mapping[Any, Any]) -> bytes:
    return b"(" + b"".join(_put(k) + _put(v) for k, v in items.items()) + b"u"


def _tensor(t: Placed) -> bytes:
    strides = t.strides
    if strides is None:
        strides = tuple(math.prod(t.shape[i + 1 :]) for i in range(len(t.shape)))
    storage = ("storage", Named("torch", t.kind), t.key, "cpu", t.count)
    rest = (t.offset, t.shape, strides, False, Ordered({}))
    return (
        _put(Named("torch._utils", "_rebuild_tensor_v2"))
        + b"(" + _put(storage) + b"Q" + b"".join(map(_put, rest)) + b"tR"
    )  # fmt: skip


def meta(characters: str = CHARACTERS, protocol: int = 4) -> bytes:
    """A meta.pkl as nanoGPT's prepare.py writes it."""
    stoi = {c: i for i, c in enumerate(characters)}
    itos = dict(enumerate(characters))
    return pickle.dumps({"vocab_size": len(stoi), "itos": itos, "stoi": stoi}, protocol)


def patched(data: bytes, name: bytes, at: int, form: str, *numbers: int) -> bytes:
    """An archive in whose list of entries numbers of the entry called `name` are others."""
    found = bytearray(data)
    place = found.rindex(name) - 46  # the last place is the list
    struct.pack_into(form, found, place + at, *numbers)
    return bytes(found)
