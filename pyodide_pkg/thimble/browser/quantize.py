"""The page's model with its matrices in another encoding, a little at a time.

The file is read through a function of the worker's, so that it need not lie in memory as a whole,
and the worker makes a file that lies outside it too of what is written.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..errors import FormatError, OptionError
from ..gguf import GGUFHeader, NeedMoreData, read_header
from ..quantize import FILE_TYPES, replaced_in, requantized, type_named, warning_of
from .pool import bytes_of

if TYPE_CHECKING:
    from ..gguf_writer import Buffer
    from .engine import Engine
    from .pool import JsBuffer

HEAD = 1 << 20
"""Bytes that are read at first, to see whether the header is in them."""

Read = Callable[[int, int], "JsBuffer | bytes"]
"""The bytes of a file from an offset on, so many or as many as there are."""


class _File:
    """The worker's file, as far as `requantized` needs one."""

    def __init__(self, read: Read) -> None:
        self._read = read
        self._at = 0

    def seek(self, offset: int, /) -> int:
        self._at = offset
        return offset

    def read(self, size: int, /) -> bytes:
        found = self._read(self._at, size)
        data = bytes_of(found)
        self._at += len(data)
        return data


@dataclass(slots=True)
class Job:
    """A file on its way to another encoding."""

    chunks: Iterator[Buffer]
    total: int
    done: int = 0


class Service:
    """What the worker asks as "quantize.METHOD"."""

    def __init__(self, engine: Engine) -> None:
        self._jobs: dict[int, Job] = {}
        self._numbers = itertools.count(1)

    def types(self) -> list[tuple[str, float]]:
        """The encodings that a model can be given, and the bytes of a weight in each, the smallest
        first."""
        sizes = [(t.name, t.nbytes / t.block) for t in FILE_TYPES]
        return sorted(sizes, key=lambda one: one[1])

    def begin(self, name: str, encoding: str, total: int, read: Read) -> dict[str, Any]:
        """Get ready to write the file of `total` bytes anew. Raises OptionError where nothing would
        change, FormatError or UnsupportedError for a file that cannot be read."""
        target = type_named(encoding)
        file = _File(read)
        header = _header(file, total)
        job = Job(iter(()), sum(t.nbytes for t in header.tensors))

        def progress(done: int, _total: int) -> None:
            job.done = done

        job.chunks = requantized(file, header, target, progress, name=name).chunks()
        number = next(self._numbers)
        self._jobs[number] = job
        words = filter(None, (warning_of(header, target), replaced_in(header, target)))
        return {"job": number, "total": job.total, "warning": "; ".join(words) or None}

    def step(self, number: int, milliseconds: float) -> dict[str, Any]:
        """Write on for about so long: `written` are the next bytes. Raises NumericError for a
        weight that the encoding cannot hold."""
        if number not in self._jobs:
            raise OptionError(f"there is no job {number}; it was closed or never begun")
        job = self._jobs[number]
        until = time.perf_counter() + milliseconds / 1000
        written: list[bytes] = []
        over = True
        for chunk in job.chunks:
            written.append(bytes(chunk))
            if time.perf_counter() >= until:
                over = False
                break
        return {
            "done": job.done, "total": job.total, "over": over, "written": b"".join(written),
        }  # fmt: skip

    def close(self, number: int) -> None:
        """Forget a job, finished or not."""
        self._jobs.pop(number, None)


def _header(file: _File, total: int) -> GGUFHeader:
    wanted = HEAD
    while True:
        file.seek(0)
        head = file.read(min(wanted, total))
        try:
            return read_header(head, file_size=total)
        except NeedMoreData as more:
            if len(head) >= total:
                raise FormatError(str(more)) from None
            wanted = more.at_least
