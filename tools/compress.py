"""Precompressed copies: what a server sends instead of a file, made once and at full strength.

Brotli at quality 11 takes seconds a megabyte, so results are cached in `build/cache/`, and
a site that is only looked at on this machine (`quick`) has its large files packed less tightly.
"""

from __future__ import annotations

import gzip
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import brotli

from tools.fingerprint import BUILD, digest_bytes

CACHE = BUILD / "cache"

SMALLEST = 1024
"""Below this a response is one packet anyway."""
WORTH = 0.95
"""A copy that is not at least this much smaller costs more to keep than it saves."""


QUICK_FROM = 1 << 20
QUICK_QUALITY = 9


def _brotli(data: bytes, quality: int = 11) -> bytes:
    made: bytes = brotli.compress(data, quality=quality, lgwin=24)
    return made


def _quick_brotli(data: bytes) -> bytes:
    return _brotli(data, QUICK_QUALITY)


def _gzip(data: bytes) -> bytes:
    return gzip.compress(data, compresslevel=9, mtime=0)


CODINGS: dict[str, Callable[[bytes], bytes]] = {".br": _brotli, ".gz": _gzip}


def compress_tree(folder: Path, *, quick: bool = False) -> None:
    """Write the copies of every file below `folder` beside it."""
    files = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    # Both compressors release the interpreter's lock.
    with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        largest_first = sorted(files, key=lambda path: -path.stat().st_size)
        list(pool.map(lambda path: _compress_file(path, quick), largest_first))


def _compress_file(path: Path, quick: bool) -> None:
    data = path.read_bytes()
    if len(data) < SMALLEST:
        return
    name = digest_bytes(data)
    for suffix, coding in CODINGS.items():
        cached = name + suffix
        if quick and suffix == ".br" and len(data) >= QUICK_FROM and not (CACHE / cached).exists():
            cached, coding = f"{name}.quick{suffix}", _quick_brotli
        packed = _cached(cached, data, coding)
        if packed:
            path.with_name(path.name + suffix).write_bytes(packed)


def _cached(name: str, data: bytes, coding: Callable[[bytes], bytes]) -> bytes:
    """The compressed bytes, or nothing where they are not worth having."""
    cached = CACHE / name
    if not cached.is_file():
        packed = coding(data)
        CACHE.mkdir(parents=True, exist_ok=True)
        fresh = cached.with_name(f"{name}.{os.getpid()}")
        fresh.write_bytes(packed if len(packed) <= WORTH * len(data) else b"")
        os.replace(fresh, cached)
    return cached.read_bytes()


def transfer_size(path: Path) -> int:
    """What a browser that knows brotli receives for this file."""
    packed = path.with_name(path.name + ".br")
    return (packed if packed.is_file() else path).stat().st_size
