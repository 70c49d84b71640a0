"""The pushdown automaton of a schema's JSON texts (`constrain/program.py`).

A state is a place in the text of a value: where one begins, inside a string, a number, a key. It
knows what must turn out to be true of the value, and what else is watched.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Sequence
from typing import Any

from ...json_options import JsonOptions
from ..kinds import WORDS
from ..nodes import Token
from ..program import (
    CLOSE,
    ENDLESS,
    KEY_START,
    NOWHERE,
    REJECT,
    Record,
    Span,
    call,
    character,
    count,
    end,
    enter,
    more_items,
    more_members,
    pop,
    target,
)  # fmt: skip
from ..regular import Regular
from .asked import Asked
from .logic import (
    ARRAY,
    FALSE,
    KINDS,
    NULL,
    NUMBER,
    OBJECT,
    STRING,
    TRUE,
    Expr,
)  # fmt: skip
from .names import Names
from .places import Bottom, ListPlace, ObjectPlace, Plan
from .reader import Reader
from .rows import QUOTE, REJECTED, Row, fill, together

SPACES = (0x20, 0x09, 0x0A, 0x0D)
_FIXED = (
    "done", "open object", "colon", "member", "member 2", "behind member", "next member",
    "next member 2", "open list", "behind item", "next item", "next item 2",
)  # fmt: skip
LITERALS = {NULL: b"null", TRUE: b"true", FALSE: b"false"}


class JsonProgram:
    """A schema as the automaton that writes its texts."""

    classes = bytes(range(256))
    n_classes = 256
    tokens: Sequence[Token] = ()

    def __init__(self, reader: Reader, reach: int) -> None:
        self.reader, self._reach = reader, reach
        self._free = reader.options.whitespace == "free"
        self._keys: list[tuple[Any, ...]] = []
        """Of each state what it is."""
        self._numbers: dict[tuple[Any, ...], int] = {}
        self._rows: dict[int, Row] = {}
        self._spans: list[tuple[int, Span]] = []
        self._places: list[Any] = [None]
        self._place_numbers: dict[tuple[object, ...], int] = {}
        self._records: dict[int, Record] = {}
        self._entered: list[tuple[int, int]] = []
        self._enter_numbers: dict[tuple[tuple[int, int], ...], int] = {}
        self.truths: list[tuple[bool, ...]] = []
        self._said: dict[tuple[bool, ...], int] = {}
        self.names = Names(self)
        self._plans: dict[tuple[Expr, tuple[Expr, ...]], Plan] = {}
        self._folded: dict[tuple[int, int], tuple[int, int]] = {}
        for name in _FIXED:
            self.state("fixed", name)
        self.colon = self._fixed("colon")
        self.said_of(())
        self.asked = Asked(self)
        self._root = self.value(reader.root, ())

    # --- what a machine asks

    def begin(self) -> None:
        self.reader.effort.begin()

    def spaced(self, state: int) -> int:
        return self.state("spaced", state)

    def settled(self, state: int, record: int) -> tuple[int, int]:
        return state, record

    def token_ways(self, state: int) -> list[tuple[int, int]]:
        return []

    def united(self, a: int, b: int) -> int:
        raise AssertionError("no token stands in JSON as such, so there are no two ways to unite")

    def _row_of_spaced(self, state: int, inner: int) -> Row:
        row = self.row(inner)[:]
        row[0x20] = inner
        return row

    def adopt(self, other: object, state: int) -> int:
        return NOWHERE

    def start(self) -> tuple[int, int]:
        return self._root, 0

    def bottom(self) -> tuple[int, int] | None:
        return self._fixed("done"), self._record_of(Bottom())

    def entered(self) -> list[tuple[int, int]]:
        return self._entered

    @property
    def size(self) -> int:
        return len(self._keys)

    @property
    def weight(self) -> int:
        return self.size

    @property
    def n_records(self) -> int:
        return len(self._places)

    def fresh_spans(self) -> list[tuple[int, Span]]:
        found, self._spans = self._spans, []
        return found

    def row(self, state: int) -> Row:
        found = self._rows.get(state)
        if found is None:
            found = self._rows[state] = self._made(state)
        return found

    def move(self, state: int, byte: int) -> int:
        return self.row(state)[byte]

    def _made(self, state: int) -> Row:
        self.reader.effort.spend(6)
        tag, *parts = self._keys[state]
        made: Callable[..., Row] = getattr(self, f"_row_of_{tag}")
        return made(state, *parts)

    def record(self, number: int) -> Record:
        found = self._records.get(number)
        if found is None:
            self.reader.effort.spend(10)
            found = self._records[number] = self._places[number].record()
        return found

    def behind_key(self, record: int, kind: int, text: bytes | None) -> int:
        self.record(record)
        return self._record_of(self._places[record].behind_key(kind, text))

    def behind_value(self, record: int, said: int, text: bytes | None) -> int:
        self.record(record)
        return self._record_of(self._places[record].behind_value(said, text))

    def said(self, state: int) -> int:
        tag, *parts = self._keys[state]
        if tag != "number" or not parts[0][0].nullable:
            return NOWHERE
        return self.said_of(tuple(one.nullable for one in parts[0][1:]))

    def accepting(self, state: int) -> bool:
        return state == 0

    def dead(self, state: int) -> bool:
        return state == 0

    def slice(self, state: int, record: int) -> int:
        tag, *parts = self._keys[state]
        any_text = self.reader.strings.spelling.any_text
        if tag == "string":
            watched, at, _ = parts
            any_ = at is any_text and all(one is any_text or not one.live for one in watched)
            return ENDLESS if any_ else -1
        if tag == "key":
            others = self.record(record).others and parts[4] is any_text
            return ENDLESS if others and parts[5] is any_text else -1
        return -1

    def folded(self, state: int, record: int) -> tuple[int, int]:
        key = (state, record)
        found = self._folded.get(key)
        if found is None:
            place = self._places[record]
            folded = place.folded(self._reach) if isinstance(place, ListPlace) else place
            there = record if folded is place else self._record_of(folded)
            found = self._folded[key] = (self._folded_state(state), there)
        return found

    def _folded_state(self, state: int) -> int:
        tag, *parts = self._keys[state]
        if tag == "string":
            watched, at, left = parts
            algebra, reach = self.reader.strings.algebra, self._reach
            at = algebra.folded(at, reach, most_only=left is not None)
            watched = tuple(algebra.folded(one, reach) for one in watched)
            return self.state("string", watched, at, left)
        return state

    # --- numbers of things

    def state(self, *key: Any) -> int:
        """The number of a state, by what it is."""
        found = self._numbers.get(key)
        if found is None:
            found = self._numbers[key] = len(self._keys)
            self._keys.append(key)
            if key[0] == "key":
                self._spans.append((found, self.names.span(*key[1:])))
            elif key[0] == "string" and key[3] is not None:
                strings = self.reader.strings
                begins = key[3] is strings.spelling.any_text
                self._spans.append((found, (strings.shortest(*key[2:]), int(begins), False)))
        return found

    def _fixed(self, name: str) -> int:
        return _FIXED.index(name)

    def _record_of(self, place: Any) -> int:
        if place is None:
            return NOWHERE
        key = (type(place), *place.key)
        found = self._place_numbers.get(key)
        if found is None:
            found = self._place_numbers[key] = len(self._places)
            self._places.append(place)
        return found

    def said_of(self, truths: tuple[bool, ...]) -> int:
        """The number of what is said of a value."""
        found = self._said.get(truths)
        if found is None:
            found = self._said[truths] = len(self.truths)
            self.truths.append(truths)
        return found

    def _enter(self, state: str, place: Any) -> int:
        return enter(self._entering((self._fixed(state), self._record_of(place))))

    def _entering(self, *pairs: tuple[int, int]) -> int:
        """The number under which `entered` has these pairs."""
        found = self._enter_numbers.get(pairs)
        if found is None:
            found = self._enter_numbers[pairs] = len(self._entered)
            self._entered += pairs
        return found

    # --- values

    def value(self, goal: Expr, watch: tuple[Expr, ...]) -> int:
        """The state where a value begins of which `goal` must be true."""
        return self.state("value", goal, watch)

    def _row_of_value(self, state: int, goal: Expr, watch: tuple[Expr, ...]) -> Row:
        row = REJECTED[:]
        logic, satisfier = self.reader.logic, self.reader.satisfier
        if self._free:
            for space in SPACES:
                row[space] = state
        for kind in KINDS:
            if not satisfier.can(goal, kind):
                continue
            true = logic.on(goal, kind)
            watched = tuple(logic.on(one, kind) for one in watch)
            if kind == STRING:
                row[QUOTE] = self._string(true, watched)
            elif kind == NUMBER:
                numbers = self.reader.numbers
                found = (numbers.of(true), *(numbers.of(one) for one in watched))
                for mask, targets in together(found, self.reader.strings.algebra.nothing):
                    if targets[0].live:
                        fill(row, mask, self.state("number", targets))
            elif kind == ARRAY:
                row[0x5B] = self._enter("open list", ListPlace(self, true, watched))
            elif kind == OBJECT:
                row[0x7B] = self._enter("open object", self._begun(true, watched))
            else:
                said = self.said_of(tuple(one is logic.true for one in watched))
                word = LITERALS[kind]
                row[word[0]] = self.state("literal", word[1:], said)
        return row

    def _row_of_literal(self, state: int, rest: bytes, said: int) -> Row:
        row = REJECTED[:]
        row[rest[0]] = self.state("literal", rest[1:], said) if len(rest) > 1 else end(said)
        return row

    def _string(self, goal: Expr, watch: tuple[Expr, ...]) -> int:
        strings = self.reader.strings
        language, low, high = strings.parts(goal)
        any_text = strings.spelling.any_text
        if language is not any_text and low:
            language, low = strings.at_least(language, low, high), 0
        watched = tuple(strings.of(one) for one in watch)
        if not low and high is None:
            return self.state("string", watched, language, None)
        start = self.state("string", watched, language, any_text)
        most = ENDLESS if high is None else min(high, ENDLESS)
        return count(self._entering((start, 0), (most, min(low, ENDLESS))))

    def _row_of_string(
        self, state: int, watch: tuple[Regular, ...], at: Regular, left: Regular | None
    ) -> Row:
        """`left` is, where characters are counted, what is left of the one that is being written,
        and any others behind it."""
        row = REJECTED[:]
        strings = self.reader.strings
        nothing = strings.algebra.nothing
        if left is None:
            for mask, targets in together((at, *watch), nothing):
                if targets[0].live:
                    fill(row, mask, self.state("string", targets[1:], targets[0], None))
        else:
            for mask, targets in together((at, left, *watch), nothing):
                if strings.shortest(*targets[:2]) < ENDLESS:
                    to = self.state("string", targets[2:], *targets[:2])
                    fill(row, mask, character(to))
        if at.nullable:
            row[QUOTE] = end(self.said_of(tuple(one.nullable for one in watch)))
        return row

    def _row_of_number(self, state: int, languages: tuple[Regular, ...]) -> Row:
        goal, *watch = languages
        over = REJECT
        if goal.nullable:
            over = pop(self.said_of(tuple(one.nullable for one in watch)))
        row = array("i", [over]) * 256
        for mask, targets in together(languages, self.reader.strings.algebra.nothing):
            if targets[0].live:
                fill(row, mask, self.state("number", targets))
        return row

    # --- what stands around values

    def _row_of_fixed(self, state: int, name: str) -> Row:
        row = REJECTED[:]
        if name in ("member", "member 2"):
            row = array("i", [call(self._fixed("behind member"))]) * 256
        elif name in ("open list", "next item", "next item 2"):
            row = array("i", [call(self._fixed("behind item"))]) * 256
        if self._free and name not in ("done",):
            for space in SPACES:
                row[space] = state
        elif name in ("member", "next member", "next item"):
            row[0x20] = self._fixed(f"{name} 2")
        if name in ("open object", "next member", "next member 2"):
            row[QUOTE] = KEY_START
        if name in ("open object", "behind member"):
            row[0x7D] = CLOSE
        if name in ("open list", "behind item"):
            row[0x5D] = CLOSE
        if name == "colon":
            row[0x3A] = self._fixed("member")
        if name == "behind member":
            row[0x2C] = more_members(self._fixed("next member"))
        if name == "behind item":
            row[0x2C] = more_items(self._fixed("next item"))
        return row

    # --- keys

    def _begun(self, goal: Expr, watch: tuple[Expr, ...]) -> ObjectPlace:
        plan = self._plans.get((goal, watch))
        if plan is None:
            plan = self._plans[goal, watch] = Plan(self, goal, watch)
        need = sum(1 << plan.index[name] for name in set(plan.need))
        return ObjectPlace(plan, need, 0, plan.low, plan.high, 0, plan.rest, watch, ())

    def _row_of_key(self, state: int, *parts: Any) -> Row:
        return self.names.row(*parts)

    def ahead(self, state: int) -> list[int]:
        """States that are asked for next, where that can be foretold: a name or a word of which
        only one is left."""
        found: list[int] = []
        tag, *parts = self._keys[state]
        while len(found) < 32:
            if tag == "key" and len(parts[2]) == 1 and parts[2][0] < parts[0].mentioned:
                plan, depth, (name,) = parts[:3]
                word = plan.words[name]
                if depth >= len(word):
                    break
                following = target(self.row(state)[word[depth]])
            elif tag == "string" and parts[1].kind == WORDS and len(parts[1].a) == 1:
                following = target(self.row(state)[parts[1].a[0][0]])
            else:
                break
            if following == NOWHERE:
                break
            found.append(following)
            state = following
            tag, *parts = self._keys[state]
        return found


def program(source: str, options: JsonOptions, reach: int, effort: Any) -> JsonProgram:
    """The automaton of a schema's texts. Raises OptionError that says where it is wrong."""
    reader = Reader(source, options, effort)
    reader.check()
    return JsonProgram(reader, reach)
