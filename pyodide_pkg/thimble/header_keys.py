"""The keys of a file's architecture, read with types and ranges checked. Knows no key by name."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from .errors import FormatError, UnsupportedError
from .gguf_lists import is_list

MAX_WIDTH = 1 << 24
"""More is a lie or a mistake, and far behind what fits into a page."""
LEAST, MOST = 1e-30, 1e30
"""Of a number that kernels multiply or divide by."""


@dataclass(frozen=True, slots=True)
class Keys:
    """The metadata, read with types and ranges checked."""

    metadata: dict[str, Any]
    architecture: str

    def full(self, key: str) -> str:
        return f"{self.architecture}.{key}"

    def width(self, key: str, *, default: int | None = None) -> int:
        """Return a whole number from 1 to MAX_WIDTH."""
        value = self.metadata.get(self.full(key), default)
        if value is None:
            raise FormatError(f"{self.full(key)} is missing; it is a whole number")
        if is_list(value) and value and value.count(value[0]) == len(value):
            value = value[0]  # one number for each layer, all the same
        if is_list(value):
            raise UnsupportedError(f"{self.full(key)} differs between layers; one value runs here")
        if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= MAX_WIDTH:
            raise FormatError(
                f"{self.full(key)} is {value!r:.100}; a whole number from 1 to {MAX_WIDTH} is right"
            )
        return value

    def number(self, key: str, *, default: float | None = None) -> float:
        """Return a number above 0 which, like its reciprocal, float32 holds in full precision."""
        value = self.metadata.get(self.full(key), default)
        if value is None:
            raise FormatError(f"{self.full(key)} is missing; it is a number above 0")
        if not isinstance(value, float) or not LEAST <= value <= MOST:
            raise FormatError(
                f"{self.full(key)} is {value!r:.100}; a float above 0, from {LEAST:.0e} to "
                f"{MOST:.0e}, is right"
            )
        return value

    def count(self, key: str) -> int:
        """Return a whole number that may be 0, or missing, which is the same."""
        return self.width(key) if self.metadata.get(self.full(key)) else 0

    def text(self, key: str, *, default: str) -> str:
        value = self.metadata.get(key, default)
        if not isinstance(value, str):
            raise FormatError(f"{key} is {value!r:.100}; a string is right")
        return value
