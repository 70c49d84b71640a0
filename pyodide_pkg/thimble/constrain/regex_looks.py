"""Regular expressions that look around, as an automaton that needs not look.

The automaton's states are what is left to be read (partial derivatives: Antimirov 1996) together
with what is demanded of the rest of the text: a look-ahead that has been met is a second
expression, followed beside the first, which the rest must match, or must not. Look-behinds are
followed from the text's beginning on, so that what they say is known wherever they are asked
(compare Varatalu, Veanes & Ernits 2025, "RE#").

Everything here has a number: classes of characters that no set of the expression tells apart, what
is left (a *rest*), sets of what may be left (a *kernel*), and what the look-behinds know (a
*past*).
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import NamedTuple

from ..errors import OptionError
from .nodes import LAST, Range
from .regex_tree import ANYTHING, NOTHING, Choice, Concat, Look, Set, Times, Tree

MOST_STATES = 5_000
MOST_STEPS = 80_000
"""Of finding the states: what is met on the way from one to another."""

NO_REST = 0
NO_PAST = 0
NOT_ASKED = -1
"""Stands in a past for a look-behind that is not asked any more."""


ASKS_BEHIND = 2

Demand = int
"""Twice a kernel, of which something matches the rest of the text; one more where nothing does."""
Demands = frozenset[Demand]
Config = tuple[int, Demands]
"""A rest, and what is demanded beside it."""
State = tuple[int, Demands, int]
"""A rest, what is demanded beside it, and the number of a past."""
Past = tuple[int, ...]
"""Of each look-behind the kernel that has been reached; nothing where none is asked."""


class Moves(NamedTuple):
    """What a rest does at one place of a text."""

    ways: list[tuple[int, int, Demands]]
    """Classes that may be read (as bits), the rest behind them, and what is demanded from here."""
    ends: set[Demands]
    """The rest may be nothing where any one of these holds."""


NONE: Demands = frozenset()


class Looking:
    """The automaton of a tree, as far as it has been asked for."""

    def __init__(self, tree: Tree) -> None:
        self._steps = 0
        self._sets: dict[Set, int] = {}
        self._behinds: dict[Look, int] = {}
        self.classes = self._classes(tree)
        self._rests: list[tuple[Tree, int]] = [(NOTHING, NO_REST)]
        self._rest_numbers: dict[tuple[Tree, int], int] = {}
        self._fewer: dict[tuple[Tree, int, int | None], Times] = {}
        self._kernels: list[frozenset[Config]] = []
        self._kernel_numbers: dict[frozenset[Config], int] = {}
        self._pasts: list[Past] = [()]
        self._past_numbers: dict[Past, int] = {(): NO_PAST}
        self._asks: dict[Tree | int, int] = {NO_REST: 0}
        self._kernels_ask: dict[int, int] = {}
        self._moves: dict[tuple[int, int], Moves] = {}
        self._advanced: dict[tuple[int, int, int], int] = {}
        self._top = self._rest(ANYTHING, NO_REST)
        self._satisfied = self._kernel({(self._top, NONE)})
        before = [self._kernel({(self._rest(ANYTHING, self._rest(one.tree, NO_REST)), NONE)})
                  for one in self._behinds]  # fmt: skip
        self.start = self._state(self._rest(tree, NO_REST), NONE, tuple(before))

    # What a state is

    def ends(self, state: State) -> bool:
        """Whether the text may end in a state."""
        rest, demands, past = state
        return any(
            all(self._holds_at_end(one, past) for one in demands | more)
            for more in self._moves_of(rest, past).ends
        )

    def ways(self, state: State) -> dict[State, int]:
        """The states behind a state, and the classes (as bits) that lead there."""
        rest, demands, past = state
        found: dict[State, int] = {}
        for classes, following, more in self._moves_of(rest, past).ways:
            together = self._united(demands, more)
            if together is None:
                continue
            if not together and not self._pasts[past]:
                target = (following, NONE, past)
                found[target] = found.get(target, 0) | classes
                continue
            for kind in _bits(classes):
                self._count()
                after = self._demanded_after(together, kind, past)
                if after is not None:
                    before = tuple(self._after(one, kind, past) for one in self._pasts[past])
                    target = self._state(following, after, before)
                    found[target] = found.get(target, 0) | 1 << kind
        return found

    def plain(self, state: State) -> bool:
        """Whether nothing is looked at any more."""
        return not state[1] and not self._looks_of_rest(state[0])

    def trees(self, rest: int) -> Iterator[Tree]:
        """What a rest is made of, in order."""
        while rest != NO_REST:
            tree, rest = self._rests[rest]
            yield tree

    def _state(self, rest: int, demands: Demands, past: Past) -> State:
        """A state that knows of the past what it will be asked, and no more."""
        asked = self._looks_of_rest(rest)
        for demand in demands:
            asked |= self._looks_of_kernel(demand >> 1)
        kept = tuple(one if asked & ASKS_BEHIND << i else NOT_ASKED for i, one in enumerate(past))
        kept = () if all(one == NOT_ASKED for one in kept) else kept
        number = self._past_numbers.setdefault(kept, len(self._pasts))
        if number == len(self._pasts):
            self._pasts.append(kept)
        return rest, demands, number

    # What is looked at: ASKS_BEHIND << i for the i-th look-behind, and bit 0 for any look

    def _looks_of_tree(self, tree: Tree) -> int:
        known = self._asks.get(tree)
        if known is None:
            known = 0
            if isinstance(tree, (Concat, Choice)):
                for part in tree.parts:
                    known |= self._looks_of_tree(part)
            elif isinstance(tree, Times):
                known = self._looks_of_tree(tree.tree)
            elif isinstance(tree, Look):
                known = 1 | self._looks_of_tree(tree.tree)
                if not tree.ahead:
                    known |= ASKS_BEHIND << self._behinds[tree]
            self._asks[tree] = known
        return known

    def _looks_of_rest(self, rest: int) -> int:
        path = []
        while rest not in self._asks:
            path.append(rest)
            rest = self._rests[rest][1]
        known = self._asks[rest]
        for one in reversed(path):
            known = self._asks[one] = known | self._looks_of_tree(self._rests[one][0])
        return known

    def _looks_of_kernel(self, kernel: int) -> int:
        known = self._kernels_ask.get(kernel)
        if known is None:
            known = 0
            for rest, demands in self._kernels[kernel]:
                known |= self._looks_of_rest(rest)
                for demand in demands:
                    known |= self._looks_of_kernel(demand >> 1)
            self._kernels_ask[kernel] = known
        return known

    # What a rest does

    def _moves_of(self, rest: int, past: int) -> Moves:
        if self._looks_of_rest(rest) < ASKS_BEHIND:
            past = NO_PAST
        known = self._moves.get((rest, past))
        if known is None:
            known = self._moves[rest, past] = Moves([], set())
            seen = {(rest, NONE)}
            work = [(rest, NONE)]
            while work:
                self._count()
                for following in self._opened(*work.pop(), past, known):
                    if following not in seen and (following[0], NONE) not in seen:
                        seen.add(following)
                        work.append(following)
        return known

    def _opened(self, rest: int, demands: Demands, past: int, moves: Moves) -> list[Config]:
        """One step into a rest: noted where it reads or is over, else what it comes to."""
        if rest == NO_REST:
            moves.ends.add(demands)
            return []
        tree, behind = self._rests[rest]
        if isinstance(tree, Set):
            moves.ways.append((self._sets[tree], behind, demands))
            return []
        if isinstance(tree, Concat):
            for part in reversed(tree.parts):
                behind = self._rest(part, behind)
            return [(behind, demands)]
        if isinstance(tree, Choice):
            return [(self._rest(part, behind), demands) for part in tree.parts]
        if isinstance(tree, Times):
            ways = [(behind, demands)] if tree.low == 0 else []
            if tree.high != 0:
                again = self._rest(self._one_fewer(tree), behind)
                ways.append((self._rest(tree.tree, again), demands))
            return ways
        if tree.ahead:
            kernel = self._kernel({(self._rest(tree.tree, self._top), NONE)})
            options = {frozenset((2 * kernel + tree.absent,))}
        else:
            options = self._said_behind(self._behinds[tree], past)
            options = self._opposite(options) if tree.absent else options
        united = (self._united(demands, option) for option in options)
        return [(behind, one) for one in united if one is not None]

    def _said_behind(self, number: int, past: int) -> set[Demands]:
        """What makes a look-behind true here: any one of these."""
        found: set[Demands] = set()
        for rest, demands in self._kernels[self._pasts[past][number]]:
            for more in self._moves_of(rest, past).ends:
                united = self._united(demands, more)
                if united is not None:
                    found.add(united)
        return {NONE} if NONE in found else found

    def _opposite(self, options: set[Demands]) -> set[Demands]:
        """What holds where none of these does: of each, one demand that is not met."""
        found: set[Demands] = {NONE}
        for option in options:
            turned = [frozenset((one ^ 1,)) for one in option]
            pairs = (self._united(one, other) for one in found for other in turned)
            found = {one for one in pairs if one is not None}
            self._count(len(found))
        return found

    # One character further

    def _demanded_after(self, demands: Demands, kind: int, past: int) -> Demands | None:
        """What is demanded behind a character; None where that cannot be met any more."""
        left: list[Demand] = []
        for demand in demands:
            after = self._after(demand >> 1, kind, past)
            if after == self._satisfied or not self._kernels[after]:
                if (demand & 1) == (after == self._satisfied):
                    return None
            else:
                left.append(2 * after + (demand & 1))
        return self._united(NONE, frozenset(left))

    def _after(self, kernel: int, kind: int, past: int) -> int:
        """The kernel behind a character of a class."""
        if kernel == NOT_ASKED:
            return kernel
        if self._looks_of_kernel(kernel) < ASKS_BEHIND:
            past = NO_PAST
        key = (kernel, kind, past)
        known = self._advanced.get(key)
        if known is None:
            found: set[Config] = set()
            for rest, demands in self._kernels[kernel]:
                for classes, following, more in self._moves_of(rest, past).ways:
                    if not classes >> kind & 1 or (following, NONE) in found:
                        continue
                    self._count()
                    united = self._united(demands, more)
                    after = None if united is None else self._demanded_after(united, kind, past)
                    if after is not None:
                        found.add((following, after))
            known = self._advanced[key] = self._kernel(found)
        return known

    def _holds_at_end(self, demand: Demand, past: int) -> bool:
        found = any(
            all(self._holds_at_end(one, past) for one in demands | more)
            for rest, demands in self._kernels[demand >> 1]
            for more in self._moves_of(rest, past).ends
        )
        return found != bool(demand & 1)

    # Numbers

    def _rest(self, tree: Tree, behind: int) -> int:
        if isinstance(tree, Concat) and not tree.parts:
            return behind
        number = self._rest_numbers.setdefault((tree, behind), len(self._rests))
        if number == len(self._rests):
            self._rests.append((tree, behind))
        return number

    def _one_fewer(self, tree: Times) -> Times:
        if tree.high is None and tree.low == 0:
            return tree
        low, high = max(tree.low - 1, 0), None if tree.high is None else tree.high - 1
        key = (tree.tree, low, high)
        return self._fewer.setdefault(key, Times(tree.tree, low, high))

    def _kernel(self, configs: set[Config]) -> int:
        if (self._top, NONE) in configs:
            configs = {(self._top, NONE)}
        found = frozenset(
            (rest, demands) for rest, demands in configs
            if not demands or (rest, NONE) not in configs
        )  # fmt: skip
        number = self._kernel_numbers.setdefault(found, len(self._kernels))
        if number == len(self._kernels):
            self._kernels.append(found)
        return number

    def _united(self, a: Demands, b: Demands) -> Demands | None:
        """All of both; None where they contradict each other."""
        together = a | b if a and b else a or b
        if len(together) > 1:
            self._count(len(together) >> 3)
            if any(one ^ 1 in together for one in together):
                return None
        return together

    def _count(self, steps: int = 1) -> None:
        self._steps += steps
        if self._steps > MOST_STEPS:
            raise self.too_much(f"takes more than {MOST_STEPS:,} steps to follow")

    def too_much(self, words: str) -> OptionError:
        """What is raised where looking around takes too long, with its first place."""
        error = OptionError(
            f"the regular expression looks around at character {self._at + 1}, which {words}; "
            "look for less, or repeat less"
        )
        error.at = self._at
        return error

    def _classes(self, tree: Tree) -> list[tuple[Range, ...]]:
        """The classes of characters. Notes sets and look-behinds, inner ones first."""
        cuts = {0, LAST + 1}
        work: list[Tree] = [tree, ANYTHING]
        behinds: list[Look] = []
        places: list[int] = []
        while work:
            one = work.pop()
            if isinstance(one, (Concat, Choice)):
                work += one.parts
            elif isinstance(one, Set):
                self._sets[one] = 0
                cuts.update(cut for low, high in one.ranges for cut in (low, high + 1))
            else:
                work.append(one.tree)
                if isinstance(one, Look):
                    places.append(one.at)
                    behinds += [] if one.ahead else [one]
        self._at = min((at for at in places if at >= 0), default=0)
        self._behinds = {one: i for i, one in enumerate(dict.fromkeys(behinds))}
        edges = sorted(cuts)
        members: dict[int, list[Range]] = {}
        inside: dict[int, list[int]] = {}
        for number, one in enumerate(self._sets):
            for low, high in one.ranges:
                inside.setdefault(low, []).append(1 << number)
                inside.setdefault(high + 1, []).append(1 << number)
        within = 0
        for low, following in pairwise(edges):
            for bit in inside.get(low, ()):
                within ^= bit
            members.setdefault(within, []).append((low, following - 1))
        for kind, within in enumerate(members):
            for number, one in enumerate(self._sets):
                self._sets[one] |= (within >> number & 1) << kind
        return [tuple(ranges) for ranges in members.values()]


def _bits(classes: int) -> Iterator[int]:
    while classes:
        low = classes & -classes
        yield low.bit_length() - 1
        classes ^= low
