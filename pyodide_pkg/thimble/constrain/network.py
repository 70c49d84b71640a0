"""A grammar's rules as nondeterministic automata over bytes (Thompson 1968).

The edges are ranges of bytes, nothing, or a call of a rule. Numbers from 256 on stand beside the
bytes for what is not spelled here: tokens of the vocabulary, JSON, or what a lexer has found. Ways
that can never end are dropped.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from ..errors import OptionError
from .byte_sets import runs_of
from .effort import AT_ONCE, BETWEEN_LOOKS, Effort, ask_to_go_on
from .nodes import (
    Alt,
    Both,
    Chars,
    Graph,
    Json,
    Node,
    Not,
    Range,
    Repeat,
    Rule,
    Seq,
    Terminal,
    Token,
)
from .regular import Algebra, Regular
from .utf8 import utf8_ranges

MOST_PLACES = 200_000
"""Places of all rules' automata together."""

MOST_RANGES = 16
"""Of a class of characters that is copied where it is repeated."""


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
    """All rules' automata. Of each place: where it leads for nothing, for bytes, and by a call.
    Raises OptionError where they have no text, are too large, or recurse on the left although they
    must not."""

    def __init__(
        self, rules: Mapping[str, Node], root: str, *, left_recursion: bool = True
    ) -> None:
        self.free: list[list[int]] = []
        self.edges: list[list[tuple[int, int, int]]] = []
        self.calls: list[list[tuple[int, int]]] = []
        self.symbols: list[Token | Json] = []
        """What stands beside the bytes: of number 256 + i the i-th."""
        self.n_symbols = 256
        self.names = list(rules)
        self._copies: list[Copies] = []
        self._numbers = {name: number for number, name in enumerate(rules)}
        self.starts = [self._place() for _ in rules]
        self.ends = [self._place() for _ in rules]
        for number, node in enumerate(rules.values()):
            self._join(self._add(node, self.starts[number]), self.ends[number])
        self.root = self._numbers[root]
        self.nullable: set[int] = set()
        """The rules that may read nothing."""
        self.leftmost: list[set[int]] = []
        """Of each rule those that it calls before it reads anything."""
        self.order: list[int] = []
        """Of each rule a number, lower than those of the rules that it calls leftmost, and the same
        for rules that call each other so."""
        self.recursive: set[int] = set()
        """The numbers in `order` of rules that call themselves leftmost."""
        if not left_recursion:
            self._look_left()
            self._refuse_left_recursion()
        self._drop_dead_ends()
        self._look_left()

    def _place(self) -> int:
        if len(self.free) >= MOST_PLACES:
            raise OptionError(
                f"the grammar needs more than {MOST_PLACES:,} places; repeat less, or shorter parts"
            )
        if len(self.free) % BETWEEN_LOOKS == 0:
            ask_to_go_on()
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
        if isinstance(node, (Token, Terminal, Json)):
            return self._add_symbol(node, start)
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

    def _add_symbol(self, node: Token | Terminal | Json, start: int) -> int:
        if isinstance(node, Terminal):
            symbol = 256 + node.number
        else:
            if node not in self.symbols:
                self.symbols.append(node)
            symbol = 256 + self.symbols.index(node)
        self.n_symbols = max(self.n_symbols, symbol + 1)
        end = self._place()
        self.edges[start].append((symbol, symbol, end))
        return end

    def _add_regular(self, node: Node, start: int) -> int:
        """An intersection or a complement, by its derivatives."""
        algebra = Algebra(Effort(2 * AT_ONCE))
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
        plain = isinstance(node.node, Chars) and len(node.node.ranges) <= MOST_RANGES
        if copies > 1 and not plain and not isinstance(node.node, Rule):
            # A rule of its own, which is called: copies of copies would have no end, and those of a
            # class like \w are large.
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

    def _look_left(self) -> None:
        """Find out which rules may read nothing, and what each calls before it reads."""
        self.leftmost = [set() for _ in self.starts]
        self.nullable.clear()
        ending = {place: rule for rule, place in enumerate(self.ends)}
        waiting: dict[int, list[tuple[int, int]]] = {}
        seen = set(self.starts)
        work = [(place, rule) for rule, place in enumerate(self.starts)]
        while work:
            place, rule = work.pop()
            following = [(one, rule) for one in self.free[place]]
            for callee, back in self.calls[place]:
                self.leftmost[rule].add(callee)
                if callee in self.nullable:
                    following.append((back, rule))
                else:
                    waiting.setdefault(callee, []).append((back, rule))
            if place in ending:
                self.nullable.add(ending[place])
                following += waiting.pop(ending[place], [])
            for one in following:
                if one[0] not in seen:
                    seen.add(one[0])
                    work.append(one)

        self._sort()

    def _sort(self) -> None:
        """Number the rules by what they call leftmost (Tarjan 1972)."""
        index: dict[int, int] = {}
        lowest: dict[int, int] = {}
        stack: list[int] = []
        on_stack: set[int] = set()
        groups: list[list[int]] = []
        for first in range(len(self.starts)):
            path = [] if first in index else [(first, iter(self.leftmost[first]))]
            while path:
                rule, callees = path[-1]
                if rule not in index:
                    index[rule] = lowest[rule] = len(index)
                    stack.append(rule)
                    on_stack.add(rule)
                callee = next(callees, None)
                if callee is None:
                    path.pop()
                    if path:
                        lowest[path[-1][0]] = min(lowest[path[-1][0]], lowest[rule])
                    if lowest[rule] == index[rule]:
                        groups.append([])
                        while not groups[-1] or groups[-1][-1] != rule:
                            groups[-1].append(stack.pop())
                            on_stack.remove(groups[-1][-1])
                elif callee not in index:
                    path.append((callee, iter(self.leftmost[callee])))
                elif callee in on_stack:
                    lowest[rule] = min(lowest[rule], index[callee])
        self.order = [0] * len(self.starts)
        self.recursive.clear()
        for number, group in enumerate(reversed(groups)):
            for rule in group:
                self.order[rule] = number
            if len(group) > 1 or group[0] in self.leftmost[group[0]]:
                self.recursive.add(number)

    def _refuse_left_recursion(self) -> None:
        for rule, number in enumerate(self.order):
            if number in self.recursive:
                raise OptionError(
                    f"rule {self.names[rule]!r:.60} calls itself before it reads anything (left "
                    "recursion); let it read first, or repeat with *"
                )

    def _drop_dead_ends(self) -> None:
        """Take out every way on which a rule can never end: a generation must not enter it."""
        before: list[list[int]] = [[] for _ in self.free]
        calls_from: list[list[tuple[int, int]]] = [[] for _ in self.starts]
        calls_back: list[list[tuple[int, int]]] = [[] for _ in self.free]
        starting = {place: rule for rule, place in enumerate(self.starts)}
        for place in range(len(self.free)):
            for following in self.free[place]:
                before[following].append(place)
            for _, _, following in self.edges[place]:
                before[following].append(place)
            for callee, back in self.calls[place]:
                calls_from[callee].append((place, back))
                calls_back[back].append((place, callee))
        live = set(self.ends)
        work = list(self.ends)
        while work:
            place = work.pop()
            lives = list(before[place])
            if place in starting:
                lives += [at for at, back in calls_from[starting[place]] if back in live]
            lives += [at for at, callee in calls_back[place] if self.starts[callee] in live]
            for one in lives:
                if one not in live:
                    live.add(one)
                    work.append(one)
        if self.starts[self.root] not in live:
            raise OptionError("no text can ever satisfy the grammar: each way leads round in it")
        for place in range(len(self.free)):
            self.free[place] = [one for one in self.free[place] if one in live]
            self.edges[place] = [one for one in self.edges[place] if one[2] in live]
            self.calls[place] = [
                one for one in self.calls[place] if one[1] in live and self.starts[one[0]] in live
            ]
