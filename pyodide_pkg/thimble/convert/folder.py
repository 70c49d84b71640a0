"""A folder of Hugging Face's (safetensors, config.json, tokenizer.json) as one GGUF file.

    convert_folder("SmolLM2-135M", "smollm2.gguf", "q8_0")

Rows stream from the files to the file: a tensor is mapped, not read, and some rows at a time are
brought into their order, rounded and written. So memory does not grow with the model.
"""

from __future__ import annotations

import functools
import os
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..architectures import EXACT, VECTORS
from ..errors import FormatError, UnsupportedError
from ..gguf import read_header
from ..gguf_writer import GGUFWriter
from ..kernel import Kernel, default_kernel
from ..model_config import config_from_header
from ..quantize import FILE_TYPES, QUANTIZATION_VERSION, type_named
from ..tensor_types import F32, TensorType
from .config import Settings, factors, keys, rope_factors
from .encode import Converted, check_finite, converted, encode, type_of
from .names import Kind
from .safetensors import Floats, Stored, read_folder, read_json
from .tokenizer_json import tokenizer_keys
from .value_heads import ValueHeads

PIECE = 1 << 18
"""Values that are on their way at a time, unless one row has more."""

Progress = Callable[[int, int], None]
"""Called with values done and values in all."""
_NOTHING: Mapping[str, Any] = {}
Rows = Callable[[int, int], Floats]
"""Gives the rows from a first to before a last one."""


@dataclass(frozen=True, slots=True)
class Planned:
    """A tensor of the new file."""

    name: str
    stored: Stored
    shape: tuple[int, ...]
    type: TensorType
    experts: tuple[Stored, ...] = ()
    """What it is made of, where it holds several of them."""
    half: int | None = None
    """Which half of each expert's rows it has, 0 or 1, where the stored tensor has both."""


def convert_folder(
    folder: str | os.PathLike[str],
    target: str | os.PathLike[str],
    type: str = "f16",
    progress: Progress | None = None,
    *,
    kernel: Kernel | None = None,
) -> Converted:
    """Write the model in `folder` to `target`, its matrices as `type`: f32, f16, bf16, q8_0, q6_k,
    q4_k or q4_0.

    `target` appears whole or not at all. Raises OptionError for another type, FormatError for a
    folder that is damaged or lacks a file, UnsupportedError for a model that does not run here,
    NumericError for a weight that is not finite or too large for `type`; OSError.
    """
    wanted = type_named(type)
    folder = Path(folder)
    if not folder.is_dir():
        raise FormatError(f"{str(folder)!r} is no folder; a folder with config.json is right")
    settings = Settings(read_json(folder / "config.json"))
    return write_model(
        target,
        wanted,
        name=folder.resolve().name,
        settings=settings,
        found=read_folder(folder) | _dense_layers(folder),
        tokenizer=functools.partial(tokenizer_keys, folder),
        made={n: np.array(f, dtype="<f4") for n, f in rope_factors(settings).items()},
        more=_pooling(folder) if not settings.arch.causal else {},
        progress=progress,
        kernel=kernel,
    )


def _pooling(folder: Path) -> dict[str, int]:
    """The key of how sentence-transformers makes a vector of positions, where the folder says so.
    Raises UnsupportedError for another way than the mean or the first position."""
    for place in sorted(folder.glob("*_Pooling")):
        config = read_json(place / "config.json")
        asked = {n for n, on in config.items() if n.startswith("pooling_mode_") and on is True}
        known = {"pooling_mode_mean_tokens": 1, "pooling_mode_cls_token": 2}
        if len(asked) != 1 or not asked <= set(known):
            raise UnsupportedError(
                f"{place.name}/config.json pools by {', '.join(sorted(asked)) or 'nothing':.80}; "
                f"{' or '.join(known)} runs here"
            )
        return {"pooling_type": known[asked.pop()]}
    return {}


def _dense_layers(folder: Path) -> dict[str, Stored]:
    """What a folder of sentence-transformers has behind the model. Raises UnsupportedError for a
    layer that is more than a matrix."""
    found: dict[str, Stored] = {}
    for place in sorted(folder.glob("*_Dense")):
        function = read_json(place / "config.json").get("activation_function", "Identity")
        if not str(function).endswith("Identity"):
            raise UnsupportedError(
                f"{place.name}/config.json has the activation_function {function!r:.60}; "
                "torch.nn.modules.linear.Identity runs here"
            )
        for name, stored in read_folder(place).items():
            own = f"{place.name}.{name}"
            found[own] = replace(stored, name=own)
    return found


def write_model(
    target: str | os.PathLike[str],
    wanted: TensorType,
    *,
    name: str,
    settings: Settings,
    found: Mapping[str, Stored],
    tokenizer: Callable[[int], Mapping[str, Any]],
    made: Mapping[str, Floats],
    more: Mapping[str, Any] = _NOTHING,
    progress: Progress | None = None,
    kernel: Kernel | None = None,
) -> Converted:
    """Write a model called `name`: the tensors that were `found`, by their names there, and vectors
    that are `made`, by GGUF's. `tokenizer` gives its keys for so many rows of an embedding; `more`
    are keys of the architecture. Errors are those of `convert_folder`."""
    plan = _plan(settings, found, wanted)
    writer = GGUFWriter()
    _add_keys(writer, name, settings, plan, wanted, more)
    for key, value in tokenizer(_n_rows(plan, name)).items():
        writer.add(key, value, type="string" if value == [] else None)
    for tensor, values in made.items():
        writer.add_tensor(tensor, values.shape, F32, values)
    tally = _Tally(progress, sum(_count(p.shape) for p in plan))
    for planned in plan:
        rows = functools.partial(_encoded, kernel or default_kernel(), settings, planned, tally)
        writer.add_tensor(planned.name, planned.shape, planned.type, rows)
    config_from_header(read_header(writer.header(), file_size=None))  # before the work, not after
    writer.write(target)
    return converted(settings.arch.name, wanted, {p.name: (p.shape, p.type) for p in plan}, target)


def _plan(settings: Settings, found: Mapping[str, Stored], wanted: TensorType) -> list[Planned]:
    """What becomes of each tensor. Raises UnsupportedError for one that nobody knows, FormatError
    where the output matrix is missing that config.json promises."""
    named = _named(settings, found)
    scaled = factors(settings)
    if settings.tied:
        # Of the two names of one matrix, either may be the one that was written.
        output = named.pop("output.weight", None)
        if output is not None:
            named.setdefault("token_embd.weight", output)
        if scaled.get("output") != scaled.get("token_embd"):
            named["output.weight"] = named["token_embd.weight"]
    elif "output.weight" not in named and "token_embd.weight" in named:
        raise FormatError(
            "the folder has no output matrix (lm_head.weight or the like), and config.json does "
            "not say that it is the embedding's: tie_word_embeddings is not true"
        )
    plan: dict[str, Planned] = {}
    for name, stored in named.items():
        shape = stored.shape
        if _is_one_of(name, settings.kind.transposed) and len(shape) == 2:
            shape = (shape[1], shape[0])
        if name.endswith(EXACT) and len(shape) == 3 and shape[1] == 1:
            shape = (shape[0], shape[2])
        if name.endswith(VECTORS) and len(shape) == 1 and not settings.arch.delta:
            shape = (1, *shape) if name.endswith("norm.weight") else (*shape, 1)
        if name == "position_embd.weight" and len(shape) == 2:
            shape = (max(shape[0] - settings.first_position, 0), shape[1])
        base = name.removesuffix(".weight").rpartition(".")[2]
        for half, part in enumerate(settings.kind.halves.get(base, ())):
            own = name.replace(base, part)
            plan[own] = _half(own, stored, half, wanted)
        if base not in settings.kind.halves:
            plan[name] = Planned(name, stored, shape, _type_of(name, shape, wanted))
    return sorted(_stacked(plan, wanted).values(), key=_place)


def _half(name: str, stored: Stored, half: int, wanted: TensorType) -> Planned:
    """One of two matrices that lie one below the other, or do so in each expert."""
    if len(stored.shape) not in (2, 3) or stored.shape[-2] % 2:
        raise FormatError(
            f"tensor {stored.name!r:.100} has the shape {stored.shape}; an even number of rows for "
            "each expert is right"
        )
    shape = (*stored.shape[:-2], stored.shape[-2] // 2, stored.shape[-1])
    return Planned(name, stored, shape, _type_of(name, shape, wanted), half=half)


def _stacked(plan: dict[str, Planned], wanted: TensorType) -> dict[str, Planned]:
    """The same with the tensors of all experts as one."""
    found, experts = {}, dict[str, dict[int, Planned]]()
    for name, planned in plan.items():
        base, _, number = name.rpartition(".")
        if number.isdigit():
            experts.setdefault(base, {})[int(number)] = planned
        else:
            found[name] = planned
    for name, parts in experts.items():
        shapes = {planned.shape for planned in parts.values()}
        if set(parts) != set(range(len(parts))) or len(shapes) != 1:
            raise FormatError(
                f"the experts of {parts[min(parts)].stored.name!r:.100} are numbers "
                f"{sorted(parts)!r:.60} of the shapes {sorted(shapes)!r:.60}; all from 0 on, of "
                "one shape, are right"
            )
        stored = tuple(parts[i].stored for i in range(len(parts)))
        shape = (len(parts), *shapes.pop())
        found[name] = Planned(name, stored[0], shape, _type_of(name, shape, wanted), stored)
    return found


def _named(settings: Settings, found: Mapping[str, Stored]) -> dict[str, Stored]:
    """The tensors by their new names. One without values counts as missing: an output matrix that
    is the embedding's may be written so, and other matrices by a save that went wrong."""
    named: dict[str, Stored] = {}
    for stored in found.values():
        name = settings.kind.name_of(stored.name)
        empty = 0 in stored.shape
        if name is None:
            if empty or re.fullmatch(settings.kind.ignored, stored.name):
                continue
            raise UnsupportedError(
                f"the tensor {stored.name!r:.100} is not known in {settings.model_type} models"
            )
        if empty and not (name == "output.weight" and settings.tied):
            raise FormatError(
                f"tensor {stored.name!r:.100} has the shape {stored.shape}: it was saved without "
                "its values, as a part of a model that lay on several machines may be"
            )
        if not empty:
            named[name] = stored
    return named


def _place(planned: Planned) -> tuple[int, str]:
    """Layers in their order, behind what there is once."""
    parts = planned.name.split(".")
    return (int(parts[1]) if parts[0] == "blk" else -1, planned.name)


def _type_of(name: str, shape: tuple[int, ...], wanted: TensorType) -> TensorType:
    exact = name in ("position_embd.weight", "token_types.weight") or name.endswith(EXACT)
    return F32 if exact else type_of(shape, wanted)


def _is_one_of(name: str, tensors: tuple[str, ...]) -> bool:
    return name.rpartition(".")[0].rpartition(".")[2] in tensors


def _n_rows(plan: list[Planned], name: str) -> int:
    """How many tokens the embedding has."""
    embedding = next((p for p in plan if p.name == "token_embd.weight"), None)
    if embedding is None or len(embedding.shape) != 2:
        raise FormatError(f"{name!r} has no embedding of its tokens")
    return embedding.shape[0]


def _add_keys(
    writer: GGUFWriter,
    name: str,
    settings: Settings,
    plan: list[Planned],
    wanted: TensorType,
    more: Mapping[str, Any],
) -> None:
    architecture = settings.arch.name
    writer.add("general.architecture", architecture)
    writer.add("general.name", name)
    writer.add("general.file_type", FILE_TYPES[wanted])
    writer.add("general.quantization_version", QUANTIZATION_VERSION)
    dense = {f"{p.name[:7]}_feat_out": p.shape[0] for p in plan if p.name.startswith("dense_")}
    dense |= {f"{p.name[:7]}_feat_in": p.shape[1] for p in plan if p.name.startswith("dense_")}
    for key, value in {**keys(settings), **dense, **more}.items():
        writer.add(f"{architecture}.{key}", value)
    writer.add(f"{architecture}.vocab_size", _n_rows(plan, name))
    for types in (p.shape[0] for p in plan if p.name == "token_types.weight"):
        writer.add("tokenizer.ggml.token_type_count", types)


class _Tally:
    """Counts values for a progress callback."""

    def __init__(self, progress: Progress | None, total: int) -> None:
        self._progress, self._total, self._done = progress, total, 0

    def add(self, n: int) -> None:
        self._done += n
        if self._progress:
            self._progress(self._done, self._total)


def _encoded(
    kernel: Kernel, settings: Settings, planned: Planned, tally: _Tally
) -> Iterator[bytes | memoryview]:
    """A tensor's bytes in the new file, some rows at a time."""
    rows = _rows(settings, planned)
    height = planned.shape[0]
    width = _count(planned.shape) // max(height, 1)
    step = max(1, PIECE // max(width, 1))
    for first in range(0, height, step):
        values = np.ascontiguousarray(rows(first, min(first + step, height)), dtype="<f4")
        check_finite(planned.stored.name, values, first)
        yield encode(kernel, planned.stored.name, planned.type, values)
        tally.add(values.size)


def _rows(settings: Settings, planned: Planned) -> Rows:
    """How a tensor's rows are read, times what config.json multiplies their results by."""
    rows, base = _stored_rows(settings, planned), planned.name.removesuffix(".weight")
    factor = factors(settings).get(base.rpartition(".")[2])
    if factor is None or planned.name.endswith(".bias"):
        return rows
    each = np.concatenate([np.full(n or planned.shape[0], f, dtype="<f4") for n, f in factor])
    return lambda first, last: rows(first, last) * each[first:last, None]


def _stored_rows(settings: Settings, planned: Planned) -> Rows:
    """The same in the order and with the values of the new file."""
    kind, stored = settings.kind, planned.stored
    if planned.experts:
        experts = planned.experts
        return lambda first, last: np.stack([e.floats(e.map()) for e in experts[first:last]])
    mapped = stored.map()
    if planned.half is not None:
        height = planned.shape[-2]
        rows = slice(planned.half * height, (planned.half + 1) * height)
        mapped = mapped[..., rows, :]
    if planned.name == "position_embd.weight":
        mapped = mapped[settings.first_position :]
    if planned.name.endswith(VECTORS):
        mapped = mapped.reshape(planned.shape)
    order = _order(settings, planned)
    if planned.name.endswith("ssm_a"):
        mapped = mapped if order is None else mapped[order]
        return lambda first, last: -np.exp(stored.floats(mapped[first:last]))
    if _is_one_of(planned.name, kind.transposed) and len(planned.shape) == 2:
        return lambda first, last: stored.floats(mapped[:, first:last].T)
    if order is not None:
        return lambda first, last: stored.floats(mapped[order[first:last]])
    columns = _columns(settings, planned)
    if columns is not None:
        return lambda first, last: stored.floats(mapped[first:last, columns])
    raised = kind.raised_norms and not planned.name.endswith(VECTORS)
    if raised and planned.name.endswith("norm.weight"):
        return lambda first, last: _raised(stored.floats(mapped[first:last]))
    return lambda first, last: stored.floats(mapped[first:last])


def _raised(values: Floats) -> Floats:
    with np.errstate(invalid="ignore"):  # whoever takes them looks
        return values + np.float32(1)


def _order(settings: Settings, planned: Planned) -> NDArray[Any] | None:
    """Which stored row each row is; None where it is the same."""
    heads = settings.n_heads, settings.n_kv_heads
    values = ValueHeads.of_settings(settings)
    found = values.rows(_base(planned.name)) if values else None
    if found is not None:
        return found
    return row_order(settings.kind, planned.name, planned.shape[0], heads, planned.stored.name)


def _columns(settings: Settings, planned: Planned) -> NDArray[Any] | None:
    """Which stored column each column is; None where it is the same."""
    values = ValueHeads.of_settings(settings)
    return values.columns(_base(planned.name)) if values else None


def _base(name: str) -> str:
    """A tensor's name without its layer and what it is in it."""
    return name.removesuffix(".weight").removesuffix(".bias").rpartition(".")[2]


def row_order(
    kind: Kind, name: str, height: int, heads: tuple[int, int], stored: str
) -> NDArray[Any] | None:
    """Which stored row each row of a matrix of `height` rows is, called `name` in a GGUF file and
    `stored` where it comes from; `heads` are those of queries and of keys. None where the order is
    the same. Raises FormatError where the rows are no whole heads."""
    if _is_one_of(name, kind.interleaved):
        shape, turn = (heads[0] if ".attn_q." in name else heads[1], 2, -1), (0, 2, 1)
    elif _is_one_of(name, kind.by_heads):
        shape, turn = (heads[0], 3, -1), (1, 0, 2)
    else:
        return None
    if height % (shape[0] * shape[1]):
        raise FormatError(
            f"tensor {stored!r} has {height} rows, which are no whole heads of {shape[0]}"
        )
    return np.arange(height).reshape(shape).transpose(turn).reshape(-1)


def _count(shape: tuple[int, ...]) -> int:
    n = 1
    for width in shape:
        n *= width
    return n
