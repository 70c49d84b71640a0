"""What is asked of the next value in an object or a list, and what is watched of it.

What is left of a schema where a choice is open speaks of the next value in several places: it must
be such that one of the ways stays open, and which ones it leaves open is found out while it is
written.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from .logic import AND, ARRAY, CHILD, NOT, OBJECT, ONE, OR, Expr
from .objects import Has, inners
from .satisfy import NEW, Around

if TYPE_CHECKING:
    from .automaton import JsonProgram
    from .places import ObjectPlace


class Asked:
    """Answers for the places of one automaton."""

    def __init__(self, program: JsonProgram) -> None:
        self._program, self._reader = program, program.reader

    def child(
        self, goal: Expr, rest: Expr, watch: tuple[Expr, ...], place: ObjectPlace, kind: int
    ) -> tuple[int, tuple[Expr, ...]]:
        """The state where a member's value begins, and what is watched of it."""
        literals = tuple(dict.fromkeys(one for expr in (rest, *watch) for one in inners(expr)))
        if literals:
            around, always = self._around(place, kind)

            def alive(part: Expr) -> bool:
                whole = self._reader.logic.both([part, self._reader.logic.child(goal), *always])
                return self._reader.satisfier.whole(whole, OBJECT, around)

            goal = self._reader.logic.both([goal, self._project(rest, alive)])
        return self._program.value(goal, literals), literals

    def _project(self, expr: Expr, alive: Callable[[Expr], bool]) -> Expr:
        """What an expression that must become true wants of the next value."""
        logic = self._reader.logic
        if expr.kind == CHILD:
            inside: Expr = expr.of
            return inside
        if expr.kind == AND:
            return logic.both([self._project(part, alive) for part in expr.of])
        if expr.kind == OR:
            found: list[Expr] = []
            for part in sorted(expr.of, key=_speaks):
                if alive(part):
                    if not _speaks(part):
                        return logic.true
                    found.append(self._project(part, alive))
            return logic.any(found)
        if expr.kind == ONE:
            return self._project_one(expr, alive)
        if expr.kind == NOT:
            if expr.of.kind == CHILD:
                return logic.negate(expr.of.of)
            plain = logic.normal(expr)
            if plain is not expr:
                return self._project(plain, alive)
        return logic.constant(expr is not logic.false)

    def _project_one(self, expr: Expr, alive: Callable[[Expr], bool]) -> Expr:
        """The same of exactly one: two that the value alone decides must not both be true. What
        others decide later is found out when the value is over."""
        logic = self._reader.logic
        decided = [part.of for part in expr.of if part.kind == CHILD]
        open_ = [part for part in expr.of if part.kind != CHILD and alive(part)]
        later = logic.any([self._project(part, alive) for part in open_])
        none = [logic.negate(one) for one in decided]
        return logic.any([logic.one(decided), logic.both([later, *none])])

    def _around(self, place: ObjectPlace, kind: int | None) -> tuple[Around, list[Expr]]:
        """What is known of an object behind a member of a kind, or as it stands."""
        plan, logic = place.plan, self._reader.logic
        seen, low, high, at, need = place.seen, place.low, place.high, place.at, place.need
        if kind is not None:
            low, high = max(0, low - 1), None if high is None else high - 1
            at = min(kind, plan.mentioned) if plan.ordered else at
            if kind < plan.mentioned:
                seen, need = seen | 1 << kind, need & ~(1 << kind)
        gone = frozenset(
            plan.names[one]
            for one in range(plan.mentioned)
            if seen >> one & 1 or (plan.ordered and one < at)
        )
        around = Around(gone=gone, others=self._program.names.has_others(plan), low=low, high=high)
        wanted = [plan.names[one] for one in range(plan.mentioned) if need >> one & 1]
        return around, [*plan.always(), *(logic.says(Has(name)) for name in wanted)]

    def can_become(self, place: ObjectPlace, rest: Expr, kind: int) -> bool:
        """Whether a member of a kind may come, of which `rest` is left."""
        logic = self._reader.logic
        around, always = self._around(place, kind)
        whole = logic.both([rest, logic.child(place.plan.goal(kind)), *always])
        return self._reader.satisfier.whole(whole, OBJECT, around)

    def can_end(self, place: ObjectPlace) -> bool:
        """Whether an object can be ended from a place."""
        around, always = self._around(place, None)
        whole = self._reader.logic.both([place.rest, *always])
        return self._reader.satisfier.whole(whole, OBJECT, around)

    def list_can(self, left: Expr, must: Expr | None) -> bool:
        """Whether a list can be ended of which `left` must become true, behind an item of which
        `must` is."""
        logic = self._reader.logic
        parts = [left] if must is None else [left, logic.child(must)]
        if must is logic.false:
            return False
        return self._reader.satisfier.whole(logic.both(parts), ARRAY, NEW)

    def item(
        self, must: Expr, left: Expr, watch: tuple[Expr, ...], values: list[Expr] | None
    ) -> tuple[int, tuple[Expr, ...]]:
        """The state where an item begins, and what is watched of it."""
        found = [one for expr in (left, *watch) for one in inners(expr)]
        literals = tuple(dict.fromkeys([*found, *(values or ())]))
        if found:
            must = self._reader.logic.both(
                [must, self._project(left, lambda part: self.list_can(part, must))]
            )
        return self._program.value(must, literals), literals


def _speaks(expr: Expr) -> bool:
    """Whether an expression says anything of the next value."""
    return any(True for _ in inners(expr))
