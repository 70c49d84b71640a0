"""The names of the kernels' functions, by the numbers that a profile of the shipped library shows.

The library is shipped without names, so it is linked once more with them; the numbers are the same
where the code is, which is checked.
"""

from __future__ import annotations

import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path
from unittest import mock

import build_kernels
from tools.fingerprint import BUILD

CUSTOM, CODE = 0, 10
FUNCTION_NAMES = 1
"""The part of the custom section "name" that is about functions."""
LIBRARY = "_kernels_relaxed.wasm"
"""The variant that Chromium takes."""


class Reader:
    """Reads WebAssembly's numbers and texts from bytes."""

    def __init__(self, data: bytes, at: int = 0) -> None:
        self.data = data
        self.at = at

    def number(self) -> int:
        """LEB128, unsigned."""
        value = shift = 0
        while True:
            byte = self.data[self.at]
            self.at += 1
            value |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                return value

    def take(self, count: int) -> bytes:
        self.at += count
        return self.data[self.at - count : self.at]

    def text(self) -> str:
        return self.take(self.number()).decode()

    def parts(self) -> Iterator[tuple[int, bytes]]:
        """What follows as pairs of a kind and its content."""
        while self.at < len(self.data):
            kind = self.take(1)[0]
            yield kind, self.take(self.number())


def code(module: bytes) -> bytes:
    """The code section of a module."""
    return next(content for kind, content in Reader(module, 8).parts() if kind == CODE)


def names(module: bytes) -> dict[int, str]:
    """Function number to name; empty where a module has no names."""
    for kind, content in Reader(module, 8).parts():
        section = Reader(content)
        if kind != CUSTOM or section.text() != "name":
            continue
        for part, inside in section.parts():
            if part == FUNCTION_NAMES:
                entries = Reader(inside)
                return {entries.number(): entries.text() for _ in range(entries.number())}
    return {}


def shipped() -> bytes | None:
    """The library in the wheel that the site serves."""
    for wheel in sorted((BUILD / "wheels").glob("*wasm32.whl")):
        with zipfile.ZipFile(wheel) as archive:
            for name in archive.namelist():
                if name.endswith(LIBRARY):
                    return archive.read(name)
    return None


def kernel_names() -> dict[int, str]:
    """The names of the shipped library's functions; empty where the sources are others by now."""
    library = shipped()
    run = build_kernels._zig

    def with_names(*arguments: str) -> None:
        run(*(one for one in arguments if one != "--strip-all"))

    with tempfile.TemporaryDirectory() as folder, mock.patch("build_kernels._zig", with_names):
        build_kernels.build(build_kernels.target("wasm"), Path(folder))
        linked = (Path(folder) / LIBRARY).read_bytes()
    return names(linked) if library and code(linked) == code(library) else {}
