"""Regular languages of bytes, followed by their derivatives.

What remains to be read behind a byte is another expression (Brzozowski 1964; Owens, Reppy & Turon
2009), so that an automaton is found as far as a text goes, and "both of these" and "all but this"
cost no construction. Equal expressions are one object; a set of bytes is an integer of 256 bits. It
knows nothing of JSON: how a character is spelled in bytes it is told.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from typing import Any

from ..errors import OptionError
from .effort import Effort
from .kinds import (
    ALT,
    BOTH,
    BYTES,
    EPSILON,
    LEAF,
    NOT,
    NOTHING,
    REPEAT,
    SEQ,
    STATE,
    WORDS,
)
from .life import find_life
from .nodes import Alt, Both, Chars, Graph, Node, Not, Range, Repeat, Seq
from .utf8 import utf8_ranges

ALL_BYTES = (1 << 256) - 1
MOST_FACTORED = 40
"""Parts at the beginning of alternatives that are written once, one behind the other."""
Moves = tuple[tuple[int, "Regular"], ...]
"""Sets of bytes that exclude each other, and what remains behind each; other bytes cannot come."""
Spell = Callable[[tuple[Range, ...]], "Regular"]
"""How one character out of these ranges is spelled."""


class Leaf(ABC):
    """A language that is followed in a way of its own: its states must be equal where their
    languages are."""

    nullable: bool

    @abstractmethod
    def moves(self) -> list[tuple[int, Leaf | None]]:
        """Sets of bytes and the leaf behind each, or None where the text is over."""


class Regular:
    """A set of texts. Made by an `Algebra` only."""

    __slots__ = ("_live", "_moves", "a", "b", "home", "kind", "nullable", "number")

    def __init__(self, home: Algebra, kind: int, a: Any, b: Any, nullable: bool) -> None:
        self.home, self.kind, self.a, self.b, self.nullable = home, kind, a, b, nullable
        self.number = home.next_number()
        self._moves: Moves | None = None
        self._live: bool | None = None

    @property
    def moves(self) -> Moves:
        if self._moves is None:
            chain = [self]  # what may be passed over, one behind the other: it may be long
            while chain[-1].kind == SEQ and chain[-1].a.nullable and chain[-1].b._moves is None:
                chain.append(chain[-1].b)
            for one in reversed(chain):
                self.home.effort.spend(6)
                one._moves = self.home.moves_of(one)
        assert self._moves is not None
        return self._moves

    def after(self, byte: int) -> Regular | None:
        """What remains behind a byte, or None where it cannot come."""
        for mask, target in self.moves:
            if mask >> byte & 1:
                return target
        return None

    @property
    def live(self) -> bool:
        """Whether it has any text."""
        if self._live is None:
            find_life(self)
        assert self._live is not None
        return self._live

    def has(self, data: bytes) -> bool:
        """Whether these bytes are one of its texts."""
        at: Regular | None = self
        for byte in data:
            at = at.after(byte) if at is not None else None
        return at is not None and at.nullable


class Algebra:
    """Makes expressions, each once. One with a `library` takes from there what stands there."""

    def __init__(self, effort: Effort, library: Algebra | None = None) -> None:
        self.effort = effort
        self._library, self._depth = library, 0
        self._made: dict[tuple[Any, ...], Regular] = {}
        self._numbers: list[int] = [0] if library is None else library._numbers
        self.absorbing: set[Regular] = set() if library is None else library.absorbing
        """What has all texts that any other expression beside it has."""
        if library is None:
            self.nothing = self._make(NOTHING, None, None, False)
            self.epsilon = self._make(EPSILON, None, None, True)
            self.everything = self._make(NOT, self.nothing, None, True)
        else:
            self.nothing, self.epsilon = library.nothing, library.epsilon
            self.everything = library.everything

    def __del__(self) -> None:
        # Thousands behind each other would free each other, deeper than a browser's stack is.
        for one in self._made.values():
            one.a = one.b = one._moves = None

    def next_number(self) -> int:
        self._numbers[0] += 1
        return self._numbers[0]

    def _make(self, kind: int, a: Any, b: Any, nullable: bool) -> Regular:
        key = (kind, a, b)
        found = self._made.get(key)
        if found is None and self._library is not None:
            found = self._library._made.get(key)
        if found is None:
            found = self._made[key] = Regular(self, kind, a, b, nullable)
        return found

    # --- making

    def byte_set(self, mask: int) -> Regular:
        """One byte out of a set."""
        return self._make(BYTES, mask, None, False) if mask else self.nothing

    def words(self, words: Iterable[bytes]) -> Regular:
        """Any of these."""
        given = tuple(sorted(set(words)))
        if not given:
            return self.nothing
        return self.epsilon if given == (b"",) else self._make(WORDS, given, None, given[0] == b"")

    def leaf(self, leaf: Leaf | None) -> Regular:
        return self.epsilon if leaf is None else self._make(LEAF, leaf, None, leaf.nullable)

    def seq(self, *parts: Regular) -> Regular:
        """One after the other."""
        found = parts[-1] if parts else self.epsilon
        for part in reversed(parts[:-1]):
            found = self._seq(part, found)
        return found

    def _seq(self, a: Regular, b: Regular) -> Regular:
        """One behind the other, nested to the right, whatever the first one is nested like."""
        heads = []
        while a.kind == SEQ:
            heads.append(a.a)
            a = a.b
        self.effort.spend(len(heads) >> 3)
        b = self._pair(a, b)
        for head in reversed(heads):
            b = self._pair(head, b)
        return b

    def _pair(self, a: Regular, b: Regular) -> Regular:
        if a.kind == NOTHING or b.kind == NOTHING:
            return self.nothing
        if a.kind == EPSILON:
            return b
        if b.kind == EPSILON:
            return a
        if a.kind == REPEAT and b is a and a.b == (0, None):
            return a
        return self._make(SEQ, a, b, a.nullable and b.nullable)

    def alt(self, parts: Iterable[Regular]) -> Regular:
        """Any of these."""
        flat: set[Regular] = set()
        single = 0
        words: list[bytes] = []
        work = list(parts)
        while work:
            part = work.pop()
            if part.kind == ALT:
                work += part.a
            elif part.kind == BYTES:
                single |= part.a
            elif part.kind == WORDS:
                words += part.a
            elif part.kind != NOTHING:
                flat.add(part)
        if self.everything in flat:
            return self.everything
        for part in flat & self.absorbing:
            return part
        if len(flat) > 1:
            flat = self._least(flat)
        if single:
            flat.add(self.byte_set(single))
        if words:
            flat.add(self.words(words))
        factored = self._factored(flat) if len(flat) > 1 else flat
        if not factored:
            return self.nothing
        if len(factored) == 1:
            return next(iter(factored))
        if self.epsilon in factored and any(p.nullable and p.kind != EPSILON for p in factored):
            factored = factored - {self.epsilon}
            if len(factored) == 1:
                return next(iter(factored))
        ordered = tuple(sorted(factored, key=_number))
        self.effort.spend(len(ordered) >> 3)
        return self._make(ALT, ordered, None, any(part.nullable for part in ordered))

    def _least(self, parts: set[Regular]) -> set[Regular]:
        """The same without what another has: of the same, so many times and then anything, the
        fewest times are enough."""
        least: dict[tuple[Regular, Regular], tuple[int, Regular]] = {}
        dropped: set[Regular] = set()
        for part in parts:
            if part.kind != SEQ or part.b not in self.absorbing:
                continue
            head, low = (part.a.a, part.a.b[0]) if part.a.kind == REPEAT else (part.a, 1)
            known = least.get((head, part.b))
            if known is not None:
                dropped.add(part if known[0] <= low else known[1])
            if known is None or low < known[0]:
                least[head, part.b] = (low, part)
        return parts - dropped if dropped else parts

    def _factored(self, parts: set[Regular]) -> set[Regular]:
        """The same with what begins with the same written once."""
        heads: dict[Regular, list[Regular]] = {}
        for part in parts:
            heads.setdefault(part.a if part.kind == SEQ else part, []).append(part)
        if len(heads) == len(parts) or self._depth == MOST_FACTORED:
            return parts
        found: set[Regular] = set()
        self._depth += 1
        try:
            for head, same in heads.items():
                if len(same) == 1:
                    found.add(same[0])
                elif head in self.absorbing and head in same:
                    found.add(head)
                else:
                    tails = [p.b if p.kind == SEQ else self.epsilon for p in same]
                    found.add(self._seq(head, self.alt(tails)))
        finally:
            self._depth -= 1
        return found

    def both(self, parts: Iterable[Regular]) -> Regular:
        """What all of these have."""
        flat: set[Regular] = set()
        work = list(parts)
        while work:
            part = work.pop()
            if part.kind == BOTH:
                work += part.a
            elif part is not self.everything:
                flat.add(part)
        if not flat:
            return self.everything
        if self.nothing in flat:
            return self.nothing
        for part in flat:
            if part.kind == NOT and part.a in flat:
                return self.nothing
        if len(flat) == 1:
            return next(iter(flat))
        nullable = all(part.nullable for part in flat)
        if self.epsilon in flat:
            return self.epsilon if nullable else self.nothing
        words = [part for part in flat if part.kind == WORDS]
        if words:
            kept = set(words[0].a)
            others = flat - {words[0]}
            return self.words(w for w in kept if all(one.has(w) for one in others))
        return self._make(BOTH, tuple(sorted(flat, key=_number)), None, nullable)

    def but(self, part: Regular) -> Regular:
        """All that this has not."""
        if part.kind == NOT:
            inside: Regular = part.a
            return inside
        return self._make(NOT, part, None, not part.nullable)

    def repeat(self, part: Regular, low: int, high: int | None) -> Regular:
        """The same from `low` to `high` times; None for any number."""
        if high is not None and high < low:
            return self.nothing
        if part.kind == EPSILON or high == 0:
            return self.epsilon
        if part.kind == NOTHING:
            return self.epsilon if low == 0 else self.nothing
        if part.nullable:
            low = 0
        if (low, high) == (1, 1):
            return part
        if part.kind == REPEAT and part.b == (0, None):
            return part
        return self._make(REPEAT, part, (low, high), low == 0)

    # --- following

    def moves_of(self, r: Regular) -> Moves:
        kind = r.kind
        if kind in (NOTHING, EPSILON):
            return ()
        if kind == BYTES:
            return ((r.a, self.epsilon),)
        if kind == WORDS:
            return self._moves_of_words(r.a)
        if kind == LEAF:
            return self._united([(m, self.leaf(one)) for m, one in r.a.moves()])
        if kind == SEQ:
            found = [(m, self._seq(t, r.b)) for m, t in r.a.moves]
            return self._united([*found, *r.b.moves]) if r.a.nullable else tuple(found)
        if kind == ALT:
            return self._united([move for part in r.a for move in part.moves])
        if kind == REPEAT:
            low, high = r.b
            rest = self.repeat(r.a, max(0, low - 1), None if high is None else high - 1)
            return tuple((m, self._seq(t, rest)) for m, t in r.a.moves)
        if kind == NOT:
            return self._moves_of_not(r.a.moves)
        if kind == STATE:
            return self._moves_of_state(*r.a)
        return self._moves_of_both(r.a)

    def _moves_of_state(self, graph: Graph, state: int, spell: Spell) -> Moves:
        ways = graph.ways[state]
        read = [self._seq(self.of(part, spell), self._state(graph, to, spell)) for part, to in ways]
        return self._united([move for one in read for move in one.moves])

    def _moves_of_words(self, words: tuple[bytes, ...]) -> Moves:
        tails: dict[int, list[bytes]] = {}
        for word in words:
            if word:
                tails.setdefault(word[0], []).append(word[1:])
        return self._united([(1 << byte, self.words(rest)) for byte, rest in tails.items()])

    def _moves_of_not(self, moves: Moves) -> Moves:
        left = ALL_BYTES
        found: list[tuple[int, Regular]] = []
        for mask, target in moves:
            left &= ~mask
            opposite = self.but(target)
            if opposite.kind != NOTHING:
                found.append((mask, opposite))
        if left:
            found.append((left, self.everything))
        return self._united(found)

    def _moves_of_both(self, parts: tuple[Regular, ...]) -> Moves:
        found: list[tuple[int, list[Regular]]] = [(m, [t]) for m, t in parts[0].moves]
        for part in parts[1:]:
            found = [
                (m & mask, [*targets, target])
                for m, targets in found
                for mask, target in part.moves
                if m & mask
            ]
            self.effort.spend(len(found))
        joined = [(m, self.both(targets)) for m, targets in found]
        return self._united([(m, t) for m, t in joined if t.kind != NOTHING])

    def _united(self, moves: list[tuple[int, Regular]]) -> Moves:
        """Moves whose sets may overlap, as such that exclude each other."""
        seen = 0
        for mask, _ in moves:
            if seen & mask:
                break
            seen |= mask
        else:
            return _by_target(moves)
        parts: list[tuple[int, list[Regular]]] = []
        for mask, target in moves:
            left = mask
            for at in range(len(parts)):
                bits, targets = parts[at]
                common = bits & left
                if not common:
                    continue
                if common == bits:
                    targets.append(target)
                else:
                    parts[at] = (bits ^ common, targets)
                    parts.append((common, [*targets, target]))
                left ^= common
                if not left:
                    break
            if left:
                parts.append((left, [target]))
        self.effort.spend(len(parts))
        return _by_target([(m, ts[0] if len(ts) == 1 else self.alt(ts)) for m, ts in parts])

    def folded(self, r: Regular, reach: int, *, most_only: bool = False) -> Regular:
        """The same as far as `reach` bytes tell, larger numbers of repetitions taken for one; with
        `most_only` those that may come, not those that must."""
        if r.kind == SEQ:
            parts = [r]
            while parts[-1].kind == SEQ:
                parts[-1:] = [parts[-1].a, parts[-1].b]
            short = [self.folded(part, reach, most_only=most_only) for part in parts]
            return r if short == parts else self.seq(*short)
        if r.kind == ALT:
            return self.alt([self.folded(part, reach, most_only=most_only) for part in r.a])
        if r.kind == REPEAT and not r.a.nullable:
            low, high = r.b
            if low > reach or (high is not None and high > reach):
                high = None if high is not None and high > reach else high
                return self.repeat(r.a, low if most_only else min(low, reach + 1), high)
        return r

    # --- from nodes

    def of(self, node: Node, spell: Spell) -> Regular:
        """A grammar's node that calls no rule, its characters spelled as they are told."""
        if isinstance(node, Chars):
            return spell(node.ranges)
        if isinstance(node, Seq):
            return self.seq(*(self.of(part, spell) for part in node.parts))
        if isinstance(node, Alt):
            return self.alt(self.of(part, spell) for part in node.parts)
        if isinstance(node, Repeat):
            return self.repeat(self.of(node.node, spell), node.low, node.high)
        if isinstance(node, Both):
            return self.both(self.of(part, spell) for part in node.parts)
        if isinstance(node, Not):
            anything = self.repeat(spell(((0, 0x10FFFF),)), 0, None)
            return self.both([self.but(self.of(node.node, spell)), anything])
        if isinstance(node, Graph):
            return self._state(node, 0, spell)
        raise OptionError("a rule cannot stand inside an intersection or a complement")

    def _state(self, graph: Graph, state: int, spell: Spell) -> Regular:
        return self._make(STATE, (graph, state, spell), None, state in graph.ends)

    def utf8(self, ranges: tuple[Range, ...]) -> Regular:
        """A character in UTF-8."""
        key = ("utf8", ranges, None)
        found = self._made.get(key)
        if found is None:
            found = self._made[key] = self.alt(
                self.seq(*(self.byte_set((2 << last) - (1 << first)) for first, last in sequence))
                for low, high in ranges
                for sequence in utf8_ranges(low, high)
            )
        return found


def _number(one: Regular) -> int:
    return one.number


def _by_target(moves: list[tuple[int, Regular]]) -> Moves:
    found: dict[Regular, int] = {}
    for mask, target in moves:
        found[target] = found.get(target, 0) | mask
    return tuple((mask, target) for target, mask in found.items())
