"""The names of an object's members as texts: those that a schema mentions, letter by letter, and
whatever else may come. Which of them an object still needs is in `places.py`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

from ..program import NOWHERE, REJECT, Span, in_key, key_end
from ..regular import Regular
from .places import Plan
from .rows import QUOTE, REJECTED, Row, fill, together

if TYPE_CHECKING:
    from .automaton import JsonProgram

KeyWays: TypeAlias = "tuple[Row, list[tuple[int, tuple[Regular, ...], Regular | None]]]"


class Names:
    """The keys of an automaton's objects."""

    def __init__(self, program: JsonProgram) -> None:
        self._program = program
        self._ways: dict[tuple[object, ...], KeyWays] = {}
        self._others: dict[Plan, Regular | None] = {}

    def others(self, plan: Plan) -> Regular | None:
        """The names that are not mentioned and may come."""
        if plan not in self._others:
            self._others[plan] = plan.others()
        return self._others[plan]

    def has_others(self, plan: Plan) -> bool:
        return self.others(plan) is not None

    def free(self, plan: Plan) -> bool:
        """Whether any name may come that is not mentioned."""
        return self.others(plan) is self._program.reader.strings.spelling.any_text

    def extra(self, plan: Plan, name: bytes) -> int:
        """The number of a name that came and is not mentioned."""
        if name not in plan.words[plan.mentioned :]:
            plan.words.append(name)
        return plan.words.index(name, plan.mentioned)

    def key_start(self, plan: Plan, extras: tuple[int, ...]) -> int:
        """The state behind a key's first quote."""
        any_text = self._program.reader.strings.spelling.any_text
        names = (*range(plan.mentioned), *sorted(extras))
        return self._program.state("key", plan, 0, names, plan.told_by, self.others(plan), any_text)

    def span(
        self, plan: Plan, depth: int, names: tuple[int, ...], told: tuple[Regular, ...],
        others: Regular | None, at: Regular,
    ) -> Span:  # fmt: skip
        """Which names, by rank, a state of a key may still become, and whether another may."""
        ranks = [plan.rank[name] for name in names if name < plan.mentioned]
        low, high = (min(ranks), max(ranks) + 1) if ranks else (0, 0)
        return low, high, others is not None

    def row(
        self, plan: Plan, depth: int, names: tuple[int, ...],
        told: tuple[Regular, ...], others: Regular | None, at: Regular,
    ) -> Row:  # fmt: skip
        """Where a state of a key leads: the names that are left, and what may stand for others."""
        template, ways = self._key_ways(plan, told, others, at)
        row = template[:]
        longer: dict[int, list[int]] = {}
        here = NOWHERE
        for name in names:
            word = plan.words[name]
            if len(word) > depth:
                longer.setdefault(word[depth], []).append(name)
            else:
                here = name
        for byte, left in longer.items():
            for mask, targets, open_ in ways:
                if mask >> byte & 1:
                    row[byte] = in_key(
                        self._program.state(
                            "key", plan, depth + 1, tuple(left), targets[2:], open_, targets[0]
                        )
                    )
        if at is self._program.reader.strings.spelling.any_text:
            if here != NOWHERE:
                row[QUOTE] = key_end(here) if here < plan.mentioned else REJECT
            elif others is not None and others.nullable:
                pairs = zip(plan.told_by, told, strict=True)
                row[QUOTE] = key_end(
                    plan.kind(frozenset(one for one, now in pairs if now.nullable))
                )
        return row

    def _key_ways(
        self, plan: Plan, told: tuple[Regular, ...], others: Regular | None, at: Regular
    ) -> KeyWays:
        """The row of a name that is not mentioned, and where its bytes lead: the same for every
        beginning of a name."""
        key = (plan, told, others, at)
        found = self._ways.get(key)
        if found is None:
            nothing = self._program.reader.strings.algebra.nothing
            row, ways = REJECTED[:], []
            for mask, targets in together((at, others or nothing, *told), nothing):
                if not targets[0].live:
                    continue
                left = targets[1] if targets[1].live else None
                ways.append((mask, targets, left))
                if left is not None:
                    other = self._program.state("key", plan, 0, (), targets[2:], left, targets[0])
                    fill(row, mask, in_key(other))
            found = self._ways[key] = (row, ways)
        return found
