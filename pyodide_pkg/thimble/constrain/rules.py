"""The pushdown automaton of a grammar of rules (`program.py`): its states have their frames in
themselves, and need no records."""

from __future__ import annotations

from collections.abc import Sequence

from .automaton import Automaton
from .effort import Effort
from .folding import Folding, Signature
from .network import Network
from .nodes import Token
from .program import NOWHERE, REJECT, Record, Span


class RuleProgram:
    """Rules as the automaton that writes their texts."""

    colon = 0

    def __init__(self, network: Network, reach: int, effort: Effort | None = None) -> None:
        self.effort = effort or Effort()
        self.automaton = Automaton(network, self.effort)
        self.classes = bytes(self.automaton.classes[:256])
        self.n_classes = self.automaton.n_byte_classes
        self.tokens: Sequence[Token] = network.tokens
        self._folding = Folding(self.automaton, reach)
        self._alike: dict[Signature, int] = {}

    def begin(self) -> None:
        self.effort.begin()

    def start(self) -> tuple[int, int]:
        return 0, 0

    def bottom(self) -> tuple[int, int] | None:
        return None

    def entered(self) -> list[tuple[int, int]]:
        return []

    def row(self, state: int) -> list[int]:
        self.effort.spend(1 + len(self.automaton.items[state]))
        return self.automaton.row(state)[: self.n_classes]

    def ahead(self, state: int) -> list[int]:
        return []

    def spaced(self, state: int) -> int:
        row = list(self.automaton.row(state))
        row[self.automaton.classes[0x20]] = state
        return self.automaton.add(row)

    def token_ways(self, state: int) -> list[tuple[int, int]]:
        ways = ((i, self.automaton.step(state, 256 + i)) for i in range(len(self.tokens)))
        return [(i, target) for i, target in ways if target != NOWHERE]

    def united(self, a: int, b: int) -> int:
        return self.automaton.united(a, b)

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

    def accepting(self, state: int) -> bool:
        return self.automaton.accepting[state]

    def dead(self, state: int) -> bool:
        return not self.automaton.items[state]

    def slice(self, state: int, record: int) -> int:
        return REJECT

    def folded(self, state: int, record: int) -> tuple[int, int]:
        return self._alike.setdefault(self._folding.of(state), state), record

    def adopt(self, other: object, state: int) -> int:
        """A state of another automaton of the same grammar as one of this."""
        assert isinstance(other, RuleProgram)
        return self.automaton.adopt(other.automaton, state)

    @property
    def size(self) -> int:
        return len(self.automaton.items)

    @property
    def n_records(self) -> int:
        return 1
