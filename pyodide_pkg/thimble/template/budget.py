"""What one rendering may still take: work, bytes, depth. It knows no template and no value.

A unit of work takes about a microsecond of a processor in CPython, and some three in Pyodide. What
an operation costs is known from its operands, and paid before it happens; so the same template with
the same conversation is refused on every machine, or on none.
"""

from __future__ import annotations

from ..errors import FormatError

MAX_WORK = 50_000
WORK_FOR_MESSAGE = 300
"""Units that a conversation's length adds, message by message; templates in use take 20 to 150."""
MAX_BYTES = 24 << 20
"""All that is ever made, whether or not it still lives: what lives is less."""
BYTES_FOR_BYTE = 8
"""The same for each byte that the conversation has."""
MAX_SIZE = 1 << 20
"""Characters and items of one value, apart from what the conversation has."""
MAX_DEPTH = 200
"""Expressions and statements within each other, macros and loops that call themselves included."""
MAX_NESTING = 50
"""Lists in lists."""
MAX_INTEGER_BITS = 4096


class RunawayError(FormatError):
    """A template takes more time or room than a prompt ever needs."""

    def __init__(self, what: str) -> None:
        super().__init__(f"the chat template runs away: {what}")


class Budget:
    """Work, bytes and depth that are left; `given` characters in so many messages come for free."""

    def __init__(self, given: int = 0, messages: int = 0) -> None:
        self.size = MAX_SIZE + 4 * given
        self.work = MAX_WORK + WORK_FOR_MESSAGE * messages + (given >> 6)
        self.bytes = MAX_BYTES + BYTES_FOR_BYTE * 4 * given
        self.depth = MAX_DEPTH

    def spend(self, units: int) -> None:
        """Pay for work. Raises RunawayError where too little is left."""
        self.work -= units
        if self.work < 0:
            raise RunawayError("it takes more work than a prompt ever needs")

    def make(self, size: int) -> None:
        """Pay for bytes of memory. Raises RunawayError where too few are left."""
        self.bytes -= size
        if self.bytes < 0:
            raise RunawayError(f"it makes values of more than {MAX_BYTES >> 20} MB")

    def allow(self, size: int) -> None:
        """Raise RunawayError where a value of `size` characters and items would be too large."""
        if size > self.size:
            raise RunawayError(f"it makes a value of more than {self.size:,} characters")

    def text(self, length: int, *, ascii: bool = False) -> None:
        """Pay for a text that is about to be made, of so many characters."""
        self.allow(length)
        self.spend(length >> 9)
        self.make(50 + (length if ascii else 4 * length))

    def scan(self, length: int) -> None:
        """Pay for one look at each of so many characters."""
        self.spend(1 + (length >> 7))

    def search(self, length: int, wanted: int) -> None:
        """Pay for `find` and its kin. CPython compares naively in short texts and for short words,
        and by the two-way algorithm otherwise (Objects/stringlib/fastsearch.h)."""
        if length < 2500:
            compared = max(0, length - wanted) * wanted
        else:
            compared = min(length, 30_000) * min(wanted, 100)
        self.spend(1 + (length >> 7) + (compared >> 10))

    def search_back(self, length: int, wanted: int) -> None:
        """Pay for `rfind` and its kin, which always compare naively."""
        self.spend(1 + (length >> 7) + (max(0, length - wanted) * wanted >> 10))
