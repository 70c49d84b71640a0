"""Adapters of PEFT's (adapter_config.json, adapter_model.safetensors) as GGUF adapters, and back.

    convert_peft("my-lora", "my-lora.gguf", base="SmolLM2-135M")
    write_peft("my-lora.gguf", "my-lora", base="smollm2.gguf")

Neither folder nor file says everything of the model that it is for, so that has to be named: its
folder or its GGUF file. It tells how tensors are called there and here, and in which order the
rows of queries and keys lie. What differs between the two formats is how B A is scaled: by alpha
over the rank, or over its root (rank-stabilised, Kalajdzievski 2023), which may differ from matrix
to matrix; a GGUF file has one alpha, so where it has to, B takes the rest.

Source: https://github.com/huggingface/peft (`LoraConfig`, `save_pretrained`).
"""

from __future__ import annotations

import json
import math
import os
import re
import struct
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..adapter import (
    FUSED,
    MATRICES,
    OTHERS,
    A,
    AdapterFile,
    Pair,
    adapter_file,
    is_matrix,
    read_adapter,
)
from ..dequantize import dequantize
from ..errors import FormatError, OptionError, UnsupportedError
from ..gguf import TensorInfo
from ..model_config import config_from_header
from ..split import opened
from .config import Settings
from .config import factors as factors_of
from .encode import check_finite
from .folder import row_order
from .names import KINDS, Kind, chosen
from .safetensors import Floats, Stored, read_file, read_json
from .value_heads import ValueHeads

CONFIG, WEIGHTS = "adapter_config.json", "adapter_model.safetensors"
PREFIX = "base_model.model."
_FACTOR = re.compile(r"(?P<module>.+)\.lora_(?P<which>[AB])(?:\.\w+)?\.weight", re.DOTALL)
_PLAIN = re.compile(r"\^?[\w.]+")
_OTHERS = {
    "peft_type": "LORA", "use_dora": False, "use_qalora": False, "bias": "none",
    "lora_bias": False, "layer_replication": None, "arrow_config": None,
}  # fmt: skip
"""Settings that change what is computed, with the only values that have a GGUF file."""


@dataclass(frozen=True, slots=True)
class Base:
    """What has to be known of the model that an adapter is for."""

    kind: Kind
    heads: tuple[int, int]
    """Of queries, and of keys and values."""
    name: str
    values: ValueHeads | None
    scaled: Mapping[str, list[tuple[int, float]]]
    """What the model's rows were multiplied by when they were converted: `state_keys.factors`."""

    @staticmethod
    def of(path: str | os.PathLike[str]) -> Base:
        """Of a folder of Hugging Face's, or of a GGUF file."""
        path = Path(path)
        if path.is_dir():
            s = Settings(read_json(path / "config.json"))
            heads, values = (s.n_heads, s.n_kv_heads), ValueHeads.of_settings(s)
            return Base(s.kind, heads, str(path), values, factors_of(s))
        with opened(path) as (_, header, _):
            config = config_from_header(header)
        if config.architecture == "falcon-h1":
            raise UnsupportedError(
                f"{config.name!r} is a falcon-h1, whose GGUF file does not tell what its rows were "
                "multiplied by; give the folder that it was made of"
            )
        kinds = [
            chosen(name, {"num_local_experts": config.features.experts}, KINDS)
            for name, kind in KINDS.items()
            if kind.architecture == config.architecture
        ]
        if not kinds:
            raise UnsupportedError(
                f"the architecture {config.architecture!r} has no model of Hugging Face's here"
            )
        heads = config.n_heads, config.n_kv_heads
        return Base(kinds[0], heads, config.name, ValueHeads.of_config(config), {})

    def rows(self, name: str, height: int, stored: str) -> NDArray[Any] | None:
        """Which row there each row of a matrix is here; None where the order is the same."""
        found = self.values.rows(name.split(".")[-2]) if self.values else None
        if found is not None and len(found) == height:
            return found
        return row_order(self.kind, name, height, self.heads, stored)

    def factors(self, name: str, height: int) -> Floats:
        """What each row of a matrix is multiplied by, [height, 1]."""
        each = self.scaled.get(name.split(".")[-2], [(0, 1.0)])
        rows = np.concatenate([np.full(n or height, f, np.float32) for n, f in each])
        if len(rows) != height:
            raise FormatError(
                f"the adapter's {name!r:.80} has {height} rows; {len(rows)} are right"
            )
        return rows[:, None]

    def columns(self, name: str, width: int) -> NDArray[Any] | None:
        """The same of columns."""
        found = self.values.columns(name.split(".")[-2]) if self.values else None
        return found if found is not None and len(found) == width else None


@dataclass(frozen=True, slots=True)
class ConvertedAdapter:
    """What was done."""

    architecture: str
    matrices: int
    rank: int
    """The largest."""


def convert_peft(
    folder: str | os.PathLike[str],
    target: str | os.PathLike[str],
    base: str | os.PathLike[str] | None = None,
) -> ConvertedAdapter:
    """Write the adapter in `folder`, for the model at `base`, to the GGUF file `target`.

    Raises OptionError where no base is given and the folder has no config.json, FormatError for a
    folder that is damaged or lacks a file, UnsupportedError for an adapter that does not run here,
    NumericError for a number that is not finite; OSError.
    """
    folder = Path(folder)
    settings = read_json(folder / CONFIG)
    _check(settings)
    if base is None and not (folder / "config.json").exists():
        wanted = settings.get("base_model_name_or_path")
        raise OptionError(
            f"{str(folder)!r} is an adapter of PEFT's, for {wanted!r:.100}: give --base as well, "
            "that model's folder or its GGUF file"
        )
    of = Base.of(folder if base is None else base)
    factors = _factors(folder, of)
    alphas = {name: alpha_of(settings, module, r) for name, (module, r) in _ranks(factors).items()}
    ((alpha, _),) = Counter(alphas.values()).most_common(1)
    pairs = {}
    for name, (down, up) in factors.items():
        a, b = _values(down), _values(up)
        order, columns = of.rows(name, len(b), up.name), of.columns(name, a.shape[1])
        a = np.ascontiguousarray(a if columns is None else a[:, columns])
        b = (b if order is None else b[order]) * np.float32(alphas[name] / alpha)
        b, (rank, cols) = b * of.factors(name, len(b)), a.shape
        for own, rows in _parts(of.kind, name, b):
            pairs[own] = (len(rows), cols, rank), a.tobytes(), np.ascontiguousarray(rows).tobytes()
    writer = adapter_file(
        pairs,
        alpha=alpha,
        architecture=of.kind.architecture,
        metadata={"general.name": folder.resolve().name},
    )
    done = read_adapter(writer.to_bytes())  # what would not be read is not written
    writer.write(target)
    return ConvertedAdapter(of.kind.architecture, len(pairs), done.rank)


def _parts(kind: Kind, name: str, up: Floats) -> Iterator[tuple[str, Floats]]:
    """A matrix's name and B, or those of the two matrices that it is in a GGUF file. Raises
    UnsupportedError for one that nothing here adapts."""
    base = name.removesuffix(".weight").rpartition(".")[2]
    halves = kind.halves.get(base, (base,))
    for half, part in enumerate(halves):
        own = name.replace(base, part)
        if not is_matrix(own):
            what = "one of several experts" if "_exps" in own else "no matrix that is adapted here"
            raise UnsupportedError(
                f"the adapter changes {own!r:.80}, {what}; those that are: "
                f"{', '.join((*MATRICES, FUSED, *OTHERS, 'output'))}"
            )
        rows = len(up) // len(halves)
        yield own, up[half * rows : (half + 1) * rows]


def _check(settings: Mapping[str, Any]) -> None:
    for key, allowed in _OTHERS.items():
        value = settings.get(key, allowed)
        if value not in (allowed, None):
            raise UnsupportedError(
                f"{key} in {CONFIG} is {value!r:.60}; a GGUF adapter is {allowed!r}"
            )
    if settings.get("alora_invocation_tokens") is not None:
        raise UnsupportedError("the adapter waits for certain tokens (aLoRA), which none here does")


def _factors(folder: Path, base: Base) -> dict[str, tuple[Stored, Stored]]:
    """A and B of each matrix that is adapted, by its name in a GGUF file."""
    path = folder / WEIGHTS
    if not path.exists():
        raise FormatError(
            f"{str(folder)!r} has no {WEIGHTS}; an adapter_model.bin has to be saved again"
        )
    found: dict[str, dict[str, Stored]] = {}
    for stored in read_file(path):
        if stored.name.endswith(".base_layer.weight"):
            continue  # the model's own matrix, which PEFT saves beside the factors of an lm_head
        match = _FACTOR.fullmatch(stored.name)
        module = match["module"].removeprefix(PREFIX) if match else ""
        name = base.kind.name_of(f"{module}.weight")
        if match is None or name is None:
            raise UnsupportedError(
                f"the tensor {stored.name!r:.100} is no factor of a matrix that "
                f"{base.kind.architecture} models have; nothing else runs here"
            )
        if len(stored.shape) != 2 or 0 in stored.shape:
            raise FormatError(
                f"tensor {stored.name!r:.100} has the shape {stored.shape}; two widths are right"
            )
        if found.setdefault(name, {}).setdefault(match["which"], stored) is not stored:
            raise FormatError(f"{WEIGHTS} has two factors {match['which']} of {module!r:.100}")
    pairs = {}
    for name, factors in sorted(found.items()):
        if len(factors) < 2 or factors["A"].shape[0] != factors["B"].shape[1]:
            shapes = {which: stored.shape for which, stored in factors.items()}
            raise FormatError(
                f"{WEIGHTS} has {shapes} for {name!r}; A of rank x columns and B of rows x rank "
                "are right"
            )
        pairs[name] = factors["A"], factors["B"]
    if not pairs:
        raise FormatError(f"{WEIGHTS} holds no factors: it changes nothing")
    return pairs


def _ranks(factors: Mapping[str, tuple[Stored, Stored]]) -> dict[str, tuple[str, int]]:
    """The module's name and the rank, by GGUF's name."""
    found = {}
    for name, (down, _) in factors.items():
        match = _FACTOR.fullmatch(down.name)
        assert match is not None
        found[name] = match["module"].removeprefix(PREFIX), down.shape[0]
    return found


def alpha_of(settings: Mapping[str, Any], module: str, rank: int) -> float:
    """What over the rank is the factor of B A of one module, by an adapter_config.json."""
    alpha = _of_module(settings, "alpha_pattern", module, settings.get("lora_alpha", 8))
    if not isinstance(alpha, int | float) or isinstance(alpha, bool) or not 0 < alpha < 1e30:
        raise FormatError(f"the alpha of {module!r:.100} in {CONFIG} is {alpha!r:.40}")
    wanted = _of_module(settings, "rank_pattern", module, settings.get("r", 8))
    if wanted != rank:
        raise FormatError(
            f"{CONFIG} says that the rank of {module!r:.100} is {wanted!r:.40}; its factors have "
            f"{rank}"
        )
    return float(alpha) * (math.sqrt(rank) if settings.get("use_rslora") is True else 1.0)


def _of_module(settings: Mapping[str, Any], key: str, module: str, usual: Any) -> Any:
    """What a pattern says of a module: a name's end, or with ^ the whole name."""
    patterns = settings.get(key) or {}
    if not isinstance(patterns, dict):
        raise FormatError(f"{key} in {CONFIG} is {patterns!r:.60}; an object is right")
    for pattern, value in patterns.items():
        if not _PLAIN.fullmatch(pattern):
            raise UnsupportedError(f"{key} in {CONFIG} has {pattern!r:.60}; names run here")
        whole = pattern.removeprefix("^")
        if module == whole or (whole == pattern and module.endswith(f".{whole}")):
            return value
    return usual


def _values(stored: Stored) -> Floats:
    values = stored.floats(stored.map())
    check_finite(stored.name, values, 0)
    return values


def write_peft(
    source: str | os.PathLike[str],
    folder: str | os.PathLike[str],
    base: str | os.PathLike[str],
) -> ConvertedAdapter:
    """Write the adapter in the GGUF file `source`, for the model at `base`, as a folder of PEFT's.

    Raises FormatError and UnsupportedError for what is no adapter or is for another model;
    OptionError where the folder has something in it; OSError.
    """
    file, of, folder = read_adapter(source), Base.of(base), Path(folder)
    if file.architecture != of.kind.architecture:
        raise FormatError(
            f"the adapter is for the architecture {file.architecture!r:.40}; {of.name!r} is "
            f"{of.kind.architecture!r}"
        )
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise OptionError(f"{str(folder)!r} has something in it; give an empty or a new folder")
    tensors: dict[str, Floats] = {}
    ranks: dict[str, int] = {}
    for name, pair, up in _whole(file, of.kind):
        stored = of.kind.stored_name(name)
        if stored is None:
            raise UnsupportedError(
                f"the adapter changes {name!r}, which has no name of PEFT's here"
            )
        module = stored.removesuffix(".weight")
        down, up = _decoded(file, pair.down), up / of.factors(name, len(up))
        order, columns = of.rows(name, len(up), name + A), of.columns(name, down.shape[1])
        ranks[module] = pair.rank
        down = down if columns is None else down[:, np.argsort(columns)]
        tensors[f"{PREFIX}{module}.lora_A.weight"] = down
        tensors[f"{PREFIX}{module}.lora_B.weight"] = up if order is None else up[np.argsort(order)]
    folder.mkdir(parents=True, exist_ok=True)
    config = _config(file, of, ranks)
    (folder / CONFIG).write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
    (folder / WEIGHTS).write_bytes(_safetensors(tensors))
    return ConvertedAdapter(file.architecture, len(ranks), file.rank)


def _whole(file: AdapterFile, kind: Kind) -> Iterator[tuple[str, Pair, Floats]]:
    """Names of matrices, what adapts them, and B; matrices that are one in a folder as that one.
    Raises UnsupportedError where two of them do not share A."""
    found: dict[str, list[tuple[str, Pair]]] = {}
    for name, pair in file.pairs.items():
        base = name.removesuffix(".weight").rpartition(".")[2]
        whole = next((one for one, halves in kind.halves.items() if base in halves), base)
        found.setdefault(name.replace(base, whole), []).append((name, pair))
    for name, parts in found.items():
        base = name.removesuffix(".weight").rpartition(".")[2]
        wanted = [name.replace(base, part) for part in kind.halves.get(base, (base,))]
        downs = [_decoded(file, pair.down) for _, pair in parts]
        same = all(np.array_equal(downs[0], down) for down in downs)
        ups = {own: _decoded(file, pair.up) for own, pair in parts}
        if ups.keys() != set(wanted) or not same:
            raise UnsupportedError(
                f"the adapter changes {parts[0][0]!r:.80}, in PEFT's words a part of {name!r:.80}: "
                f"{' and '.join(wanted)} with one A are right"
            )
        yield name, parts[0][1], np.concatenate([ups[own] for own in wanted])


def _decoded(file: AdapterFile, tensor: TensorInfo) -> Floats:
    raw = memoryview(file.data)[tensor.offset : tensor.offset + tensor.nbytes]
    values = dequantize(raw, tensor.type, tensor.shape)
    check_finite(tensor.name, values, 0)
    return values


def _config(file: AdapterFile, base: Base, ranks: Mapping[str, int]) -> dict[str, Any]:
    ((rank, _),) = Counter(ranks.values()).most_common(1)
    others = {module: own for module, own in ranks.items() if own != rank}
    # Without an alpha in the file, the factor is 1 whatever the rank.
    alphas = {} if file.alpha else others
    return {
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM",
        "base_model_name_or_path": base.name,
        "inference_mode": True,
        "r": rank,
        "lora_alpha": file.alpha or rank,
        "lora_dropout": 0.0,
        "bias": "none",
        "fan_in_fan_out": bool(base.kind.transposed),
        "use_rslora": False,
        "target_modules": sorted({module.rpartition(".")[2] for module in ranks}),
        "rank_pattern": {f"^{module}": own for module, own in others.items()},
        "alpha_pattern": {f"^{module}": own for module, own in alphas.items()},
    }


def _safetensors(tensors: Mapping[str, NDArray[np.float32]]) -> bytes:
    """The bytes of a safetensors file of float32 tensors."""
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    parts, at = [], 0
    for name, values in tensors.items():
        parts.append(np.ascontiguousarray(values, dtype="<f4").tobytes())
        end = at + len(parts[-1])
        header[name] = {"dtype": "F32", "shape": list(values.shape), "data_offsets": [at, end]}
        at = end
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    return struct.pack("<Q", len(text)) + text + b"".join(parts)
