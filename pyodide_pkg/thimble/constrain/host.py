"""Automata of states alone (`program.py`): they have their frames in their states and need no
records. `rules.py` and `lexed.py` are such; `hosting.py` follows those that have JSON in them.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

from .effort import Effort
from .nodes import Json, Token
from .program import MISSING, NOWHERE, REJECT, Record, Span


class Host(ABC):
    """A program without records. State 0 is the beginning."""

    colon = 0
    tokens: Sequence[Token] = ()
    jsons: Sequence[Json] = ()
    """JSON that may stand in a text."""
    effort: Effort
    classes: bytes
    n_classes: int

    def begin(self) -> None:
        self.effort.begin()

    def start(self) -> tuple[int, int]:
        return 0, 0

    def bottom(self) -> tuple[int, int] | None:
        return None

    def entered(self) -> list[tuple[int, int]]:
        return []

    def fresh_spans(self) -> list[tuple[int, Span]]:
        return []

    def record(self, number: int) -> Record:
        return Record()

    def behind_key(self, record: int, kind: int, text: bytes | None) -> int:
        return NOWHERE

    def behind_value(self, record: int, said: int, text: bytes | None) -> int:
        return NOWHERE

    def said(self, state: int) -> int:
        return NOWHERE

    def settled(self, state: int, record: int) -> tuple[int, int]:
        return state, record

    def slice(self, state: int, record: int) -> int:
        return REJECT

    def move(self, state: int, byte: int) -> int:
        return MISSING

    def ahead(self, state: int) -> list[int]:
        return []

    @property
    def n_records(self) -> int:
        return 1

    @property
    @abstractmethod
    def size(self) -> int: ...

    @property
    def weight(self) -> int:
        return self.size

    @abstractmethod
    def own_row(self, state: int) -> list[int]:
        """The states behind each class of bytes, or NOWHERE."""

    def fallback(self, state: int) -> int:
        """The state where a byte is read that has no way in this one, or NOWHERE."""
        return NOWHERE

    def row(self, state: int) -> list[int]:
        """Where each class of bytes leads."""
        own, back = self.own_row(state), self.fallback(state)
        if back == NOWHERE:
            return own
        return [b if a == NOWHERE else a for a, b in zip(own, self.row(back), strict=True)]

    @abstractmethod
    def json_ways(self, state: int) -> list[tuple[int, int]]:
        """The numbers in `jsons` of those that may begin in a state, and the state behind each."""

    @abstractmethod
    def token_ways(self, state: int) -> list[tuple[int, int]]:
        """The numbers in `tokens` of those that may come in a state, and the state behind each."""

    @abstractmethod
    def united(self, a: int, b: int) -> int:
        """The state of a text that may stand in either of two."""

    @abstractmethod
    def spaced(self, state: int) -> int:
        """A state like this one before which a space may stand."""

    @abstractmethod
    def accepting(self, state: int) -> bool:
        """Whether a text may end in a state."""

    @abstractmethod
    def dead(self, state: int) -> bool:
        """Whether nothing can come in a state."""

    @abstractmethod
    def folded(self, state: int, record: int) -> tuple[int, int]:
        """A state that no token of at most `reach` bytes tells from this one."""

    @abstractmethod
    def adopt(self, other: object, state: int) -> int:
        """A state of another automaton of the same grammar as one of this, or NOWHERE."""
