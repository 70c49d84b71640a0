"""The values of a pass, by TransformerLens' names."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from .sites import full_name, place, shape
from .tensor import Array, to_array

if TYPE_CHECKING:
    from ..model import Model


class Cache(Mapping[Any, Array]):
    """Values of a pass: `cache["blocks.0.attn.hook_pattern"]`, or as TransformerLens has it
    shorter, `cache["pattern", 0]`, `cache["resid_post", -1]`, `cache["scale", 0, "ln1"]`.

    Each is a float32 array of its own, made when first asked for.
    """

    def __init__(self, model: Model, tokens: tuple[int, ...], values: dict[str, bytes]) -> None:
        self.model = model
        self.tokens = tokens
        """The ids that the pass went over."""
        self._values = values
        self._arrays: dict[str, Array] = {}

    def __getitem__(self, key: str | tuple[str | int | None, ...]) -> Array:
        name = full_name(self.model.config, key)
        if name not in self._arrays:
            self._arrays[name] = to_array(self.raw(name), self.shape(name))
        return self._arrays[name]

    def raw(self, name: str) -> bytes:
        """The float32 numbers of a value as bytes, row by row."""
        if name not in self._values:
            raise KeyError(f"{name!r} is not in the cache: name it in run_with_cache(..., names=…)")
        return self._values[name]

    def shape(self, name: str) -> tuple[int, ...]:
        """Of a cached value."""
        count = len(self.tokens)
        found = shape(self.model.config, name, count, count)
        rows = len(self.raw(name)) // 4 // max(1, found[-1])
        # Of what comes after the last block only the last position may have been asked for.
        return (rows, found[-1]) if place(name)[0] is None else found

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def __contains__(self, key: object) -> bool:
        return key in self._values or (isinstance(key, tuple) and self._named(key) in self._values)

    def _named(self, key: tuple[str | int | None, ...]) -> str:
        return full_name(self.model.config, key)

    @property
    def nbytes(self) -> int:
        return sum(map(len, self._values.values()))

    def __repr__(self) -> str:
        return f"<Cache of {len(self)} values of {len(self.tokens)} tokens, {self.nbytes:,} bytes>"
