"""What a grammar of rules may read next.

A *state* is everything that may be the case at once: a set of (place, context), where a place is
one of the rules' automata (`network.py`), and a context is everything that may go on when that rule
is over: a set of the same kind. All calls of a rule at one point of a text share one context, so
that ambiguous grammars do not multiply (a graph-structured stack: Tomita 1987; Scott & Johnstone
2010, "GLL Parsing"). Rules that call each other before they read anything have contexts that hold
each other; they are known by who calls them from outside, so that left recursion comes back to
the same state. A call at the end of a rule passes its own context on, and right recursion does not
grow.

States have numbers and are found when they are needed, as in a lazy DFA; what follows a state is a
row with a number for each class of symbols that the grammar cannot tell apart. Symbols are bytes,
and from 256 on what `Network` has beside them.
"""

from __future__ import annotations

from heapq import heapify, heappop, heappush
from typing import NamedTuple

from ..errors import OptionError
from .effort import Effort
from .network import Network

MOST_AT_ONCE = 5_000
"""Places in one state: more means that the text can be read in too many ways."""
MOST_ITEMS = 200_000
"""Places in all states together, some 30 MB; between tokens a new automaton begins long before."""
ITEMS_A_STEP = 20
NOWHERE = -1
"""Stands in a row where a byte cannot come."""

Item = tuple[int, int]
"""A place and the number of a context."""
OVER: Item = (NOWHERE, NOWHERE)
"""Stands in a context for the end of the text."""


class Origin(NamedTuple):
    """What a context is known by: its items; for one of rules that are left recursive together,
    that rule and the items of all calls from outside, each with the rule called."""

    rule: int
    """NOWHERE for a context that is not of left recursion."""
    items: frozenset[tuple[int, Item]]
    """Pairs of a rule called (NOWHERE where it does not matter) and an item."""


WIDE = 24
"""Readers and calls that are noted with a place; where it reaches more, it is gone through anew, so
that what many places reach is met once for all of them."""


class Around(NamedTuple):
    """What a place reaches inside its rule for nothing, or in one step where that is much."""

    readers: list[int]
    calls: list[Item]
    """Rules, and where to go on behind each."""
    ends: bool
    following: list[int]
    """Places that are to be gone through, too."""
    only_ends: bool


class Automaton:
    """A network's states, numbered as they are found. State 0 is the beginning."""

    def __init__(self, network: Network, effort: Effort | None = None) -> None:
        self.network = network
        self.effort = effort or Effort(10**9)
        self._owed = 0
        self.classes = _classes(network)
        self.n_classes = max(self.classes) + 1
        self.n_byte_classes = self.classes[255] + 1
        self.items: list[frozenset[Item]] = []
        self.n_items = 0
        """In all states together, and in what led to them."""
        self.accepting: list[bool] = []
        """Of each state, whether the text may end there."""
        self.rows: list[list[int] | None] = []
        self.contexts: list[frozenset[Item]] = []
        """Of each context where to go on; 0 is that of the root."""
        self.origins: list[Origin] = []
        self._context_numbers: dict[Origin, int] = {}
        self._groups: dict[frozenset[tuple[int, Item]], dict[int, int]] = {}
        self._numbers: dict[tuple[frozenset[Item], bool], int] = {}
        self._reached: dict[frozenset[Item], int] = {}
        self._around: dict[int, Around] = {}
        self._starts: dict[int, tuple[list[int], list[Item]]] = {}
        self._moves: dict[int, list[tuple[int, int]]] = {}
        self._kinds: dict[int, list[int]] = {}
        self._ends = set(network.ends)
        self._context(frozenset({OVER}))
        self._named(self._called({network.root: {OVER}}), network.root in network.nullable)

    def row(self, state: int) -> list[int]:
        """The state behind each class of symbols, or NOWHERE."""
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
        for place, context in self.items[state]:
            for kinds, target in self._moves_of(place):
                left, item = kinds, (target, context)
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
            self._work(len(parts))
        return parts

    def step(self, state: int, symbol: int) -> int:
        """The state behind a symbol, or NOWHERE."""
        row, kind = self.rows[state], self.classes[symbol]
        if row is not None:
            return row[kind]
        # Not the whole row, which nobody may ever ask for.
        reached = frozenset(
            (target, context)
            for place, context in self.items[state]
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

    def united(self, a: int, b: int) -> int:
        """The state in which a text stands that may stand in either."""
        if a == b or b == NOWHERE:
            return a
        if a == NOWHERE:
            return b
        return self._named(self.items[a] | self.items[b], self.accepting[a] or self.accepting[b])

    def _work(self, items: int) -> None:
        """Count what was gone through: so many take as long as a step of effort."""
        self._owed += items
        if self._owed >= ITEMS_A_STEP:
            self.effort.spend(self._owed // ITEMS_A_STEP)
            self._owed %= ITEMS_A_STEP

    # Contexts

    def adopt(self, other: Automaton, state: int) -> int:
        """A state of another automaton over the same network, as one of this."""
        adopted = {0: 0}
        for context in self.needed(other, {context for _, context in other.items[state]}, adopted):
            rule, calls = other.origins[context]
            moved = frozenset(
                (called, (back, adopted.get(below, NOWHERE))) for called, (back, below) in calls
            )
            if rule == NOWHERE:
                adopted[context] = self._context(frozenset(item for _, item in moved))
            else:
                adopted[context] = self._group_contexts(moved)[rule]
        items = frozenset((place, adopted[context]) for place, context in other.items[state])
        return self._named(items, other.accepting[state])

    @staticmethod
    def needed(automaton: Automaton, contexts: set[int], known: dict[int, int]) -> list[int]:
        """Contexts and those below them that are not known, the lower ones first."""
        found: dict[int, None] = {}
        work = sorted(contexts)
        while work:
            context = work[-1]
            if context in known or context in found:
                work.pop()
                continue
            below = {item[1] for _, item in automaton.origins[context].items}
            deeper = [one for one in below if one >= 0 and one not in known and one not in found]
            if deeper:
                work += deeper
            else:
                found[work.pop()] = None
        return list(found)

    def _context(self, items: frozenset[Item]) -> int:
        """The number of a context that goes on with these."""
        return self._numbered(Origin(NOWHERE, frozenset((NOWHERE, item) for item in items)), items)

    def _numbered(self, origin: Origin, items: frozenset[Item]) -> int:
        number = self._context_numbers.setdefault(origin, len(self.contexts))
        if number == len(self.contexts):
            self.contexts.append(items)
            self.origins.append(origin)
        return number

    def _group_contexts(self, calls: frozenset[tuple[int, Item]]) -> dict[int, int]:
        """The contexts of rules that are left recursive together, by these calls from outside: of
        each rule that is called, by them or by one another, its context's number."""
        known = self._groups.get(calls)
        if known is not None:
            return known
        order, starts = self.network.order, self.network.starts
        inside: dict[int, list[Item]] = {}
        work = [rule for rule, _ in calls]
        while work:
            rule = work.pop()
            if rule not in inside:
                called = self._begun(starts[rule])[1]
                inside[rule] = [one for one in called if order[one[0]] == order[rule]]
                work += [callee for callee, _ in inside[rule]]
        known = self._groups[calls] = {
            rule: self._numbered(Origin(rule, calls), frozenset()) for rule in inside
        }
        going_on: dict[int, set[Item]] = {rule: set() for rule in inside}
        passed: dict[int, list[int]] = {rule: [] for rule in inside}
        for rule, item in calls:
            going_on[rule].add(item)
        for rule, own in inside.items():
            for callee, back in own:
                if self._around_of(back).only_ends:
                    passed[rule].append(callee)
                else:
                    going_on[callee].add((back, known[rule]))
        changed = [rule for rule in inside if passed[rule]]
        while changed:
            rule = changed.pop()
            for callee in passed[rule]:
                if not going_on[rule] <= going_on[callee]:
                    self._work(1 + (len(going_on[rule]) >> 3))
                    going_on[callee] |= going_on[rule]
                    changed.append(callee)
        for rule, number in known.items():
            self.contexts[number] = frozenset(going_on[rule])
        return known

    # States

    def _state(self, reached: frozenset[Item]) -> int:
        known = self._reached.get(reached)
        if known is None:
            known = self._reached[reached] = self._named(*self._expand(reached))
            self.n_items += len(reached)
        return known

    def _named(self, items: frozenset[Item], accepting: bool) -> int:
        number = self._numbers.get((items, accepting))
        if number is None:
            if len(items) > MOST_AT_ONCE:
                raise self._ambiguous()
            if self.n_items + len(items) > MOST_ITEMS:
                raise OptionError(
                    f"the grammar's states take more than {MOST_ITEMS:,} places; make it simpler"
                )
            number = self._numbers[items, accepting] = len(self.items)
            self.items.append(items)
            self.n_items += len(items)
            self.accepting.append(accepting)
            self.rows.append(None)
        return number

    def _ambiguous(self) -> OptionError:
        return OptionError(
            f"the grammar can read this text in more than {MOST_AT_ONCE:,} ways at once; make it "
            "less ambiguous"
        )

    def _expand(self, reached: frozenset[Item]) -> tuple[frozenset[Item], bool]:
        """Everything that is reached without a symbol: the places that read one, and whether the
        root may end. Raises OptionError where there are too many."""
        seen, work = set(reached), list(reached)
        reading: set[Item] = set()
        calls: dict[int, set[Item]] = {}
        accepting = False
        while work:
            place, context = work.pop()
            around = self._around_of(place)
            reading.update([(reader, context) for reader in around.readers])
            self._call(calls, around.calls, context)
            following = [(one, context) for one in around.following]
            if around.ends:
                following += self.contexts[context]
                accepting |= OVER in self.contexts[context]
            fresh = [one for one in following if one not in seen and one != OVER]
            seen.update(fresh)
            work += fresh
            self._work(1 + (len(following) >> 3))
            if len(reading) > MOST_AT_ONCE:
                raise self._ambiguous()
        return self._called(calls, reading), accepting

    def _call(self, calls: dict[int, set[Item]], more: list[Item], context: int) -> None:
        """Note calls of rules, from a place with a context."""
        for rule, back in more:
            items = calls.setdefault(rule, set())
            if self._around_of(back).only_ends:
                items |= self.contexts[context]
            else:
                items.add((back, context))

    def _called(
        self, calls: dict[int, set[Item]], reading: set[Item] | None = None
    ) -> frozenset[Item]:
        """What calls of rules come to: those that read, and those in the rules called."""
        found = reading or set()
        order, starts = self.network.order, self.network.starts
        by_order: dict[int, set[int]] = {}
        waiting = list({order[rule] for rule in calls})
        heapify(waiting)
        for rule in calls:
            by_order.setdefault(order[rule], set()).add(rule)
        while waiting:
            number = heappop(waiting)
            rules = by_order[number]
            if number in self.network.recursive:
                outside = frozenset((rule, item) for rule in rules for item in calls[rule])
                contexts = self._group_contexts(outside)
            else:
                contexts = {rule: self._context(frozenset(calls[rule])) for rule in rules}
            for rule, context in contexts.items():
                readers, called = self._begun(starts[rule])
                found.update([(reader, context) for reader in readers])
                more = [one for one in called if order[one[0]] != number]
                self._call(calls, more, context)
                for callee, _ in more:
                    if order[callee] not in by_order:
                        by_order[order[callee]] = set()
                        heappush(waiting, order[callee])
                    by_order[order[callee]].add(callee)
                self._work(1 + (len(readers) + len(called) >> 3))
            if len(found) > MOST_AT_ONCE:
                raise self._ambiguous()
        return frozenset(found)

    def _begun(self, start: int) -> tuple[list[int], list[Item]]:
        """All that a rule's start reaches inside it: places that read, and calls."""
        around = self._around_of(start)
        if not around.following:
            return around.readers, around.calls
        known = self._starts.get(start)
        if known is None:
            known = self._starts[start] = ([], [])
            seen, work = {start}, [start]
            while work:
                around = self._around_of(work.pop())
                known[0].extend(around.readers)
                known[1].extend(around.calls)
                fresh = [one for one in around.following if one not in seen]
                seen.update(fresh)
                work += fresh
            known = self._starts[start] = (list(set(known[0])), list(set(known[1])))
        return known

    # Places

    def _around_of(self, place: int) -> Around:
        """What a place reaches inside its rule for nothing. A rule that may read nothing is also
        passed over."""
        known = self._around.get(place)
        if known is None:
            known = self._around[place] = self._reaches(place)
        return known

    def _reaches(self, place: int) -> Around:
        network = self.network
        seen, work = {place}, [place]
        readers: list[int] = []
        calls: list[Item] = []
        ends = False
        while work:
            at = work.pop()
            ends |= at in self._ends
            if network.edges[at]:
                readers.append(at)
            calls += network.calls[at]
            fresh = [one for one in self._next(at) if one not in seen]
            seen.update(fresh)
            work += fresh
            if len(readers) + len(calls) > WIDE and len(seen) > len(network.calls[place]) + 1:
                one = [place] if network.edges[place] else []
                following = self._next(place)
                return Around(one, network.calls[place], place in self._ends, following, False)
        self._work(len(seen) >> 3)
        return Around(readers, calls, ends, [], ends and not readers and not calls)

    def _next(self, place: int) -> list[int]:
        """The places that are behind a place for nothing."""
        passed = [back for rule, back in self.network.calls[place] if rule in self.network.nullable]
        return self.network.free[place] + passed

    def _moves_of(self, place: int) -> list[tuple[int, int]]:
        """A place's edges as (classes of symbols, as bits, target): one for each target."""
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
    """Of each symbol the number of its class: neighbouring bytes that no edge tells apart share
    one; each symbol beside the bytes has its own."""
    cuts = {0x20, 0x21}  # the space is alone: SentencePiece may put one before a text
    for edges in network.edges:
        for low, high, _ in edges:
            cuts.add(low)
            cuts.add(high + 1)
    classes, number = [], 0
    for symbol in range(network.n_symbols):
        number += symbol > 0 and (symbol in cuts or symbol >= 256)
        classes.append(number)
    return classes
