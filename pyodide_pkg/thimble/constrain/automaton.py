"""What a grammar of rules may read next.

A *state* is everything that may be the case at once: a set of (place, frame), where a place is one
of the rules' automata (`network.py`), and a frame is where to go on after the rule, and the frame
below. States have numbers and are found when they are needed, as in a lazy DFA; what follows a
state is a row with a number for each class of bytes that the grammar cannot tell apart.

A call at the end of a rule needs no frame, so that right recursion does not grow. It knows nothing
of tokens.
"""

from __future__ import annotations

from ..errors import OptionError
from .network import Network

MOST_AT_ONCE = 5_000
"""Places in one state: more means that the text can be read in too many ways."""
NOWHERE = -1
"""Stands in a row where a byte cannot come."""

Item = tuple[int, int]
"""A place and the number of a frame."""


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

    def add(self, row: list[int]) -> int:
        """The number of a state of its own that has a row already."""
        self.items.append(frozenset())
        self.accepting.append(False)
        self.rows.append(row)
        return len(self.items) - 1

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
