"""The lists of a GGUF header, held in as many bytes as the file has for them.

As lists of Python's, numbers would take 4 to 21 times their bytes, and a vocabulary 6 times. These
are read like lists, equal those that hold the same, and cannot be changed. They are made by
`gguf.py`, which has checked the bytes.
"""

from __future__ import annotations

import sys
from abc import abstractmethod
from array import array
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from typing import Any, TypeGuard

SHOWN = 8
"""Elements that an error message has of a list."""
LENGTH = 8
"""Bytes of the length that stands before each text."""


class HeaderList(Sequence[Any]):
    """What both kinds of list have in common."""

    __slots__ = ()
    __hash__ = None  # type: ignore[assignment]  # as of a list

    @abstractmethod
    def packed(self) -> bytes:
        """The elements as they stand in a file."""

    def __eq__(self, other: object) -> bool:
        if not is_list(other):
            return NotImplemented
        return len(self) == len(other) and all(a == b for a, b in zip(self, other, strict=True))

    def __repr__(self) -> str:
        shown = [repr(value)[:100] for value in islice(self, SHOWN)]
        return f"[{', '.join(shown + ['...'] * (len(self) > SHOWN))}]"


class Numbers(HeaderList):
    """Numbers or bools of one type; `code` is that of `struct` and `array`, "?" for bools."""

    __slots__ = ("_values", "code")

    def __init__(self, code: str, data: memoryview) -> None:
        self.code = code
        self._values: array[Any] = array("B" if code == "?" else code)
        self._values.frombytes(data)
        if sys.byteorder == "big":
            self._values.byteswap()

    def packed(self) -> bytes:
        if sys.byteorder == "little":
            return self._values.tobytes()
        swapped = self._values[:]
        swapped.byteswap()
        return swapped.tobytes()

    def __len__(self) -> int:
        return len(self._values)

    def __getitem__(self, index: Any) -> Any:
        found = self._values[index]
        if isinstance(index, slice):
            return [value == 1 for value in found] if self.code == "?" else found.tolist()
        return found == 1 if self.code == "?" else found

    def __iter__(self) -> Iterator[Any]:
        return (value == 1 for value in self._values) if self.code == "?" else iter(self._values)


class Texts(HeaderList):
    """Texts, each made of its bytes when it is asked for.

    `data` are the texts as in the file, a length before each; `starts` has where each begins in it,
    and where one more would.
    """

    __slots__ = ("_data", "_starts")

    def __init__(self, data: bytes, starts: array[int]) -> None:
        self._data = data
        self._starts = starts

    def packed(self) -> bytes:
        return self._data

    def __len__(self) -> int:
        return len(self._starts) - 1

    def __getitem__(self, index: Any) -> Any:
        places = range(len(self))[index]
        if isinstance(places, range):
            return [self[i] for i in places]
        begin, end = self._starts[places], self._starts[places + 1] - LENGTH
        return self._data[begin:end].decode()

    def __iter__(self) -> Iterator[str]:
        data, begin = self._data, LENGTH
        for after in islice(self._starts, 1, None):
            yield data[begin : after - LENGTH].decode()
            begin = after


def is_list(value: object) -> TypeGuard[Sequence[Any]]:
    """Whether a key's value is a list, from a file or of Python's own."""
    return isinstance(value, (HeaderList, list, tuple))


def plain(metadata: Mapping[str, Any]) -> dict[str, Any]:
    """The same keys with lists of Python's own, which can be changed and written as JSON."""
    return {key: list(value) if is_list(value) else value for key, value in metadata.items()}
