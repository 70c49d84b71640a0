"""Numbers: which decimal texts lie between bounds, are multiples, or are one of some values.

Each statement reads a text digit by digit. A text is compared exactly as it stands, so that no
rounding lets a value through; where a bound decides, exponents are not written.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any, ClassVar

from ..regular import Algebra, Leaf, Regular
from .logic import AND, CONSTANT, NOT, NUMBER, OR, STATEMENT, Expr, Logic

_DIGITS = 0x3FF << 48
_MINUS, _POINT, _EXPONENT = 1 << 45, 1 << 46, (1 << 101) | (1 << 69)
MOST_DIGITS = 15
"""Of a number with bounds that is no whole one: so many are told apart by every program."""
MOST_WHOLE = 16
HUGE = Fraction(10) ** 308
"""Of bounds which no number reaches that is written with a small exponent."""


def _bit(digit: int) -> int:
    return 1 << 48 + digit


@dataclass(frozen=True, slots=True)
class Whole:
    """The number is a whole one; as draft 4 has it, without a point."""

    kind: ClassVar[int] = NUMBER
    plain: bool = False


@dataclass(frozen=True, slots=True)
class Bound:
    """The number is at most, or at least, `value`; not that itself where it is `open`."""

    kind: ClassVar[int] = NUMBER
    value: Fraction
    upper: bool
    open: bool


@dataclass(frozen=True, slots=True)
class Multiple:
    """The number is a multiple of `value`."""

    kind: ClassVar[int] = NUMBER
    value: Fraction


@dataclass(frozen=True, slots=True)
class OneOf:
    """The number is one of these, each written as it is spelled or as any other does."""

    kind: ClassVar[int] = NUMBER
    values: tuple[Fraction, ...]
    spelled: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Compared(Leaf):
    """How the digits so far compare with those of a bound.

    `more` and `less` say whether a number that is larger or smaller, or with `same` equal, in
    magnitude is one of the language; `count` is the digits before the point, or -1 behind it."""

    whole: str
    part: str
    less: bool
    same: bool
    more: bool
    count: int = 0
    order: int = 0
    """-1, 0 or 1: of the digits so far with those of the bound in the same places."""

    @property
    def nullable(self) -> bool:  # type: ignore[override]
        return self.count != 0 and self._holds(self._ended())

    def _holds(self, order: int) -> bool:
        held: bool = (self.same, self.more, self.less)[order]
        return held

    def _ended(self) -> int:
        """How the number compares if it ends here."""
        if self.count < 0:
            return self.order or (-1 if self.part.strip("0") else 0)
        if self.count != len(self.whole):
            return -1 if self.count < len(self.whole) else 1
        return self.order or (-1 if self.part.strip("0") else 0)

    def moves(self) -> list[tuple[int, Leaf | None]]:
        if self.count < 0:
            return self._fraction()
        found: list[tuple[int, Leaf | None]] = []
        if self.count > 0:
            order = self.order
            if self.count != len(self.whole):
                order = -1 if self.count < len(self.whole) else 1
            found.append((_POINT, replace(self, count=-1, order=order)))
        if self.count > len(self.whole):
            found.append((_DIGITS, self))
            return found
        count = self.count + 1
        if self.order or self.count == len(self.whole):
            found.append((_DIGITS, replace(self, count=count)))
            return found
        return found + self._digits(int(self.whole[self.count]), count=count)

    def _fraction(self) -> list[tuple[int, Leaf | None]]:
        found: list[tuple[int, Leaf | None]] = []
        if not self.order:
            at = int(self.part[0]) if self.part else 0
            return self._digits(at, part=self.part[1:])
        found.append((_DIGITS, replace(self, part="")))
        return found

    def _digits(self, at: int, **change: Any) -> list[tuple[int, Leaf | None]]:
        below = sum(_bit(d) for d in range(at))
        above = sum(_bit(d) for d in range(at + 1, 10))
        return [
            (mask, replace(self, order=order, **change))
            for mask, order in ((below, -1), (_bit(at), 0), (above, 1))
            if mask
        ]


@dataclass(frozen=True, slots=True)
class Nonzero(Leaf):
    """Whether any digit but 0 came; exponents change nothing about that."""

    wanted: bool
    came: bool = False
    exponent: bool = False

    @property
    def nullable(self) -> bool:  # type: ignore[override]
        return self.came == self.wanted

    def moves(self) -> list[tuple[int, Leaf | None]]:
        if self.exponent:
            return [(_DIGITS | _MINUS | 1 << 43, self)]
        return [
            (_bit(0) | _POINT, self),
            (_DIGITS ^ _bit(0), replace(self, came=True)),
            (_EXPONENT, replace(self, exponent=True)),
        ]


@dataclass(frozen=True, slots=True)
class Remainder(Leaf):
    """What the digits so far leave when they are divided; `scale` digits behind the point count."""

    by: int
    scale: int
    rest: int = 0
    behind: int = -1
    """Digits behind the point, -1 before it."""

    @property
    def nullable(self) -> bool:  # type: ignore[override]
        return bool(self.rest * 10 ** (self.scale - max(0, self.behind)) % self.by == 0)

    def moves(self) -> list[tuple[int, Leaf | None]]:
        found: list[tuple[int, Leaf | None]] = []
        if self.behind < 0:
            found.append((_POINT, replace(self, behind=0)))
        if self.behind >= self.scale:
            return [*found, (_bit(0), self)] if self.rest == 0 else found
        behind = self.behind + (self.behind >= 0)
        for digit in range(10):
            rest = (10 * self.rest + digit) % self.by
            found.append((_bit(digit), replace(self, rest=rest, behind=behind)))
        return found


@dataclass(frozen=True, slots=True)
class Digits(Leaf):
    """At most so many digits, without the first zero."""

    left: int
    begun: bool = False
    nullable: ClassVar[bool] = True  # type: ignore[misc]

    def moves(self) -> list[tuple[int, Leaf | None]]:
        found: list[tuple[int, Leaf | None]] = [(_MINUS | _POINT, self)]
        if not self.begun:
            found.append((_bit(0), replace(self, begun=True)))
        left = _DIGITS ^ (0 if self.begun else _bit(0))
        if self.left:
            found.append((left, Digits(self.left - 1, True)))
        return found


class Numbers:
    """What expressions say of numbers, as regular languages of their texts."""

    def __init__(self, logic: Logic, algebra: Algebra, *, short: bool) -> None:
        self._logic, self._algebra, self._short = logic, algebra, short
        few = MOST_WHOLE - 1 if short else None
        digits = algebra.byte_set(_DIGITS)
        zero, first = algebra.byte_set(_bit(0)), algebra.byte_set(_DIGITS ^ _bit(0))
        minus = algebra.byte_set(_MINUS)
        natural = algebra.alt([zero, algebra.seq(first, algebra.repeat(digits, 0, few))])
        maybe = algebra.repeat(minus, 0, 1)
        many = algebra.repeat(digits, 1, MOST_WHOLE if short else None)
        fraction = algebra.repeat(algebra.seq(algebra.byte_set(_POINT), many), 0, 1)
        sign = algebra.repeat(algebra.byte_set(_MINUS | 1 << 43), 0, 1)
        power = algebra.repeat(digits, 1, 2)
        if not short:  # as far as a float goes
            tens = algebra.seq(algebra.byte_set(_bit(1) | _bit(2)), algebra.repeat(digits, 2, 2))
            last = algebra.seq(algebra.words([b"30"]), algebra.byte_set(0xFF << 48))
            power = algebra.alt([power, tens, last])
        mark = algebra.byte_set(_EXPONENT)
        exponent = algebra.repeat(algebra.seq(mark, sign, power), 0, 1)
        self.plain = algebra.seq(maybe, natural, fraction)
        """Without an exponent."""
        self.any = algebra.seq(maybe, natural, fraction, exponent)
        tens = algebra.seq(algebra.byte_set(_bit(1) | _bit(2)), algebra.repeat(digits, 2, 2))
        small = algebra.alt([algebra.repeat(digits, 1, 2), tens])
        self._tame = algebra.seq(
            algebra.alt([zero, algebra.seq(first, algebra.repeat(digits, 0, 7))]),
            fraction, mark, sign, small,
        )  # fmt: skip
        """With an exponent, below 1e308 and not below 0."""
        self.integer = algebra.seq(maybe, natural)
        """Without a point, too."""
        if short:
            begun = algebra.seq(first, algebra.repeat(digits, 0, few))
            self.whole = algebra.alt([zero, algebra.seq(maybe, begun)])
        else:
            zeros = algebra.seq(algebra.byte_set(_POINT), algebra.repeat(zero, 1, None))
            up = algebra.seq(mark, algebra.repeat(algebra.byte_set(1 << 43), 0, 1), power)
            self.whole = algebra.seq(
                maybe, natural, algebra.repeat(zeros, 0, 1), algebra.repeat(up, 0, 1)
            )

    def of(self, expr: Expr) -> Regular:
        """The texts of the numbers of which an expression is true."""
        found = self._of(expr)
        parts = [found, self.any]
        if self._short and not _is_whole(expr) and _has_bounds(expr):
            parts.append(self._algebra.leaf(Digits(MOST_DIGITS)))
        return self._algebra.both(parts)

    def satisfiable(self, expr: Expr) -> bool:
        """Whether there is a number of which an expression is true."""
        return _wide(expr) or self.of(expr).live

    def _of(self, expr: Expr) -> Regular:
        algebra = self._algebra
        if expr.kind == CONSTANT:
            return self.any if expr.of else algebra.nothing
        if expr.kind == AND:
            return algebra.both(self._of(part) for part in expr.of)
        if expr.kind == OR:
            return algebra.alt(self._of(part) for part in expr.of)
        if expr.kind == NOT:
            return self._negated(expr)
        if expr.kind == STATEMENT:
            return self._statement(expr.of)
        return self._of(self._logic.normal(expr))

    def _negated(self, expr: Expr) -> Regular:
        inside, algebra = expr.of, self._algebra
        if inside.kind != STATEMENT:
            return self._of(self._logic.normal(expr))
        said = inside.of
        if isinstance(said, Bound):
            return self._bound(Bound(said.value, not said.upper, not said.open))
        if isinstance(said, OneOf):
            return algebra.both([self.plain, algebra.but(self._all_ways(said.values))])
        if isinstance(said, Whole):
            zeros = algebra.seq(
                algebra.repeat(algebra.byte_set(_MINUS | _DIGITS), 1, None),
                algebra.repeat(
                    algebra.seq(
                        algebra.byte_set(_POINT), algebra.repeat(algebra.byte_set(_bit(0)), 1, None)
                    ), 0, 1,
                ),
            )  # fmt: skip
            return algebra.both([self.plain, algebra.but(zeros)])
        return algebra.both([self.plain, algebra.but(self._statement(said))])

    def _statement(self, said: object) -> Regular:
        if isinstance(said, Whole):
            return self.integer if said.plain and not self._short else self.whole
        if isinstance(said, Bound):
            return self._bound(said)
        if isinstance(said, Multiple):
            return self._multiple(said.value)
        assert isinstance(said, OneOf)
        if self._short:
            return self._algebra.words(text.encode() for text in said.spelled)
        exact = self._algebra.words(text.encode() for text in said.spelled)
        return self._algebra.alt([exact, self._all_ways(said.values)])

    def _all_ways(self, values: tuple[Fraction, ...]) -> Regular:
        """Every text of these numbers, without exponents."""
        return self._algebra.alt(
            self._algebra.both([
                self._bound(Bound(value, True, False)), self._bound(Bound(value, False, False)),
            ])
            for value in values
        )  # fmt: skip

    def _signed(self, positive: Regular, negative: Regular) -> Regular:
        algebra = self._algebra
        return algebra.alt([positive, algebra.seq(algebra.byte_set(_MINUS), negative)])

    def _bound(self, bound: Bound) -> Regular:
        algebra = self._algebra
        if bound.value == 0:
            zero, some = algebra.leaf(Nonzero(False)), algebra.leaf(Nonzero(True))
            either = algebra.alt([zero, some])
            same = algebra.nothing if bound.open else zero
            less, more = (either, same) if bound.upper else (same, either)
            if bound.open:
                less, more = (some, same) if bound.upper else (same, some)
            return self._signed(more, less)
        text = decimal_text(abs(bound.value))
        whole, _, part = text.partition(".")
        smaller = Compared(whole, part, True, not bound.open, False)
        larger = Compared(whole, part, False, not bound.open, True)
        every = algebra.both(
            [self.plain, algebra.but(algebra.seq(algebra.byte_set(_MINUS), algebra.everything))]
        )
        within = algebra.leaf(smaller)
        if abs(bound.value) >= HUGE:
            within, every = algebra.alt([within, self._tame]), algebra.alt([every, self._tame])
        if bound.value > 0:
            if bound.upper:
                return self._signed(within, every)
            return self._signed(algebra.leaf(larger), algebra.nothing)
        if bound.upper:
            return self._signed(algebra.nothing, algebra.leaf(larger))
        return self._signed(every, within)

    def _multiple(self, value: Fraction) -> Regular:
        scale = 0
        while (value * 10**scale).denominator != 1:
            scale += 1
        by = int(value * 10**scale)
        if by == 1 and scale == 0:
            return self.whole
        leaf = self._algebra.leaf(Remainder(by, scale))
        return self._algebra.both([self.plain, self._signed(leaf, leaf)])


def decimal_text(value: Fraction) -> str:
    """A decimal number, not below 0, in digits."""
    scale = 0
    while (value * 10**scale).denominator != 1:
        scale += 1
    digits = str(int(value * 10**scale)).rjust(scale + 1, "0")
    return f"{digits[:-scale]}.{digits[-scale:]}" if scale else digits


def _wide(expr: Expr) -> bool:
    """Whether it is seen at once that numbers of few digits lie between all bounds."""
    low, high = Fraction(-(10**9)), Fraction(10**9)
    for part in expr.of if expr.kind == AND else (expr,):
        if part.kind != STATEMENT or not isinstance(part.of, (Bound, Whole)):
            return False
        if isinstance(part.of, Bound):
            if part.of.upper:
                high = min(high, part.of.value)
            else:
                low = max(low, part.of.value)
    return high - low > 2


def _has_bounds(expr: Expr) -> bool:
    if expr.kind == STATEMENT:
        return isinstance(expr.of, (Bound, Multiple))
    if expr.kind == CONSTANT:
        return False
    parts = (expr.of,) if expr.kind == NOT else expr.of
    return any(_has_bounds(part) for part in parts)


def _is_whole(expr: Expr) -> bool:
    parts = expr.of if expr.kind == AND else (expr,)
    return any(part.kind == STATEMENT and isinstance(part.of, Whole) for part in parts)
