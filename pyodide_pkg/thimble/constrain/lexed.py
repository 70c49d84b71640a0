"""The automaton of a grammar of lexemes (`read_lark.py`), as LLGuidance follows one.

A lexer follows all lexemes that the rules let come, at once. It ends a lexeme where no other byte
can belong to any of them, and takes those that end there, as long as they can be; a lazy one ends
as soon as it may. The rules then go on with any of the lexemes found. So a state is one of the
rules (`automaton.py`, whose symbols are lexemes) with what is left of each lexeme (`regular.py`).
"""

from __future__ import annotations

from typing import NamedTuple

from ..errors import OptionError
from .automaton import Automaton
from .byte_sets import runs_of
from .effort import Effort
from .folding import Folding
from .host import Host
from .network import Network
from .nodes import Json, Token
from .program import NOWHERE
from .read_lark import Lark, Lexeme, parse
from .regular import Regular

Left = tuple[tuple[int, Regular], ...]
"""Lexemes by their numbers, and what is left of each."""


class State(NamedTuple):
    rules: int
    """The state of the rules before the lexeme."""
    left: Left
    fresh: bool
    """Whether nothing of a lexeme has come."""


class Grammar:
    """A grammar of lexemes, ready to be followed. Raises OptionError that says what is wrong."""

    def __init__(self, source: str) -> None:
        self.lark: Lark = parse(source)
        self.network = Network(self.lark.rules, "start")
        symbols = self.lark.symbols
        self.lexemes = {i: one for i, one in enumerate(symbols) if isinstance(one, Lexeme)}
        self.tokens = {i: one for i, one in enumerate(symbols) if isinstance(one, Token)}
        self.jsons = {i: one for i, one in enumerate(symbols) if isinstance(one, Json)}


class LexedProgram(Host):
    """Lexemes as the automaton that writes their texts."""

    classes = bytes(range(256))
    n_classes = 256

    def __init__(self, grammar: Grammar, reach: int) -> None:
        self._grammar, self._reach = grammar, reach
        self.effort = grammar.lark.algebra.effort = Effort()
        self.rules = Automaton(grammar.network, self.effort)
        self.tokens = list(grammar.tokens.values())
        self.jsons = list(grammar.jsons.values())
        self._skip = len(grammar.lark.symbols)
        self._states: list[State] = []
        self._numbers: dict[State, int] = {}
        self._rows: dict[int, list[int]] = {}
        """Rows of states that differ from others in these only."""
        self._fallbacks: dict[int, int] = {}
        self._begun: dict[tuple[int, bool], int] = {}
        self._folding = Folding(self.rules, reach)
        self._alike: dict[tuple[object, ...], int] = {}
        self._begin(0, skipped=not grammar.lark.ignore_first, once=True)

    @property
    def size(self) -> int:
        return len(self._states)

    # States

    def _number(self, state: State) -> int:
        number = self._numbers.setdefault(state, len(self._states))
        if number == len(self._states):
            self._states.append(state)
        return number

    def _begin(self, rules: int, *, skipped: bool = False, once: bool | None = None) -> int:
        """The state where a lexeme begins, behind something `skipped`, behind which nothing more is
        ignored if it is only `once`."""
        key = (rules, skipped and (self._grammar.lark.ignore_once if once is None else once))
        found = self._begun.get(key)
        if found is None:
            allowed = [
                number
                for number in range(self._skip)
                if self.rules.step(rules, 256 + number) != NOWHERE
            ]
            lexemes = self._grammar.lexemes
            left = [(one, lexemes[one].language) for one in allowed if one in lexemes]
            ignored = self._grammar.lark.ignored
            if ignored is not None and allowed and not key[1]:
                left.append((self._skip, ignored))
            found = self._begun[key] = self._number(State(rules, tuple(left), True))
        return found

    def _behind(self, rules: int, found: list[int]) -> int:
        """The state behind lexemes that all end at one place."""
        if self._skip in found:
            return self._begin(rules, skipped=True)
        following = NOWHERE
        for number in found:
            following = self.rules.united(following, self.rules.step(rules, 256 + number))
        return self._begin(following)

    def _on(self, rules: int, left: Left) -> int:
        """The state inside lexemes of which this is left."""
        lexemes = self._grammar.lexemes
        over = [number for number, one in left if one.nullable]
        lazy = [number for number in over if number != self._skip and lexemes[number].lazy]
        if lazy:
            return self._behind(rules, lazy)
        if len(over) == len(left) and not any(one.moves for _, one in left):
            return self._behind(rules, over)
        return self._number(State(rules, left, False))

    # What a machine asks

    def own_row(self, state: int) -> list[int]:
        known = self._rows.get(state)
        if known is not None:
            return known
        rules, left, _ = self._states[state]
        row = [NOWHERE] * 256
        for mask, targets in self._parts(left):
            target = self._on(rules, tuple(targets))
            for first, last in runs_of(mask):
                row[first : last + 1] = [target] * (last + 1 - first)
        return row

    def _parts(self, left: Left) -> list[tuple[int, list[tuple[int, Regular]]]]:
        """Sets of bytes that exclude each other, and what is left of lexemes behind each."""
        parts: list[tuple[int, list[tuple[int, Regular]]]] = []
        for number, language in left:
            for mask, target in language.moves:
                if not target.live:
                    continue
                rest = mask
                for at in range(len(parts)):
                    bits, targets = parts[at]
                    common = bits & rest
                    if not common:
                        continue
                    if common == bits:
                        targets.append((number, target))
                    else:
                        parts[at] = (bits ^ common, targets)
                        parts.append((common, [*targets, (number, target)]))
                    rest ^= common
                    if not rest:
                        break
                if rest:
                    parts.append((rest, [(number, target)]))
            self.effort.spend(1 + (len(parts) >> 4))
        return parts

    def fallback(self, state: int) -> int:
        found = self._fallbacks.get(state)
        if found is None:
            rules, left, fresh = self._states[state]
            over = [] if fresh else [number for number, one in left if one.nullable]
            found = self._fallbacks[state] = self._behind(rules, over) if over else NOWHERE
        return found

    def _settled(self, state: int) -> int:
        """The state where a lexeme may begin, or NOWHERE inside one that is not over."""
        return state if self._states[state].fresh else self.fallback(state)

    def accepting(self, state: int) -> bool:
        at = self._settled(state)
        return at != NOWHERE and self.rules.accepting[self._states[at].rules]

    def dead(self, state: int) -> bool:
        rules, _, fresh = self._states[state]
        return fresh and not self.rules.items[rules]

    def json_ways(self, state: int) -> list[tuple[int, int]]:
        return self._ways(state, list(self._grammar.jsons))

    def token_ways(self, state: int) -> list[tuple[int, int]]:
        at = self._settled(state)
        return [] if at == NOWHERE else self._ways(at, list(self._grammar.tokens))

    def _ways(self, state: int, numbers: list[int]) -> list[tuple[int, int]]:
        rules, _, fresh = self._states[state]
        if not fresh:
            return []
        ways = ((i, self.rules.step(rules, 256 + number)) for i, number in enumerate(numbers))
        return [(i, self._begin(target)) for i, target in ways if target != NOWHERE]

    def united(self, a: int, b: int) -> int:
        one, other = self._states[a], self._states[b]
        if not one.fresh or not other.fresh:
            raise OptionError("a token is named where its text could come, too")
        return self._begin(self.rules.united(one.rules, other.rules))

    def spaced(self, state: int) -> int:
        row = self.row(state)
        row[0x20] = state
        self._states.append(self._states[state])
        self._rows[len(self._states) - 1] = row
        return len(self._states) - 1

    def folded(self, state: int, record: int) -> tuple[int, int]:
        rules, left, fresh = self._states[state]
        folded = self._grammar.lark.algebra.folded
        rest = tuple((number, folded(one, self._reach)) for number, one in left)
        key = (self._folding.of(rules), rest, fresh)
        return self._alike.setdefault(key, state), record

    def adopt(self, other: object, state: int) -> int:
        assert isinstance(other, LexedProgram)
        rules, left, fresh = other._states[state]
        return self._number(State(self.rules.adopt(other.rules, rules), left, fresh))
