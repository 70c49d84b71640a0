"""A grammar's rules as nondeterministic automata over bytes (Thompson 1968).

The edges are ranges of bytes, nothing, or a call of a rule. Left recursion would never end and is
refused; ways that can never end are dropped.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from ..errors import OptionError
from .effort import Effort
from .nodes import Alt, Both, Chars, Graph, Json, Node, Not, Range, Repeat, Rule, Seq
from .regular import Algebra, Regular, runs_of
from .utf8 import utf8_ranges

MOST_PLACES = 200_000
"""Places of all rules' automata together."""


class Copies(NamedTuple):
    """The same part of an automaton several times, one behind the other."""

    first: int
    """The first place of the first copy."""
    size: int
    """Places of each."""
    total: int
    rule: int | None
    """What each of them calls; None where each reads one character itself."""


class Network:
    """All rules' automata. Of each place: where it leads for nothing, for bytes, and by a call."""

    def __init__(self, rules: Mapping[str, Node], root: str) -> None:
        self.free: list[list[int]] = []
        self.edges: list[list[tuple[int, int, int]]] = []
        self.calls: list[list[tuple[int, int]]] = []
        self.names = list(rules)
        self._copies: list[Copies] = []
        self._numbers = {name: number for number, name in enumerate(rules)}
        self.starts = [self._place() for _ in rules]
        self.ends = [self._place() for _ in rules]
        for number, node in enumerate(rules.values()):
            self._join(self._add(node, self.starts[number]), self.ends[number])
        self.root = self._numbers[root]
        self.nullable = self._nullable()
        """The rules that may read nothing."""
        self._refuse_left_recursion()
        self._drop_dead_ends()

    def _place(self) -> int:
        if len(self.free) >= MOST_PLACES:
            raise OptionError(
                f"the grammar needs more than {MOST_PLACES:,} places; repeat less, or shorter parts"
            )
        self.free.append([])
        self.edges.append([])
        self.calls.append([])
        return len(self.free) - 1

    def _join(self, start: int, end: int) -> None:
        self.free[start].append(end)

    def _add(self, node: Node, start: int) -> int:
        """Put a node's automaton behind a place; where it ends."""
        if isinstance(node, Chars):
            return self._add_chars(node, start)
        if isinstance(node, Seq):
            for part in node.parts:
                start = self._add(part, start)
            return start
        if isinstance(node, (Both, Not)):
            return self._add_regular(node, start)
        if isinstance(node, Json):
            raise OptionError("JSON inside of a grammar is not supported")
        end = self._place()
        if isinstance(node, Alt):
            for part in node.parts:
                self._join(self._add(part, start), end)
        elif isinstance(node, Rule):
            self.calls[start].append((self._numbers[node.name], end))
        elif isinstance(node, Graph):
            self._add_graph(node, start, end)
        else:
            self._add_repeat(node, start, end)
        return end

    def _add_regular(self, node: Node, start: int) -> int:
        """An intersection or a complement, by its derivatives."""
        algebra = Algebra(Effort(10 * MOST_PLACES))
        root, end = algebra.of(node, algebra.utf8), self._place()
        places: dict[Regular, int] = {root: self._place()}
        self._join(start, places[root])
        work = [root]
        while work:
            at = work.pop()
            place = places[at]
            if at.nullable:
                self._join(place, end)
            for mask, target in at.moves:
                if target.live and target not in places:
                    places[target] = self._place()
                    work.append(target)
                if target.live:
                    self.edges[place] += [(*run, places[target]) for run in runs_of(mask)]
        return end

    def _add_graph(self, node: Graph, start: int, end: int) -> None:
        places = [self._place() for _ in node.ways]
        self._join(start, places[0])
        for place, ways in zip(places, node.ways, strict=True):
            for part, target in ways:
                self._join(self._add(part, place), places[target])
        for state in node.ends:
            self._join(places[state], end)

    def _add_repeat(self, node: Repeat, start: int, end: int) -> None:
        copies = node.low + (1 if node.high is None else node.high - node.low)
        if copies > 1 and not isinstance(node.node, (Chars, Rule)):
            # A rule of its own, which is called: copies of copies would have no end.
            self.names.append("(repeated)")
            self.starts.append(self._place())
            self.ends.append(self._place())
            rule = len(self.starts) - 1
            self._join(self._add(node.node, self.starts[rule]), self.ends[rule])
        else:
            rule = None
        first = len(self.free)
        for _ in range(node.low):
            start = self._again(node.node, rule, start)
        self._note(node.node, rule, first, node.low)
        if node.high is None:
            loop = self._place()
            self._join(start, loop)
            self._join(self._again(node.node, rule, loop), loop)
            self._join(loop, end)
            return
        first = len(self.free)
        for _ in range(node.high - node.low):
            self._join(start, end)
            fresh = self._place()  # a loop inside must not be entered from outside
            self._join(start, fresh)
            start = self._again(node.node, rule, fresh)
        self._note(node.node, rule, first, node.high - node.low)
        self._join(start, end)

    def _note(self, node: Node, rule: int | None, first: int, count: int) -> None:
        """Remember that `count` copies of a node stand behind place `first`."""
        if count > 1:
            called = self._numbers[node.name] if isinstance(node, Rule) else rule
            size = (len(self.free) - first) // count
            self._copies.append(Copies(first, size, count, called))

    def repeated(self) -> list[Copies]:
        """All copies that cannot read nothing, by their first place."""
        never_empty = [one for one in self._copies if one.rule not in self.nullable]
        return sorted(never_empty, key=lambda one: one.first)

    def _again(self, node: Node, rule: int | None, start: int) -> int:
        """One more of what is repeated; where it ends."""
        if rule is None:
            return self._add(node, start)
        end = self._place()
        self.calls[start].append((rule, end))
        return end

    def _add_chars(self, node: Chars, start: int) -> int:
        end = self._place()
        behind: dict[tuple[Range, ...], int] = {(): end}
        for low, high in node.ranges:
            for sequence in utf8_ranges(low, high):
                for at in range(len(sequence) - 1, 0, -1):
                    if sequence[at:] not in behind:
                        place = behind[sequence[at:]] = self._place()
                        self.edges[place].append((*sequence[at], behind[sequence[at + 1 :]]))
                self.edges[start].append((*sequence[0], behind[sequence[1:]]))
        return end

    def _nullable(self) -> set[int]:
        found: set[int] = set()
        while True:
            more = {
                rule
                for rule in range(len(self.starts))
                if rule not in found and self.ends[rule] in self._before_reading(rule, found)[0]
            }
            if not more:
                return found
            found |= more

    def _before_reading(self, rule: int, nullable: set[int]) -> tuple[set[int], set[int]]:
        """The places of a rule that are reached, and the rules that are called, before a byte."""
        seen, called, work = {self.starts[rule]}, set[int](), [self.starts[rule]]
        while work:
            place = work.pop()
            following = list(self.free[place])
            for callee, back in self.calls[place]:
                called.add(callee)
                if callee in nullable:
                    following.append(back)
            fresh = [one for one in following if one not in seen]
            seen.update(fresh)
            work += fresh
        return seen, called

    def _refuse_left_recursion(self) -> None:
        rules = range(len(self.starts))
        first = [self._before_reading(rule, self.nullable)[1] for rule in rules]
        done: set[int] = set()
        for rule in range(len(first)):
            path: dict[int, Iterator[int]] = {} if rule in done else {rule: iter(first[rule])}
            while path:
                last = next(reversed(path))
                callee = next(path[last], None)
                if callee is None:
                    done.add(last)
                    del path[last]
                elif callee in path:
                    raise OptionError(
                        f"rule {self.names[callee]!r} calls itself before it reads anything (left "
                        "recursion); let it read first, or repeat with *"
                    )
                elif callee not in done:
                    path[callee] = iter(first[callee])

    def _drop_dead_ends(self) -> None:
        """Take out every way on which a rule can never end: a generation must not enter it."""
        before: list[list[int]] = [[] for _ in self.free]
        for place in range(len(self.free)):
            for following in self.free[place]:
                before[following].append(place)
            for _, _, following in self.edges[place]:
                before[following].append(place)
            for callee, back in self.calls[place]:
                before[back].append(place)
                before[self.starts[callee]].append(place)
        live = set(self.ends)
        work = list(self.ends)
        while work:
            for place in before[work.pop()]:
                if place not in live and self._lives(place, live):
                    live.add(place)
                    work.append(place)
        if self.starts[self.root] not in live:
            raise OptionError("no text can ever satisfy the grammar: each way leads round in it")
        for place in range(len(self.free)):
            self.free[place] = [one for one in self.free[place] if one in live]
            self.edges[place] = [one for one in self.edges[place] if one[2] in live]
            self.calls[place] = [
                one for one in self.calls[place] if one[1] in live and self.starts[one[0]] in live
            ]

    def _lives(self, place: int, live: set[int]) -> bool:
        return (
            any(one in live for one in self.free[place])
            or any(one[2] in live for one in self.edges[place])
            or any(back in live and self.starts[rule] in live for rule, back in self.calls[place])
        )
