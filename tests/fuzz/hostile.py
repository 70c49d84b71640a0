"""Hostile GGUF files by name, each with the error that is right for it and a word of its message.

    @pytest.mark.parametrize("name", HOSTILE)
    def test_it(name): data, error, words = HOSTILE[name]

Each is a small good file with one lie. The files are complete: `file_size` is their length.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable
from typing import Any

from thimble.errors import FormatError, ThimbleError, UnsupportedError
from thimble.gguf_writer import GGUFWriter
from thimble.tensor_types import F32, Q8_0

U32, STRING, ARRAY = 4, 8, 9
HUGE = (1 << 64) - 1

Tensor = tuple[str, Iterable[int], int, int]


def string(text: str | bytes, length: int | None = None) -> bytes:
    raw = text.encode() if isinstance(text, str) else text
    return struct.pack("<Q", len(raw) if length is None else length) + raw


def pair(key: str | bytes, kind: int, value: bytes) -> bytes:
    return string(key) + struct.pack("<I", kind) + value


def tensor(name: str | bytes, ne: Iterable[int], kind: int, offset: int) -> bytes:
    """Describe a tensor; `ne` has the row's length first, as in the file."""
    ne = list(ne)
    return string(name) + struct.pack(f"<I{len(ne)}QIQ", len(ne), *ne, kind, offset)


def build(
    pairs: Iterable[bytes] = (),
    tensors: Iterable[bytes] = (),
    *,
    magic: bytes = b"GGUF",
    version: int = 3,
    n_pairs: int | None = None,
    n_tensors: int | None = None,
    data: int = 256,
) -> bytes:
    """Put a file together, with `data` zero bytes behind the padded header."""
    pairs, tensors = list(pairs), list(tensors)
    counts = (
        len(tensors) if n_tensors is None else n_tensors,
        len(pairs) if n_pairs is None else n_pairs,
    )
    head = magic + struct.pack("<IQQ", version, *counts) + b"".join(pairs) + b"".join(tensors)
    return head + bytes(-len(head) % 32) + bytes(data)


def good() -> bytes:
    """Return a small good file with every value type and two tensors."""
    writer = GGUFWriter()
    writer.add("general.architecture", "llama")
    for i, kind in enumerate(("uint8", "int8", "uint16", "int16", "uint32", "int32", "float32",
                              "uint64", "int64", "float64")):  # fmt: skip
        writer.add(f"one.{kind}", i, type=kind)
        writer.add(f"many.{kind}", [i, 0, 1], type=kind)
    writer.add("one.bool", True)
    writer.add("many.bool", [True, False])
    writer.add("one.string", "naïve ▁")
    writer.add("many.string", ["a", "", "ü"])
    writer.add_tensor("a.weight", (2, 32), F32, bytes(range(256)))
    writer.add_tensor("b.weight", (3, 32), Q8_0, bytes(102))
    return writer.to_bytes()


def nested(depth: int) -> bytes:
    """Return an array of arrays of arrays."""
    return struct.pack("<IQ", ARRAY, 1) * (depth - 1) + struct.pack("<IQ", U32, 1) + bytes(4)


def array(kind: int, n: int, elements: bytes = b"") -> bytes:
    return struct.pack("<IQ", kind, n) + elements


_A = tensor("a", (32, 2), 0, 0)

HOSTILE: dict[str, tuple[bytes, type[ThimbleError], str]] = {
    "empty": (b"", FormatError, "truncated"),
    "magic only": (b"GGUF", FormatError, "truncated"),
    "wrong magic": (build(magic=b"PK\3\4"), FormatError, "not a GGUF file"),
    "GGML's older format": (build(magic=b"lmgg"), FormatError, "GGML"),
    "version 0": (build(version=0), UnsupportedError, "version 0"),
    "version 1": (build(version=1), UnsupportedError, "version 1"),
    "version 4": (build(version=4), UnsupportedError, "version 4"),
    "big-endian": (build(version=3 << 24), UnsupportedError, "big-endian"),
    "a billion tensors": (build(n_tensors=10**9), FormatError, "1000000000 tensors"),
    "2^64-1 tensors": (build(n_tensors=HUGE), FormatError, "tensors"),
    "a billion keys": (build(n_pairs=10**9), FormatError, "1000000000 key-value pairs"),
    "2^64-1 keys": (build(n_pairs=HUGE), FormatError, "key-value pairs"),
    "more keys than bytes": (build(n_pairs=16_000), FormatError, "16000 key-value pairs"),
    "more tensors than bytes": (build(n_tensors=16_000), FormatError, "16000 tensors"),
    "a key without end": (build([string("k", HUGE)]), FormatError, "key 0"),
    "an empty key": (build([pair("", U32, bytes(4))]), FormatError, "0 bytes"),
    "a key of 70,000 bytes": (build([pair("k" * 70_000, U32, bytes(4))]), FormatError, "70000"),
    "a key that is not UTF-8": (build([pair(b"\xff", U32, bytes(4))]), FormatError, "UTF-8"),
    "a key twice": (build([pair("k", U32, bytes(4))] * 2), FormatError, "'k' stands twice"),
    "value type 13": (build([pair("k", 13, bytes(8))]), FormatError, "value type 13"),
    "value type 2^32-1": (build([pair("k", HUGE >> 32, bytes(8))]), FormatError, "value type"),
    "a bool of 2": (build([pair("k", 7, b"\2")]), FormatError, "bool of 2"),
    "bools of 255": (build([pair("k", ARRAY, array(7, 2, b"\0\xff"))]), FormatError, "bool of 255"),
    "a string without end": (build([pair("k", STRING, string("x", HUGE))]), FormatError, "'k'"),
    "a string longer than the file": (
        build([pair("k", STRING, string("x", 4096))]), FormatError, "truncated"),
    "a string that is not UTF-8": (
        build([pair("k", STRING, string(b"ab\xc3("))]), FormatError, "UTF-8"),
    "an array of 2^64-1 bytes": (build([pair("k", ARRAY, array(0, HUGE))]), FormatError, "claims"),
    "an array of 2^61 doubles": (
        build([pair("k", ARRAY, array(12, 1 << 61))]), FormatError, "claims"),
    "an array of a billion strings": (
        build([pair("k", ARRAY, array(STRING, 10**9))]), FormatError, "claims 1000000000"),
    "an array longer than the file": (
        build([pair("k", ARRAY, array(U32, 1000))]), FormatError, "truncated"),
    "an array of value type 99": (
        build([pair("k", ARRAY, array(99, 1))]), FormatError, "value type 99"),
    "arrays in arrays": (build([pair("k", ARRAY, nested(5))]), FormatError, "deeper than 4"),
    "arrays in arrays, 20,000 deep": (
        build([pair("k", ARRAY, nested(20_000))]), FormatError, "deeper than 4"),
    "20,000 arrays in an array": (
        build([pair("k", ARRAY, array(ARRAY, 20_000, array(0, 0) * 20_000))]),
        FormatError, "at most 1024"),
    "arrays of a billion empty arrays": (
        build([pair("k", ARRAY, array(ARRAY, 10**9))]), FormatError, "claims 1000000000"),
    "alignment 0": (
        build([pair("general.alignment", U32, bytes(4))]), FormatError, "alignment is 0"),
    "alignment 3": (
        build([pair("general.alignment", U32, b"\3\0\0\0")]), FormatError, "alignment is 3"),
    "alignment 2^31": (
        build([pair("general.alignment", U32, b"\0\0\0\x80")]), FormatError, "alignment is 2147"),
    "alignment 'x'": (
        build([pair("general.alignment", STRING, string("x"))]), FormatError, "alignment is 'x'"),
    "alignment true": (
        build([pair("general.alignment", 7, b"\1")]), FormatError, "alignment is True"),
    "a tensor without name": (build([], [tensor("", (32,), 0, 0)]), FormatError, "0 bytes"),
    "a tensor name of 65 bytes": (
        build([], [tensor("n" * 65, (32,), 0, 0)]), FormatError, "65 bytes"),
    "a tensor twice": (build([], [_A, _A]), FormatError, "'a' stands twice"),
    "no dimensions": (build([], [tensor("a", (), 0, 0)]), FormatError, "0 dimensions"),
    "5 dimensions": (build([], [tensor("a", [1] * 5, 0, 0)]), FormatError, "5 dimensions"),
    "2^32-1 dimensions": (
        build([], [string("a") + b"\xff" * 4]), FormatError, "4294967295 dimensions"),
    "a dimension of 0": (build([], [tensor("a", (32, 0), 0, 0)]), FormatError, "(0, 32)"),
    "dimensions that overflow": (
        build([], [tensor("a", [1 << 32, 1 << 32], 0, 0)]), FormatError, "elements"),
    "dimensions that overflow to 0": (
        build([], [tensor("a", [1 << 16] * 4, 0, 0)]), FormatError, "elements"),
    "rows that are no blocks": (
        build([], [tensor("a", (48, 2), 8, 0)]), FormatError, "multiple of 32"),
    "a tensor type that is known": (
        build([], [tensor("a", (256, 2), 15, 0)]), UnsupportedError, "Q8_K"),
    "a tensor type that is not": (
        build([], [tensor("a", (32, 2), 77, 0)]), UnsupportedError, "unknown type, 77"),
    "a tensor type that was removed": (
        build([], [tensor("a", (32, 2), 4, 0)]), UnsupportedError, "unknown type, 4"),
    "an offset that is not aligned": (
        build([], [tensor("a", (32, 2), 0, 8)]), FormatError, "multiple of the alignment"),
    "an offset past the end": (build([], [tensor("a", (32, 2), 0, 1 << 20)]), FormatError, "ends"),
    "an offset of 2^64-32": (
        build([], [tensor("a", (32, 2), 0, HUGE - 31)]), FormatError, "file ends at byte"),
    "a size past the end": (build([], [tensor("a", (32, 3), 0, 0)]), FormatError, "ends at byte"),
    "a tensor of 2^40 values": (
        build([], [tensor("a", (1 << 20, 1 << 20), 0, 0)]), FormatError, "ends at byte"),
    "tensors that overlap": (
        build([], [_A, tensor("b", (32,), 0, 128)]), FormatError, "inside of tensor 'a'"),
    "tensors in the same place": (
        build([], [_A, tensor("b", (32, 2), 0, 0)]), FormatError, "inside of tensor"),
}  # fmt: skip


def truncated() -> Iterable[tuple[int, bytes]]:
    """Yield a good file cut at every byte."""
    data = good()
    for n in range(len(data)):
        yield n, data[:n]


def metadata_of_good() -> dict[str, Any]:
    """Return what a reader must find in `good()`."""
    found: dict[str, Any] = {"general.architecture": "llama"}
    for i, kind in enumerate(("uint8", "int8", "uint16", "int16", "uint32", "int32", "float32",
                              "uint64", "int64", "float64")):  # fmt: skip
        found |= {f"one.{kind}": i, f"many.{kind}": [i, 0, 1]}
    return found | {
        "one.bool": True,
        "many.bool": [True, False],
        "one.string": "naïve ▁",
        "many.string": ["a", "", "ü"],
    }
