"""A grammar as an automaton that reads bytes, and what it may read next.

Each rule is a nondeterministic automaton over bytes (Thompson 1968), whose edges are ranges of
bytes, nothing, or a call of a rule. A *state* here is everything that may be the case at once: a
set of (place, frame), where a frame is where to go on after the rule, and the frame below. States
have numbers and are found when they are needed, as in a lazy DFA; what follows a state is a row
with a number for each class of bytes that the grammar cannot tell apart.

A call at the end of a rule needs no frame, so that right recursion does not grow. Left recursion
would never end and is refused. It knows nothing of tokens.
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
MOST_AT_ONCE = 5_000
"""Places in one state: more means that the text can be read in too many ways."""
NOWHERE = -1
"""Stands in a row where a byte cannot come."""

Item = tuple[int, int]
"""A place and the number of a frame."""


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


class Automaton:
    """A network's states, numbered as they are found. State 0 is the beginning."""

    def __init__(self, network: Network) -> None:
        self.network = network
        self.classes = _classes(network)
        self.n_classes = max(self.classes) + 1
        self.items: list[frozenset[Item]] = []
        self.accepting: list[bool] = []
        """Of each state, whether the text may end there."""
        self.rows: list[list[int] | None] = []
        self.frames: list[Item] = [(NOWHERE, NOWHERE)]
        """Of each frame, where to go on and the frame below; 0 is the bottom."""
        self._frame_numbers: dict[Item, int] = {}
        self._numbers: dict[tuple[frozenset[Item], bool], int] = {}
        self._reached: dict[frozenset[Item], int] = {}
        self._around: dict[int, tuple[list[int], list[tuple[int, int]], bool]] = {}
        self._moves: dict[int, list[tuple[int, int]]] = {}
        self._kinds: dict[int, list[int]] = {}
        self._ends = set(network.ends)
        self._state(frozenset({(network.starts[network.root], 0)}))

    def row(self, state: int) -> list[int]:
        """The state behind each class of bytes, or NOWHERE."""
        known = self.rows[state]
        if known is not None:
            return known
        row = [NOWHERE] * self.n_classes
        for kinds, reached in self._parts(state):
            following = self._state(frozenset(reached))
            for kind in self._kinds_of(kinds):
                row[kind] = following
        self.rows[state] = row
        return row

    def _parts(self, state: int) -> list[tuple[int, list[Item]]]:
        """What a state's places reach, by sets of classes (as bits) that reach the same: most
        classes do, so that a state behind a byte is looked up once and not for each of them."""
        parts: list[tuple[int, list[Item]]] = []
        for place, frame in self.items[state]:
            for kinds, target in self._moves_of(place):
                left, item = kinds, (target, frame)
                for at in range(len(parts)):
                    bits, reached = parts[at]
                    common = bits & left
                    if not common:
                        continue
                    if common == bits:
                        reached.append(item)
                    else:
                        parts[at] = (bits ^ common, reached)
                        parts.append((common, [*reached, item]))
                    left ^= common
                    if not left:
                        break
                if left:
                    parts.append((left, [item]))
        return parts

    def step(self, state: int, byte: int) -> int:
        """The state behind a byte, or NOWHERE."""
        row, kind = self.rows[state], self.classes[byte]
        if row is not None:
            return row[kind]
        # Not the whole row, which nobody may ever ask for.
        reached = frozenset(
            (target, frame)
            for place, frame in self.items[state]
            for kinds, target in self._moves_of(place)
            if kinds >> kind & 1
        )
        return self._state(reached) if reached else NOWHERE

    def complete(self, state: int) -> bool:
        """Whether the text must end here."""
        return self.accepting[state] and not self.items[state]

    def adopt(self, other: Automaton, state: int) -> int:
        """A state of another automaton over the same network, as one of this."""
        frames = {frame for _, frame in other.items[state]}
        adopted = {frame: self._adopt_frame(other, frame) for frame in frames}
        moved = frozenset((place, adopted[frame]) for place, frame in other.items[state])
        return self._named(moved, other.accepting[state])

    def _adopt_frame(self, other: Automaton, frame: int) -> int:
        backs: list[int] = []
        while frame:
            back, frame = other.frames[frame]
            backs.append(back)
        for back in reversed(backs):
            frame = self._frame(back, frame)
        return frame

    def _state(self, reached: frozenset[Item]) -> int:
        known = self._reached.get(reached)
        if known is None:
            known = self._reached[reached] = self._named(*self._expand(reached))
        return known

    def _named(self, items: frozenset[Item], accepting: bool) -> int:
        number = self._numbers.setdefault((items, accepting), len(self.items))
        if number == len(self.items):
            self.items.append(items)
            self.accepting.append(accepting)
            self.rows.append(None)
        return number

    def _expand(self, reached: frozenset[Item]) -> tuple[frozenset[Item], bool]:
        """Everything that is reached without a byte: the places that read one, and whether the
        root may end. Raises OptionError where there are too many."""
        seen, work = set(reached), list(reached)
        reading: set[Item] = set()
        accepting = False
        while work:
            place, frame = work.pop()
            readers, calls, ends = self._around_of(place)
            reading.update((reader, frame) for reader in readers)
            ways = [
                (start, frame if self._only_ends(back) else self._frame(back, frame))
                for start, back in calls
            ]
            if ends and frame:
                ways.append(self.frames[frame])
            accepting |= ends and not frame
            fresh = [way for way in ways if way not in seen]
            seen.update(fresh)
            work += fresh
            if len(seen) > MOST_AT_ONCE:
                raise OptionError(
                    f"the grammar can read this text in more than {MOST_AT_ONCE:,} ways at once; "
                    "make it less ambiguous"
                )
        return frozenset(reading), accepting

    def _frame(self, back: int, below: int) -> int:
        number = self._frame_numbers.setdefault((back, below), len(self.frames))
        if number == len(self.frames):
            self.frames.append((back, below))
        return number

    def _only_ends(self, place: int) -> bool:
        readers, calls, ends = self._around_of(place)
        return ends and not readers and not calls

    def _around_of(self, place: int) -> tuple[list[int], list[tuple[int, int]], bool]:
        """What a place reaches inside its rule for nothing: places that read, calls, the end."""
        known = self._around.get(place)
        if known is not None:
            return known
        network = self.network
        seen, work = {place}, [place]
        readers: list[int] = []
        calls: list[tuple[int, int]] = []
        while work:
            at = work.pop()
            if network.edges[at]:
                readers.append(at)
            calls += [(network.starts[rule], back) for rule, back in network.calls[at]]
            fresh = [one for one in network.free[at] if one not in seen]
            seen.update(fresh)
            work += fresh
        known = self._around[place] = (readers, calls, not seen.isdisjoint(self._ends))
        return known

    def _moves_of(self, place: int) -> list[tuple[int, int]]:
        """A place's edges as (classes of bytes, as bits, target): one for each target."""
        known = self._moves.get(place)
        if known is None:
            reached: dict[int, int] = {}
            for low, high, target in self.network.edges[place]:
                bits = (2 << self.classes[high]) - (1 << self.classes[low])
                reached[target] = reached.get(target, 0) | bits
            known = self._moves[place] = [(bits, target) for target, bits in reached.items()]
        return known

    def _kinds_of(self, bits: int) -> list[int]:
        """The numbers of the classes in a set of them."""
        known = self._kinds.get(bits)
        if known is None:
            known = self._kinds[bits] = [i for i in range(self.n_classes) if bits >> i & 1]
        return known


def _classes(network: Network) -> list[int]:
    """Of each byte the number of its class: neighbours that no edge tells apart share one."""
    cuts = {0x20, 0x21}  # the space is alone: SentencePiece may put one before a text
    for edges in network.edges:
        for low, high, _ in edges:
            cuts.add(low)
            cuts.add(high + 1)
    classes, number = [], 0
    for byte in range(256):
        number += byte > 0 and byte in cuts
        classes.append(number)
    return classes
