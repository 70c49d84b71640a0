"""Checkpoints of nanoGPT and their vocabularies that lie: pickles, tensors, archives; converted."""

from __future__ import annotations

import dataclasses
import functools
import random
import struct
import zipfile
from pathlib import Path
from typing import Any

from tests.fuzz.fuzz_gguf import NUMBERS
from tests.fuzz.kinds import Case, mutate_bytes, outcome, put
from tests.nanogpt_files import Ordered, Placed, archive, dumped, meta, parts, weights
from thimble.convert.nanogpt import convert_nanogpt
from thimble.errors import ThimbleError
from thimble.gguf import read_file_header

Parts = tuple[dict[str, Any], dict[str, bytes]]

TYPES = ("FloatStorage", "HalfStorage", "DoubleStorage", "LongStorage", "../../x", "device")
OPCODES = b"()[]{}N.0123cRbQstuaelijoqrhJKMGX\x80\x81\x85\x86\x87\x88\x89\x8a\x8c\x93\x94\x95"
"""Instructions of pickles, of those that we read and others."""


@functools.cache
def seeds() -> tuple[Parts, ...]:
    """With biases, without, and as torch.compile names them."""
    return tuple(
        parts(weights(bias=bias, prefix=prefix, n_vocab=12))
        for bias, prefix in ((False, ""), (True, ""), (True, "_orig_mod."))
    )


CHARACTERS = "\n abcdefghé🐉"


@functools.cache
def good() -> tuple[Case, ...]:
    """The same as files."""
    metas = (meta(CHARACTERS), meta(CHARACTERS, 2), meta(CHARACTERS[:-2], 5))
    return tuple(
        {"ckpt.pt": archive(dumped(tree), storages), "meta.pkl": vocabulary}
        for (tree, storages), vocabulary in zip(seeds(), metas, strict=True)
    )


def make(rng: random.Random) -> Case:
    """Change what is said of a tensor, the instructions of a pickle, numbers of the archive's list,
    or bytes anywhere."""
    at = rng.randrange(len(seeds()))
    case = dict(good()[at])
    what = rng.random()
    if what < 0.3:
        tree, storages = seeds()[at]
        case["ckpt.pt"] = archive(dumped(_another_tensor(rng, tree)), storages)
    elif what < 0.6:
        tree, storages = seeds()[at]
        case["ckpt.pt"] = archive(_other_instructions(rng, dumped(tree)), storages)
    elif what < 0.8:
        case["ckpt.pt"] = _another_list(rng, case["ckpt.pt"])
    elif what < 0.85:
        tree, storages = seeds()[at]
        case["ckpt.pt"] = archive(dumped(tree), storages, zipfile.ZIP_DEFLATED)
    elif what < 0.9:
        case["ckpt.pt"] = mutate_bytes(rng, case["ckpt.pt"])
    if what > 0.85 or rng.random() < 0.1:
        case["meta.pkl"] = _other_instructions(rng, case["meta.pkl"])
    return case


def _another_tensor(rng: random.Random, tree: dict[str, Any]) -> dict[str, Any]:
    """A tree with other numbers in a tensor or among the sizes."""
    model = dict(tree["model"].items)
    sizes = dict(tree["model_args"])
    name = rng.choice(list(model))
    old: Placed = model[name]
    number = rng.choice((*NUMBERS, -1, old.count + 1, old.count * 2, 10**30, rng.randrange(200)))
    what = rng.randrange(7)
    sides = list(old.shape)
    sides[rng.randrange(len(sides))] = number
    if what == 0:
        sizes[rng.choice(list(sizes))] = number
    elif what == 1:
        del model[name]
    elif what == 2:
        model[name] = dataclasses.replace(old, kind=rng.choice(TYPES))
    elif what == 3:
        model[name] = dataclasses.replace(old, shape=tuple(sides))
    elif what == 4:
        model[name] = dataclasses.replace(old, strides=tuple(sides))
    elif what == 5:
        model[name] = dataclasses.replace(old, offset=number)
    else:
        key = rng.choice(("0", "1", "x", "", "../0", str(number)))
        model[name] = dataclasses.replace(old, key=key, count=rng.choice((old.count, number)))
    return {**tree, "model": Ordered(model), "model_args": sizes}


def _other_instructions(rng: random.Random, data: bytes) -> bytes:
    """A pickle with bytes exchanged, mostly for those that are instructions."""
    if rng.random() < 0.3:
        return mutate_bytes(rng, data)
    found = bytearray(data)
    for _ in range(rng.choice((1, 1, 2, 5))):
        at = rng.randrange(len(found))
        if rng.random() < 0.5:
            found[at] = rng.choice(OPCODES)
        else:
            found[at:at] = bytes(rng.choices(OPCODES, k=rng.choice((1, 2, 30))))
    return bytes(found)


def _another_list(rng: random.Random, data: bytes) -> bytes:
    """An archive whose list of entries, or what ends it, has another number."""
    found = bytearray(data)
    places = [i for i in range(len(data) - 46) if data[i : i + 4] == b"PK\x01\x02"]
    number = rng.choice((*NUMBERS, len(data), rng.getrandbits(32), rng.randrange(len(data))))
    if rng.random() < 0.3:
        at, (offset, form) = len(data) - 22, rng.choice(((8, "H"), (12, "I"), (16, "I"), (20, "H")))
    else:
        at = rng.choice(places)
        offset, form = rng.choice((
            (8, "H"), (10, "H"), (20, "I"), (24, "I"), (28, "H"), (30, "H"), (32, "H"), (42, "I"),
        ))  # fmt: skip
    struct.pack_into(f"<{form}", found, at + offset, number % (1 << 16 if form == "H" else 1 << 32))
    return bytes(found)


def check(case: Case, scratch: Path) -> str:
    """Convert it, to a type that its size chooses."""
    put(case, scratch)
    kind = ("f16", "f32", "q8_0", "q4_k")[sum(map(len, case.values())) % 4]
    target = scratch / "out.gguf"
    try:
        convert_nanogpt(scratch / "ckpt.pt", scratch / "meta.pkl", target, kind)
        read_file_header(target)
        return "converted"
    except ThimbleError as error:
        assert not target.exists(), "half a file is left"
        return outcome(error)
