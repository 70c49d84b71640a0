"""The pushdown automaton of a grammar of rules (`program.py`): its states have their frames in
themselves, and need no records."""

from __future__ import annotations

from .automaton import Automaton
from .effort import Effort
from .folding import Folding, Signature
from .host import Host
from .network import Network
from .nodes import Json, Token
from .program import NOWHERE


class RuleProgram(Host):
    """Rules as the automaton that writes their texts."""

    def __init__(self, network: Network, reach: int, effort: Effort | None = None) -> None:
        self.effort = effort or Effort()
        self.automaton = Automaton(network, self.effort)
        self.classes = bytes(self.automaton.classes[:256])
        self.n_classes = self.automaton.n_byte_classes
        numbered = list(enumerate(network.symbols, 256))
        self.tokens = [one for _, one in numbered if isinstance(one, Token)]
        self.jsons = [one for _, one in numbered if isinstance(one, Json)]
        self._token_symbols = [at for at, one in numbered if isinstance(one, Token)]
        self._json_symbols = [at for at, one in numbered if isinstance(one, Json)]
        self._folding = Folding(self.automaton, reach)
        self._alike: dict[Signature, int] = {}

    def own_row(self, state: int) -> list[int]:
        self.effort.spend(1)
        return self.automaton.row(state)[: self.n_classes]

    def move(self, state: int, byte: int) -> int:
        return self.automaton.step(state, byte)

    def spaced(self, state: int) -> int:
        row = list(self.automaton.row(state))
        row[self.automaton.classes[0x20]] = state
        return self.automaton.add(row)

    def json_ways(self, state: int) -> list[tuple[int, int]]:
        return self._ways(state, self._json_symbols)

    def token_ways(self, state: int) -> list[tuple[int, int]]:
        return self._ways(state, self._token_symbols)

    def _ways(self, state: int, symbols: list[int]) -> list[tuple[int, int]]:
        ways = ((i, self.automaton.step(state, symbol)) for i, symbol in enumerate(symbols))
        return [(i, target) for i, target in ways if target != NOWHERE]

    def united(self, a: int, b: int) -> int:
        return self.automaton.united(a, b)

    def accepting(self, state: int) -> bool:
        return self.automaton.accepting[state]

    def dead(self, state: int) -> bool:
        return not self.automaton.items[state]

    def folded(self, state: int, record: int) -> tuple[int, int]:
        return self._alike.setdefault(self._folding.of(state), state), record

    def adopt(self, other: object, state: int) -> int:
        assert isinstance(other, RuleProgram)
        return self.automaton.adopt(other.automaton, state)

    @property
    def size(self) -> int:
        return len(self.automaton.items)

    @property
    def weight(self) -> int:
        return self.size + self.automaton.n_items // 2
