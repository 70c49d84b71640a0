"""Structs that Python and the kernels share, described once: here C's header is made from them.

`python -m tools.generate` writes `kernels/mirrored.h`, in which the compiler checks, for every
machine, that its own sizes and offsets are the ones that Python packs.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Any

TYPES = {"d": "double", "f": "float", "i": "int32_t", "q": "int64_t", "Q": "uint64_t"}
"""C's names of the codes of `struct`."""


class Layout:
    """A struct: its fields in order, each with a code of `struct` and what it is.

    A code is `i`, or `15i` for an array, or `4i:tk_place` for what C has as a struct of its own.
    Fields begin at multiples of their size, as C has them.
    """

    def __init__(self, name: str, words: str, **fields: tuple[str, str]) -> None:
        self.name = name
        self.words = words
        self.fields = fields
        self.offsets: dict[str, int] = {}
        parts, at, widest = ["<"], 0, 1
        for field, (whole, _) in fields.items():
            code = whole.partition(":")[0]
            width = struct.calcsize(code[-1])
            gap, widest = -at % width, max(widest, width)
            parts.append(f"{gap}x" * bool(gap) + code)
            self.offsets[field] = at + gap
            at += gap + struct.calcsize("<" + code)
        gap = -at % widest
        self._struct = struct.Struct("".join(parts) + f"{gap}x" * bool(gap))
        self.size = self._struct.size

    def pack(self, *values: Any) -> bytes:
        """The bytes of a struct; an array takes as many values as it has."""
        return self._struct.pack(*values)

    def unpack(self, data: bytes) -> tuple[Any, ...]:
        """The values of a struct, those of an array one by one."""
        return self._struct.unpack(data)

    def iter_unpack(self, data: bytes) -> Iterator[tuple[Any, ...]]:
        """The same of each struct of an array."""
        return self._struct.iter_unpack(data)

    def part(self, first: str, last: str) -> struct.Struct:
        """The fields from one to another, to be packed and unpacked alone at `offsets[first]`."""
        names = list(self.fields)
        codes, at = ["<"], self.offsets[first]
        for name in names[names.index(first) : names.index(last) + 1]:
            code = self.fields[name][0].partition(":")[0]
            codes.append("x" * (self.offsets[name] - at) + code)
            at = self.offsets[name] + struct.calcsize("<" + code)
        return struct.Struct("".join(codes))

    def c_source(self) -> str:
        """The struct in C, with what the compiler checks of it."""
        lines = [f"/* {self.words} */", "typedef struct {"]
        for field, (code, words) in self.fields.items():
            count = f"[{code[:-1]}]" if len(code) > 1 else ""
            declared = f"{TYPES.get(code[-1])} {field}{count}"
            if ":" in code:
                declared = f"{code.partition(':')[2]} {field}"
            lines.append(f"    {declared};" + (f" /* {words} */" if words else ""))
        lines.append(f"}} {self.name};")
        lines += [
            f'_Static_assert(offsetof({self.name}, {field}) == {offset}, "{field}");'
            for field, offset in self.offsets.items()
        ]
        lines.append(f'_Static_assert(sizeof({self.name}) == {self.size}, "{self.name}");')
        return "\n".join(lines) + "\n"
