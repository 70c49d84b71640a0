"""Whether any value satisfies an expression: a text must not be led where it can never end.

An expression is taken apart into cases until one holds together (a search for one, not a list of
all). A schema that contains itself is satisfiable where it can be without that.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, NamedTuple

from ...errors import OptionError
from ..effort import shortened
from ..regular import Regular
from .logic import (
    AND,
    ARRAY,
    CHILD,
    FALSE,
    NOT,
    NULL,
    NUMBER,
    OBJECT,
    ONE,
    OR,
    STRING,
    TRUE,
    Expr,
)
from .objects import Contains, Count, Has, Items, Members, Name, Names, Unique, conjuncts, names_in
from .words import spelled

if TYPE_CHECKING:
    from .reader import Reader

ORDER = (NULL, TRUE, STRING, FALSE, NUMBER, ARRAY, OBJECT)
"""Cheap ones first."""
MOST_NESTED = 64
"""Values that must stand in values that must."""
MOST_CASES = 2000
MOST_NEEDED = 64
"""Items that are looked at each by itself."""


class Around:
    """What is known of an object or a list that is being written."""

    def __init__(
        self, *, gone: frozenset[str] = frozenset(), others: bool = True, low: int = 0,
        high: int | None = None,
    ) -> None:  # fmt: skip
        self.gone, self.others, self.low, self.high = gone, others, low, high
        """Names that cannot come, and whether names may that are not mentioned."""


NEW = Around()

Goal = Callable[[int], Expr]
"""What an item must satisfy, by its place."""


class _Case(NamedTuple):
    """Statements about an object that must hold together."""

    said: list[Any]
    denied: list[Any]
    gone: frozenset[str]
    mentioned: list[str]
    goal: Callable[[Name], Expr]
    low: int
    high: int | None
    others: bool


class Satisfier:
    """Answers for the expressions of one schema, kept."""

    def __init__(self, reader: Reader) -> None:
        self._reader, self._logic = reader, reader.logic
        self._known: dict[tuple[Expr, int], bool] = {}
        self._open: dict[tuple[Expr, int], int] = {}
        self._leans = 1 << 30
        """The lowest open question that an answer of this moment leans on."""
        self._cases = 0

    def any_kind(self, expr: Expr) -> bool:
        """Whether any value satisfies an expression."""
        return any(self.can(expr, kind) for kind in ORDER)

    def can(self, expr: Expr, kind: int) -> bool:
        """Whether a value of a kind does."""
        key = (expr, kind)
        known = self._known.get(key)
        if known is not None:
            return known
        if key in self._open:
            self._leans = min(self._leans, self._open[key])
            return False
        depth = self._open[key] = len(self._open)
        if depth > MOST_NESTED:
            where = shortened(self._reader.effort.where)
            raise OptionError(f"{where}: values must stand too deep in values")
        before, self._leans = self._leans, 1 << 30
        try:
            found = self._can(self._logic.on(expr, kind), kind)
        finally:
            del self._open[key]
        if found or self._leans >= depth:
            self._known[key] = found
        self._leans = min(before, self._leans if self._leans < depth else 1 << 30)
        return found

    def _can(self, expr: Expr, kind: int) -> bool:
        logic = self._logic
        if expr is logic.true or expr is logic.false:
            return expr is logic.true
        self._reader.effort.spend(4)
        if kind == STRING:
            return self._reader.strings.satisfiable(expr)
        if kind == NUMBER:
            return self._reader.numbers.satisfiable(expr)
        return self.whole(expr, kind, NEW)

    def apart(self, one: Expr, other: Expr, kind: int, *, thorough: bool) -> bool:
        """Whether no value of a kind satisfies two expressions of its statements."""
        if kind == OBJECT and self._told_apart(one, other):
            return True
        if kind in (ARRAY, OBJECT) and not thorough:
            return False
        return not self._can(self._logic.both([one, other]), kind)

    def _told_apart(self, one: Expr, other: Expr) -> bool:
        """Whether a member that both want has different values in each."""
        parts = [self._wanted(expr) for expr in (one, other)]
        for name in parts[0].keys() & parts[1].keys():
            if not self.any_kind(self._logic.both([parts[0][name], parts[1][name]])):
                return True
        return False

    def _wanted(self, expr: Expr) -> dict[str, Expr]:
        """What is said of the members that must come."""
        said = [part.of for part in conjuncts(expr)]
        members = [one for one in said if isinstance(one, Members) and not one.patterns]
        names = [one.name for one in said if isinstance(one, Has)]
        return {
            name: self._logic.both(one.named[name] for one in members if name in one.named)
            for name in names
            if any(name in one.named for one in members)
        }

    # --- cases of objects and lists

    def whole(self, expr: Expr, kind: int, around: Around) -> bool:
        """Whether what is being written can become an object or a list of which this is true."""
        self._cases = MOST_CASES if not self._open else max(self._cases, 200)
        return self._search([expr], {}, kind, around)

    def _search(
        self, work: list[Expr], literals: dict[Expr, None], kind: int, around: Around
    ) -> bool:
        """Whether all of these can be true together: what leaves a choice is tried, first what
        leaves the fewest, and last a branch out of several of which one only may be true."""
        logic = self._logic
        literals = dict(literals)
        choices: list[Expr] = []
        work = list(work)
        while work:
            part = work.pop()
            if part is logic.false:
                return False
            if part is logic.true or part in literals:
                continue
            if part.kind == NOT and (plain := logic.normal(part)) is not part:
                work.append(plain)
            elif part.kind in (OR, ONE):
                choices.append(part)
            elif part.kind == AND:
                work += part.of
            elif logic.negate(part) in literals:
                return False
            else:
                literals[part] = None
            if not work and choices:
                choices, work = self._narrowed(choices, literals)
        if not choices:
            return self._holds(list(literals), kind, around)
        choices.sort(key=lambda one: (one.kind == ONE, len(one.of)))
        choice, *others = choices
        for part in sorted(choice.of, key=_weight):
            self._cases -= 1
            self._reader.effort.spend(10)
            if self._cases < 0:
                return True  # not shown to be impossible
            apart: list[Expr] = []
            if choice.kind == ONE:
                if not self._search([part], literals, kind, around):
                    continue  # not even by itself
                apart = [logic.negate(other) for other in choice.of if other is not part]
            if self._search([*others, part, *apart], literals, kind, around):
                return True
        return False

    def _narrowed(
        self, choices: list[Expr], literals: dict[Expr, None]
    ) -> tuple[list[Expr], list[Expr]]:
        """Choices without what cannot be any more, and what is left alone of some."""
        logic = self._logic
        left: list[Expr] = []
        alone: list[Expr] = []
        for choice in choices:
            if choice.kind == ONE:
                left.append(choice)
                continue
            if any(part in literals for part in choice.of):
                continue
            parts = [part for part in choice.of if logic.negate(part) not in literals]
            if len(parts) < 2:
                alone.append(parts[0] if parts else logic.false)
            else:
                left.append(choice if len(parts) == len(choice.of) else logic.any(parts))
        return left, alone

    def _holds(self, literals: list[Expr], kind: int, around: Around) -> bool:
        """Whether statements and their opposites hold together."""
        child = [part.of for part in literals if part.kind == CHILD]
        child += [
            self._logic.negate(part.of.of)
            for part in literals
            if part.kind == NOT and part.of.kind == CHILD
        ]
        if child and not self.any_kind(self._logic.both(child)):
            return False
        literals = [p for p in literals if (p.of if p.kind == NOT else p).kind != CHILD]
        return (self._object if kind == OBJECT else self._list)(literals, around)

    def _object(self, literals: list[Expr], around: Around) -> bool:
        logic = self._logic
        said = [part.of for part in literals if part.kind != NOT]
        denied = [part.of.of for part in literals if part.kind == NOT]
        members = [one for one in said if isinstance(one, Members)]
        need = dict.fromkeys(one.name for one in said if isinstance(one, Has))
        gone = around.gone | {one.name for one in denied if isinstance(one, Has)}
        low, high = around.low, around.high
        for one in said:
            if isinstance(one, Count):
                low, high = max(low, one.low), _least(high, one.high)
        for one in denied:
            if isinstance(one, Count):  # of which one side is open
                if one.high is None:
                    high = _least(high, one.low - 1)
                else:
                    low = max(low, one.high + 1)
        if any(name in gone for name in need) or (high is not None and (high < 0 or high < low)):
            return False
        languages = [one.language for one in said if isinstance(one, Names)]
        mentioned = names_in(literals)

        def goal(name: Name) -> Expr:
            if any(language not in name.matched for language in languages):
                return logic.false
            return logic.both(one.at(name, logic) for one in members)

        for name in need:
            if not self.any_kind(goal(self.name(name, said))):
                return False
        shown = [one for one in denied if isinstance(one, (Members, Names))]
        case = _Case(said, shown, gone, mentioned, goal, low, high, around.others)
        return self._witnessed(case, 0, [(self.name(name, said), ()) for name in need])

    def _witnessed(
        self, case: _Case, done: int, members: list[tuple[Name, tuple[Expr, ...]]]
    ) -> bool:
        """Whether members can come that show that what is denied is not so, from one of them on;
        of the members that must come anyway it is known what is said of their values."""
        logic = self._logic
        if case.high is not None and len(members) > case.high:
            return False
        if done == len(case.denied):
            return case.low <= len(members) or self._enough(case, members)
        denied = case.denied[done]
        self._cases -= 1
        if self._cases < 0:
            return True
        for at, (name, said) in enumerate(members):
            wrong = self._wrong(denied, name)
            if self.any_kind(logic.both([case.goal(name), wrong, *said])):
                shown = [*members[:at], (name, (*said, wrong)), *members[at + 1 :]]
                if self._witnessed(case, done + 1, shown):
                    return True
        taken = {name.text for name, _ in members} | case.gone
        told = [*case.said, *case.denied]
        mentioned, others = case.mentioned, case.others
        if isinstance(denied, Members) and not denied.patterns and denied.extra is logic.true:
            mentioned, others = list(denied.named), False
        fresh = [self.name(text, told) for text in mentioned if text not in taken]
        for name in [*fresh, *(self.other_names(told) if others else ())]:
            wrong = self._wrong(denied, name)
            if self.any_kind(logic.both([case.goal(name), wrong])) and self._witnessed(
                case, done + 1, [*members, (name, (wrong,))]
            ):
                return True
        return False

    def _wrong(self, denied: object, name: Name) -> Expr:
        """What a member of this name must be so that something is not true of all."""
        if isinstance(denied, Names):
            return self._logic.constant(denied.language not in name.matched)
        assert isinstance(denied, Members)
        return self._logic.negate(denied.at(name, self._logic))

    def _enough(self, case: _Case, members: list[tuple[Name, tuple[Expr, ...]]]) -> bool:
        """Whether as many members can come as must."""
        if case.others and any(self.any_kind(case.goal(n)) for n in self.other_names(case.said)):
            return True
        taken = {name.text for name, _ in members} | case.gone
        count = len(members)
        for text in case.mentioned:
            if count >= case.low:
                return True
            if text not in taken:
                count += self.any_kind(case.goal(self.name(text, case.said)))
        return count >= case.low

    def name(self, text: str, said: list[object]) -> Name:
        """A name and which languages have it."""
        languages = _languages(said)
        if not languages:
            return Name(text, frozenset())
        data = spelled(text)
        return Name(text, frozenset(one for one in languages if one.has(data)))

    def other_names(self, said: list[object]) -> list[Name]:
        """The kinds of names that are not mentioned: by the languages that have them."""
        languages = sorted(_languages(said), key=lambda one: one.number)
        listed = {one.language for one in said if isinstance(one, Names) and one.words}
        if not languages:
            return [Name(None, frozenset())]
        algebra, any_text = self._reader.strings.algebra, self._reader.strings.spelling.any_text
        found = []
        if len(languages) > 6:
            return [Name(None, frozenset()), *(Name(None, frozenset([one])) for one in languages)]
        for bits in range(1 << len(languages)):
            inside = [one for at, one in enumerate(languages) if bits >> at & 1]
            if not listed.isdisjoint(inside):
                continue  # whose names are all mentioned
            outside = [algebra.but(one) for at, one in enumerate(languages) if not bits >> at & 1]
            if algebra.both([any_text, *inside, *outside]).live:
                found.append(Name(None, frozenset(inside)))
        return found

    def _list(self, literals: list[Expr], around: Around) -> bool:
        logic = self._logic
        said = [part.of for part in literals if part.kind != NOT]
        denied = [part.of.of for part in literals if part.kind == NOT]
        items = [one for one in said if isinstance(one, Items)]
        low, high = around.low, around.high
        contains = [one for one in said if isinstance(one, Contains)]
        for one in said:
            if isinstance(one, Count):
                low, high = max(low, one.low), _least(high, one.high)
        for one in denied:
            if isinstance(one, Count):
                if one.high is None:
                    high = _least(high, one.low - 1)
                else:
                    low = max(low, one.high + 1)
            elif isinstance(one, Contains):
                return self._denied_contains(one, literals, around)
        if high is not None and (high < 0 or high < low):
            return False

        def goal(place: int) -> Expr:
            return logic.both(one.at(place) for one in items)

        heads = max(
            [len(one.first) for one in [*items, *(d for d in denied if isinstance(d, Items))]],
            default=0,
        )
        for place in range(heads + 1 if high is None else min(high, heads + 1)):
            if not self.any_kind(goal(place)):
                high = place
                break
        if high is not None and low > high:
            return False
        for one in contains:
            if not self._contained(one, goal, low, high, heads):
                return False
        low = max([low, *(one.low for one in contains)])
        if high is not None and low > high:
            return False
        for one in denied:
            if isinstance(one, Items) and not any(
                self.any_kind(logic.both([goal(place), logic.negate(one.at(place))]))
                for place in range(heads + 1 if high is None else min(high, heads + 1))
            ):
                return False
            if isinstance(one, Unique) and high is not None and high < 2:
                return False
        unique = [one for one in said if isinstance(one, Unique)]
        return not unique or self._different(unique[0], goal, low, heads)

    def _denied_contains(self, one: Contains, literals: list[Expr], around: Around) -> bool:
        logic = self._logic
        left = [p for p in literals if not (p.kind == NOT and p.of.of is one)]
        ways = []
        if one.low > 0:
            ways.append(logic.says(Contains(one.inner, 0, one.low - 1)))
        if one.high is not None:
            ways.append(logic.says(Contains(one.inner, one.high + 1, None)))
        return any(self._list([*left, way], around) for way in ways)

    def _contained(self, one: Contains, goal: Goal, low: int, high: int | None, heads: int) -> bool:
        logic = self._logic
        places = heads + 1 if high is None else min(high, heads + 1)
        found = 0
        for place in range(places):
            if found >= one.low:
                break
            if self.any_kind(logic.both([goal(place), one.inner])):
                last = place == heads
                found += (one.low if high is None else high - heads) if last else 1
        if found < one.low:
            return False
        if one.high is None:
            return True
        forced = 0
        for place in range(min(low, heads)):
            forced += not self.any_kind(logic.both([goal(place), logic.negate(one.inner)]))
        if low > heads and not self.any_kind(logic.both([goal(heads), logic.negate(one.inner)])):
            forced += low - heads
        return forced <= one.high

    def _different(self, unique: Unique, goal: Goal, low: int, heads: int) -> bool:
        """Whether so many different items can come, each after the ones before it."""
        logic = self._logic
        if low > heads + MOST_NEEDED:
            return True
        taken: list[Expr] = list(unique.seen)
        for place in range(low):
            values = self.finite(goal(place))
            left = logic.both([goal(place), *(logic.negate(one) for one in taken)])
            if not self.any_kind(left):
                return False
            if values is not None:
                taken.append(next(one for one in values if self.any_kind(logic.both([left, one]))))
        return True

    def finite(self, expr: Expr) -> list[Expr] | None:
        """The values that may satisfy an expression, each by itself, where those are few."""
        return self._reader.finite(expr)


def _weight(part: Expr) -> int:
    """What is looked at first: whether there is a name costs nothing."""
    said = (part.of if part.kind == NOT else part).of
    return 0 if isinstance(said, Has) else 1 if isinstance(said, Count) else 2


def _languages(said: Iterable[object]) -> set[Regular]:
    found = set()
    for one in said:
        if isinstance(one, Names):
            found.add(one.language)
        elif isinstance(one, Members):
            found.update(language for language, _ in one.patterns)
    return found


def _least(a: int | None, b: int | None) -> int | None:
    return b if a is None else a if b is None else min(a, b)
