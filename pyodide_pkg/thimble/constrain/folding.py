"""Which states no token can tell apart.

What is repeated stands in the automaton as often as it may come: the twentieth letter of a string
is another place than the nineteenth, and the tenth object of a list has another context than the
ninth. A token has few bytes, and each copy takes at least one: as long as more copies are left
than a token has bytes, what may come is the same. So each such copy is taken for the first one, and
the mask of a state for that of every state that differs in nothing else.
"""

from __future__ import annotations

from bisect import bisect_right

from .automaton import NOWHERE, Automaton, Item, Origin

Signature = tuple[frozenset[Item], bool]


class Folding:
    """Signatures of an automaton's states: where they are equal, so is what may come in at most
    `reach` bytes."""

    def __init__(self, automaton: Automaton, reach: int) -> None:
        self._automaton = automaton
        self._reach = reach
        self._copies = automaton.network.repeated()
        self._firsts = [one.first for one in self._copies]
        self._places: dict[int, int] = {}
        self._contexts: dict[int, int] = {0: 0}
        self._numbers: dict[Origin, int] = {}

    def of(self, state: int) -> Signature:
        """A state's signature."""
        items = self._automaton.items[state]
        folded = frozenset((self._place(place), self._context(context)) for place, context in items)
        return folded, self._automaton.accepting[state]

    def _place(self, place: int) -> int:
        """The place in the first copy, where it is far enough from the last one."""
        known = self._places.get(place)
        if known is None:
            known = place
            at = bisect_right(self._firsts, place) - 1
            if at >= 0:
                copies = self._copies[at]
                number, inside = divmod(place - copies.first, copies.size)
                if number < copies.total and copies.total - 1 - number > self._reach:
                    known = copies.first + inside
            self._places[place] = known
        return known

    def _context(self, context: int) -> int:
        """The number of a context with all its places folded."""
        if context not in self._contexts:
            automaton = self._automaton
            for one in automaton.needed(automaton, {context}, self._contexts):
                rule, items = automaton.origins[one]
                folded = frozenset(
                    (called, (self._place(back), self._contexts.get(below, NOWHERE)))
                    for called, (back, below) in items
                )
                number = self._numbers.setdefault(Origin(rule, folded), len(self._numbers) + 1)
                self._contexts[one] = number
        return self._contexts[context]
