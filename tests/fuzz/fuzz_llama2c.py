"""Models of llama2.c, all three versions, with their tokenizers, that lie: converted."""

from __future__ import annotations

import functools
import random
import struct
from pathlib import Path

import numpy as np

from tests.fuzz.fuzz_gguf import NUMBERS
from tests.fuzz.kinds import Case, mutate_bytes, outcome, put
from thimble.convert.llama2c import HEADER, MAGIC, Shape, _order, convert_llama2c
from thimble.errors import ThimbleError
from thimble.gguf import read_file_header

TOKENS = ["<unk>", "\n<s>\n", "\n</s>\n", "<0x0A>", " ", *"abcdefghij", "ab", " abc"]


@functools.cache
def seeds() -> tuple[Case, ...]:
    """Every version with its output matrix and without."""
    tokens = struct.pack("<i", 6) + b"".join(
        struct.pack("<fi", -float(i), len(token)) + token.encode() for i, token in enumerate(TOKENS)
    )
    return tuple(
        {"model.bin": _model(version, tied), "tok.bin": tokens}
        for version in range(3)
        for tied in (False, True)
    )


def _model(version: int, tied: bool) -> bytes:
    group = 16 if version == 2 else 0
    shape = Shape(version, 32, 32, 2, 4, 2, len(TOKENS), 8, tied, group)
    signed = -len(TOKENS) if version == 0 and not tied else len(TOKENS)
    head = struct.pack("<7i", 32, 32, 2, 4, 2, signed, 8)
    if version:
        head = struct.pack("<Ii", MAGIC, version) + head + bytes([tied])
        head += struct.pack("<i", group) if group else b""
        head = head.ljust(HEADER, b"\0")
    rng = np.random.default_rng(version)
    parts = [head]
    for _, height, width, layers, quantized in _order(shape):
        for _ in range(max(layers, 1)):
            n = height * width
            if quantized:
                parts.append(rng.integers(-127, 128, n, dtype=np.int8).tobytes())
                n //= group
            parts.append(rng.normal(0, 0.05, n).astype("<f4").tobytes())
    return b"".join(parts)


def make(rng: random.Random) -> Case:
    """Change numbers of the header, lengths of tokens, or bytes anywhere."""
    case = dict(rng.choice(seeds()))
    if rng.random() < 0.65:
        data = bytearray(case["model.bin"])
        versioned = data[:4] == struct.pack("<I", MAGIC)
        for _ in range(rng.choice((1, 1, 2, 3))):
            at = rng.randrange(41 if versioned else 28) // 4 * 4 + (rng.random() < 0.1)
            (old,) = struct.unpack_from("<i", data, at)
            new = rng.choice((
                rng.choice(NUMBERS), -old, old + rng.choice((-1, 1, 4)), old * 2, old // 2,
                rng.randrange(64), len(data), rng.getrandbits(32),
            ))  # fmt: skip
            struct.pack_into("<I", data, at, new % (1 << 32))
        case["model.bin"] = bytes(data)
    elif rng.random() < 0.5:
        case["model.bin"] = mutate_bytes(rng, case["model.bin"])
    if rng.random() < 0.4:
        data = bytearray(case["tok.bin"])
        if rng.random() < 0.5:
            # The length of a token: they follow one another, so it is found by walking.
            at, last = 4, rng.randrange(len(TOKENS))
            for token in TOKENS[:last]:
                at += 8 + len(token)
            struct.pack_into("<I", data, at + 4, rng.choice(NUMBERS) % (1 << 32))
            case["tok.bin"] = bytes(data)
        else:
            case["tok.bin"] = mutate_bytes(rng, bytes(data))
    return case


def check(case: Case, scratch: Path) -> str:
    """Convert it, to a type that its size chooses."""
    put(case, scratch)
    kind = ("f16", "f32", "q8_0", "q4_0")[sum(map(len, case.values())) % 4]
    target = scratch / "out.gguf"
    try:
        convert_llama2c(scratch / "model.bin", scratch / "tok.bin", target, kind)
        read_file_header(target)
        return "converted"
    except ThimbleError as error:
        assert not target.exists(), "half a file is left"
        return outcome(error)
