"""Places in an object or a list that is being written: what may come there.

An object's place knows which members came, which must, and what is left of the statements that
leave a choice; a list's place what is left of its statements. What is behind a value depends on
what turned out to be true of it (`said`), and only that.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..program import NOWHERE, Record
from ..regular import Regular
from .logic import CHILD, NOT, OBJECT, STATEMENT, VALUES, Expr, Logic
from .objects import (
    Count,
    Has,
    Items,
    Members,
    Name,
    Names,
    Unique,
    behind_item,
    behind_name,
    closed,
    conjuncts,
    each,
    names_in,
    settle,
    statements,
)  # fmt: skip
from .satisfy import Around
from .words import spelled

if TYPE_CHECKING:
    from .automaton import JsonProgram

EXTRAS = 1000
"""Names beyond the mentioned ones that are told apart, so that none comes twice."""


class Plan:
    """What does not change while an object is written."""

    def __init__(self, program: JsonProgram, goal: Expr, watch: tuple[Expr, ...]) -> None:
        self.program = program
        self.logic = program.reader.logic
        said = [part.of for part in conjuncts(goal) if part.kind == STATEMENT]
        self.members = [one for one in said if isinstance(one, Members)]
        self.languages = [one.language for one in said if isinstance(one, Names)]
        self.need = [one.name for one in said if isinstance(one, Has)]
        self.low = max([0, *(one.low for one in said if isinstance(one, Count))])
        highs = [one.high for one in said if isinstance(one, Count) and one.high is not None]
        self.high = min(highs) if highs else None
        self.rest = self.logic.both(
            part for part in conjuncts(goal)
            if part.kind != STATEMENT
        )  # fmt: skip
        self.watch = watch
        self.everything = [*said, *(s for expr in (self.rest, *watch) for s in statements(expr))]
        self.names = names_in([goal, *watch])
        self.mentioned = len(self.names)
        self.index = {name: at for at, name in enumerate(self.names)}
        self.words = [spelled(name) for name in self.names]
        self.order = sorted(range(self.mentioned), key=lambda at: self.words[at])
        self.rank = {at: rank for rank, at in enumerate(self.order)}
        found: dict[Regular, None] = dict.fromkeys(self.languages)
        for one in self.everything:
            if isinstance(one, Members):
                found.update((language, None) for language, _ in one.patterns)
            elif isinstance(one, Names):
                found[one.language] = None
        self.told_by = tuple(found)
        self.kinds: list[Name] = [self._name(at) for at in range(self.mentioned)]
        self._kinds: dict[frozenset[Regular], int] = {}
        self._goals: dict[int, Expr] = {}
        self._possible: dict[int, bool] = {}
        self.ordered = program.reader.options.property_order == "schema"
        self.opened = self._opened()

    def _name(self, at: int) -> Name:
        data = self.words[at]
        return Name(self.names[at], frozenset(one for one in self.told_by if one.has(data)))

    def kind(self, matched: frozenset[Regular]) -> int:
        """The number of the names that these languages have and that are not mentioned."""
        found = self._kinds.get(matched)
        if found is None:
            found = self._kinds[matched] = len(self.kinds)
            self.kinds.append(Name(None, matched))
        return found

    def goal(self, kind: int) -> Expr:
        """What must be true of the value behind a name of this kind, in any case."""
        found = self._goals.get(kind)
        if found is None:
            name = self.kinds[kind]
            if any(language not in name.matched for language in self.languages):
                found = self.logic.false
            else:
                found = self.logic.both(one.at(name, self.logic) for one in self.members)
            self._goals[kind] = found
        return found

    def possible(self, kind: int) -> bool:
        found = self._possible.get(kind)
        if found is None:
            can = self.program.reader.satisfier.any_kind
            found = self._possible[kind] = can(self.goal(kind))
        return found

    def _opened(self) -> bool:
        """Whether names may come that are not mentioned, by the options and the schema."""
        if self.program.reader.options.extra_members == "standard":
            return True
        members = [one for one in self.everything if isinstance(one, Members)]
        if any(one.explicit for one in members) or not any(one.named for one in members):
            return True
        around = Around(others=False)
        satisfier = self.program.reader.satisfier
        count = [self.logic.says(Count(OBJECT, self.low, self.high))]
        has = [self.logic.says(Has(name)) for name in self.need]
        start = self.logic.both([self.rest, *count, *has, *self.always()])
        return not satisfier.whole(start, OBJECT, around)

    def always(self) -> list[Expr]:
        """What is said of every member, as expressions."""
        found = [self.logic.says(one) for one in self.members]
        return found + [self.logic.says(Names(language)) for language in self.languages]

    def others(self) -> Regular | None:
        """The names that are not mentioned and may come; None where there are none."""
        if not self.opened:
            return None
        strings = self.program.reader.strings
        if not self.told_by:
            kind = self.kind(frozenset())
            return strings.spelling.any_text if self.possible(kind) else None
        ways = []
        algebra, any_text = strings.algebra, strings.spelling.any_text
        for name in self.program.reader.satisfier.other_names(self.everything):
            if self.possible(self.kind(name.matched)):
                outside = [algebra.but(one) for one in self.told_by if one not in name.matched]
                ways.append(algebra.both([any_text, *name.matched, *outside]))
        found = self._simpler(ways)
        return found if found.live else None

    def _simpler(self, ways: list[Regular]) -> Regular:
        """All ways together: any text where every kind of name may come."""
        strings = self.program.reader.strings
        names = self.program.reader.satisfier.other_names(self.everything)
        if len(ways) == len(names) and len(self.told_by) <= 6:
            return strings.spelling.any_text
        return strings.algebra.alt(ways)


class Bottom:
    """The place where the whole text stands."""

    key: tuple[object, ...] = ()

    def record(self) -> Record:
        return Record(child=0)

    def behind_value(self, said: int, text: bytes | None) -> Bottom:
        return self


class ObjectPlace:
    """Where the next member begins, or the object ends."""

    __slots__ = (
        "at", "extras", "high", "low", "need", "number", "plan", "rest", "seen", "watch",
    )  # fmt: skip

    def __init__(
        self, plan: Plan, need: int, seen: int, low: int, high: int | None, at: int, rest: Expr,
        watch: tuple[Expr, ...], extras: tuple[int, ...],
    ) -> None:  # fmt: skip
        self.plan, self.need, self.seen, self.low, self.high = plan, need, seen, low, high
        self.at, self.rest, self.watch, self.extras = at, rest, watch, extras

    @property
    def key(self) -> tuple[object, ...]:
        return (
            self.plan, self.need, self.seen, self.low, self.high, self.at, self.rest, self.watch,
            self.extras,
        )  # fmt: skip

    def record(self) -> Record:
        plan, logic = self.plan, self.plan.logic
        close = NOWHERE
        if not self.need and not self.low and closed(logic, self.rest):
            close = plan.program.said_of(tuple(closed(logic, one) for one in self.watch))
        others = self._others_may_come()
        allowed: list[bool] | None = None
        if not others or not plan.program.names.free(plan):
            allowed = [False] * plan.mentioned
            for at in range(plan.mentioned):
                allowed[plan.rank[at]] = self.may_come(at)
        key = NOWHERE
        if self.high != 0 and (others or (allowed is not None and any(allowed))):
            key = plan.program.names.key_start(plan, self.extras)
        return Record(
            close=close, key=key, others=others, allowed=allowed,
            n_names=len(plan.kinds) + 1,
        )  # fmt: skip

    def _others_may_come(self) -> bool:
        plan = self.plan
        if self.high == 0 or not plan.program.names.has_others(plan):
            return False
        needed = self.need.bit_count()
        if plan.ordered and needed:
            return False
        return self.high is None or needed < self.high

    def may_come(self, at: int) -> bool:
        """Whether a member of the mentioned name may be the next one."""
        plan, bit = self.plan, 1 << at
        if self.seen & bit or self.high == 0 or not plan.possible(at):
            return False
        if self.high is not None and (self.need & ~bit).bit_count() >= self.high:
            return False
        if plan.ordered and (at < self.at or self.need & (bit - 1)):
            return False
        if plan.ordered and self.low > 1 and not self._enough_behind(at):
            return False
        if self.rest is plan.logic.true:
            return True
        rest = behind_name(plan.logic, self.rest, plan.kinds[at], self._missed(at))
        return bool(plan.program.asked.can_become(self, rest, at))

    def _enough_behind(self, at: int) -> bool:
        plan = self.plan
        if plan.program.names.has_others(plan):
            return True
        later = sum(plan.possible(one) for one in range(at + 1, plan.mentioned))
        return bool(later >= self.low - 1)

    def _missed(self, at: int) -> frozenset[str]:
        """Names that cannot come any more behind this one."""
        plan = self.plan
        if not plan.ordered:
            return frozenset()
        last = min(at, plan.mentioned)
        return frozenset(
            plan.names[one] for one in range(self.at, last) if not self.seen >> one & 1
        )

    def behind_key(self, kind: int, text: bytes | None) -> KeyPlace | None:
        plan = self.plan
        if kind < plan.mentioned:
            return KeyPlace(self, kind, None) if self.may_come(kind) else None
        if kind >= len(plan.kinds) or plan.kinds[kind].text is not None:
            return None  # one that came already
        if not self._others_may_come() or not plan.possible(kind):
            return None
        rest = behind_name(plan.logic, self.rest, plan.kinds[kind], self._missed(plan.mentioned))
        if rest is not plan.logic.true and not plan.program.asked.can_become(self, rest, kind):
            return None
        name = None
        if text is not None and len(self.extras) < EXTRAS:
            name = last_string(text)
        return KeyPlace(self, kind, name)


class KeyPlace:
    """Where the value of a member begins."""

    __slots__ = ("_literals", "_rest", "_watch", "kind", "name", "place")

    def __init__(self, place: ObjectPlace, kind: int, name: bytes | None) -> None:
        self.place, self.kind, self.name = place, kind, name
        self._literals: tuple[Expr, ...] = ()

    @property
    def key(self) -> tuple[object, ...]:
        return (self.place, self.kind, self.name)

    def record(self) -> Record:
        place, plan = self.place, self.place.plan
        logic = plan.logic
        name = plan.kinds[self.kind]
        missed = place._missed(min(self.kind, plan.mentioned))
        goal = plan.goal(self.kind)
        goal, self._rest, self._watch = forced(
            logic,
            goal,
            [behind_name(logic, one, name, missed) for one in (place.rest, *place.watch)],
        )
        child, self._literals = plan.program.asked.child(
            goal, self._rest, self._watch, place, self.kind
        )
        return Record(child=child, n_said=1 << min(len(self._literals), 3), close=NOWHERE)

    def behind_value(self, said: int, text: bytes | None) -> ObjectPlace | None:
        place, plan = self.place, self.place.plan
        truths = plan.program.truths[said]
        known = dict(zip(self._literals, truths, strict=True))
        logic = plan.logic
        rest = settle(logic, self._rest, known)
        if rest is logic.false:
            return None
        watch = tuple(settle(logic, one, known) for one in self._watch)
        bit = 1 << self.kind if self.kind < plan.mentioned else 0
        extras = place.extras
        if self.name is not None:
            extras = (*extras, plan.program.names.extra(plan, self.name))
        at = place.at
        if plan.ordered:
            at = self.kind + 1 if bit else plan.mentioned
        behind = ObjectPlace(
            plan, place.need & ~bit, place.seen | bit, max(0, place.low - 1),
            None if place.high is None else place.high - 1, at, rest, watch, extras,
        )  # fmt: skip
        if rest is not logic.true and not plan.program.asked.can_end(behind):
            return None
        return behind


class ListPlace:
    """Where the next item begins, or the list ends."""

    __slots__ = ("_goal", "_literals", "_watch", "folds", "goal", "program", "watch")

    def __init__(self, program: JsonProgram, goal: Expr, watch: tuple[Expr, ...]) -> None:
        self.program, self.goal, self.watch = program, goal, watch
        self._literals: tuple[Expr, ...] = ()

    @property
    def key(self) -> tuple[object, ...]:
        return (self.goal, self.watch)

    @property
    def unique(self) -> bool:
        return any(
            isinstance(one, Unique) for e in (self.goal, *self.watch) for one in statements(e)
        )

    def record(self) -> Record:
        program, logic = self.program, self.program.reader.logic
        close = NOWHERE
        if closed(logic, self.goal):
            close = program.said_of(tuple(closed(logic, one) for one in self.watch))
        said = [part.of for part in conjuncts(self.goal) if part.kind == STATEMENT]
        items = [one for one in said if isinstance(one, Items)]
        must = logic.both([one.at(0) for one in items])
        must, self._goal, self._watch = forced(
            logic, must, [behind_item(logic, one) for one in (self.goal, *self.watch)]
        )
        child = NOWHERE
        if self._goal is not logic.false and program.asked.list_can(self._goal, must):
            seen = [
                s
                for e in (self._goal, *self._watch)
                for s in statements(e)
                if isinstance(s, Unique)
            ]
            finite = program.reader.finite(must) if seen else None
            child, self._literals = program.asked.item(must, self._goal, self._watch, finite)
        exact = self.unique and program.reader.finite(must) is None
        return Record(
            close=close, child=child, n_said=1 << min(len(self._literals), 3), exact=exact
        )

    def folded(self, reach: int) -> ListPlace:
        """The same with numbers of items that no token reaches taken for one."""
        logic = self.program.reader.logic

        def change(part: Expr) -> Expr:
            said = part.of
            if part.kind != STATEMENT or not isinstance(said, Count):
                return part
            high = None if said.high is not None and said.high > reach else said.high
            return logic.says(Count(said.kind, min(said.low, reach + 1), high))

        if not any(p.kind == STATEMENT and isinstance(p.of, Count) for p in conjuncts(self.goal)):
            return self
        goal = logic.both(change(part) for part in conjuncts(self.goal))
        return self if goal is self.goal else ListPlace(self.program, goal, self.watch)

    def behind_value(self, said: int, text: bytes | None) -> ListPlace | None:
        program, logic = self.program, self.program.reader.logic
        truths = program.truths[said]
        known = dict(zip(self._literals, truths, strict=True))
        parts = [settle(logic, one, known) for one in (self._goal, *self._watch)]
        if self.unique:
            value = None
            true = [literal for literal, truth in known.items() if truth]
            finite = [one for one in true if one.kind == VALUES and len(one.said) == 1]
            if finite:
                value = finite[0]
            elif text is not None:
                value = program.reader.value_of(last_value(text))
            if value is not None:
                parts = [with_seen(logic, one, value) for one in parts]
        goal, *watch = parts
        if goal is logic.false or not program.asked.list_can(goal, None):
            return None
        return ListPlace(program, goal, tuple(watch))


def forced(logic: Logic, goal: Expr, left: list[Expr]) -> tuple[Expr, Expr, tuple[Expr, ...]]:
    """What must be true of the next value, what is left of an expression that must be true when
    that is so, and of those that are watched."""
    while True:
        known = dict.fromkeys(conjuncts(goal), True) | {goal: True}
        left = [settle(logic, one, known) for one in left]
        more: list[Expr] = []
        for part in conjuncts(left[0]):
            if part.kind == CHILD:
                more.append(part.of)
            elif part.kind == NOT and part.of.kind == CHILD:
                more.append(logic.negate(part.of.of))
                known[part.of.of] = False
        if not more:
            return goal, left[0], tuple(left[1:])
        goal = logic.both([goal, *more])
        left = [settle(logic, one, known) for one in left]


def with_seen(logic: Logic, expr: Expr, value: Expr) -> Expr:
    """An expression in which every `Unique` knows another value."""

    def change(part: Expr) -> Expr:
        if isinstance(part.of, Unique):
            return logic.says(Unique((*part.of.seen, value)))
        return part

    return each(logic, expr, change)


def last_string(text: bytes) -> bytes:
    """The string at the end of a JSON text whose last quote has not come, without its first."""
    end = len(text)
    at = end - 1
    while True:
        at = text.rindex(b'"', 0, at + 1)
        before = at
        while before > 0 and text[before - 1] == 0x5C:
            before -= 1
        if (at - before) % 2 == 0:
            return text[at + 1 : end]
        at -= 1


def last_value(text: bytes) -> bytes:
    """The JSON value that ends at the end of a text."""
    depth = 0
    at = len(text)
    while at > 0:
        sign = text[at - 1 : at]
        if sign == b'"':
            at -= 2 + len(last_string(text[: at - 1]))
        elif sign in (b"]", b"}"):
            depth += 1
            at -= 1
        elif sign in (b"[", b"{"):
            if depth == 0:
                break
            depth -= 1
            at -= 1
        elif sign in (b",", b":", b" ", b"\n", b"\t", b"\r"):
            if depth == 0:
                break
            at -= 1
        else:
            at -= 1
        if depth == 0 and sign in (b'"', b"[", b"{"):
            break
    return text[at:]
