"""What is kept of a run so that it goes on to the same bits: a checkpoint, as bytes.

    b"thimble checkpoint 1\\n", length of the header (uint32), header (JSON), float32 numbers,
    SHA-256 of all that

It knows the container, not what a trainer keeps in it. Reading one runs no code.
"""

from __future__ import annotations

import hashlib
import json
import struct
from collections.abc import Sequence
from typing import Any

from ..errors import FormatError
from ..json_text import parse_json

MAGIC = b"thimble checkpoint 1\n"
_HASH = 32


def pack(header: dict[str, Any], parts: Sequence[bytes]) -> bytes:
    """Return a checkpoint of a header and of parts, whose lengths the header tells by itself."""
    text = json.dumps(header, separators=(",", ":")).encode()
    data = b"".join((MAGIC, struct.pack("<I", len(text)), text, *parts))
    return data + hashlib.sha256(data).digest()


def unpack(data: bytes) -> tuple[dict[str, Any], memoryview]:
    """Return the header of a checkpoint and what lies behind it.

    Raises `FormatError` where it is none, or is damaged.
    """
    if not data.startswith(MAGIC):
        raise FormatError(f"this is no checkpoint: it begins with {bytes(data[:12])!r}")
    view = memoryview(data)
    start = len(MAGIC) + 4
    if len(data) < start + _HASH:
        raise FormatError(f"the checkpoint ends after {len(data)} bytes")
    if hashlib.sha256(view[:-_HASH]).digest() != data[-_HASH:]:
        raise FormatError("the checkpoint is damaged: its SHA-256 is not what it says")
    (length,) = struct.unpack_from("<I", data, len(MAGIC))
    if start + length > len(data) - _HASH:
        raise FormatError(f"the checkpoint's header of {length} bytes goes beyond its end")
    header = parse_json(bytes(view[start : start + length]), "the checkpoint's header")
    if not isinstance(header, dict):
        raise FormatError("the checkpoint's header is no object")
    return header, view[start + length : -_HASH]
