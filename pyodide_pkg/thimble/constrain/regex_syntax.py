"""Regular expressions as ECMA-262 writes them, read into a tree; with what Python and Rust add.

Characters, `.`, classes, `\\d \\w \\s \\p{...}` and their opposites, groups with and without names,
`|`, quantifiers, `^ $ \\b \\B`, look-ahead and look-behind, and the flags i, m, s and x inside.
Where the notations differ a dialect says which holds. What is no regular language (references to
groups) or depends on the order of trying (possessive quantifiers, atomic groups) is refused by its
name.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import NamedTuple

from ..errors import OptionError
from . import unicode_sets
from .nodes import LAST, MOST_NESTED, MOST_SOURCE, Range, others, union
from .regex_tree import (
    ANY,
    END,
    NOTHING,
    START,
    Choice,
    Concat,
    Look,
    Set,
    Times,
    Tree,
    line_end,
    line_start,
    word_boundary,
)

MOST_TIMES = 100_000
MOST_ITEMS = 200_000
"""Characters, classes and groups of one expression."""

DIGIT = ((48, 57),)
WORD = ((48, 57), (65, 90), (95, 95), (97, 122))
SPACE = union([*((9, 13), (32, 32), (0xFEFF, 0xFEFF)),
               *(one for one in unicode_sets.SPACES if one != (0x85, 0x85))])  # fmt: skip
_POSIX = {
    "alnum": "0-9A-Za-z", "alpha": "A-Za-z", "ascii": "\0-\x7f", "blank": "\t-\t - ",
    "cntrl": "\0-\x1f\x7f-\x7f", "digit": "0-9", "graph": "!-~", "lower": "a-z", "print": " -~",
    "punct": "!-/:-@[-`{-~", "space": "\t-\r - ", "upper": "A-Z", "word": "0-9A-Z_-_a-z",
    "xdigit": "0-9A-Fa-f",
}  # fmt: skip
_CONTROLS = {"n": 10, "r": 13, "t": 9, "v": 11, "f": 12, "a": 7}
_CODE = re.compile(
    r"x([0-9a-fA-F]{2})|u([0-9a-fA-F]{4})|[xu]\{([0-9a-fA-F]{1,8})\}|U([0-9a-fA-F]{8})"
)
_LOW_HALF = re.compile(r"\\u([dD][c-fC-F][0-9a-fA-F]{2})")
_NAME = re.compile(r"P?<([^\W\d]|\$)(?:\w|\$)*>")
_FLAGS = re.compile(r"([a-zA-Z]*)(?:-([a-zA-Z]+))?([:)])")
_NUMBER = re.compile("[0-9]*")
_SIGNS = {"*": (0, None), "+": (1, None), "?": (0, 1)}
_REFUSED = {
    ">": "atomic groups, (?>...), are not supported: which texts match would depend on what is "
    "tried first",
    "(": "conditions, (?(...)...), are not supported",
    "|": "branch resets, (?|...), are not supported",
    "P=": "references to groups are not supported: what they match is no regular language",
    "P>": "recursion is not supported; a grammar has it",
    "R": "recursion is not supported; a grammar has it",
    "&": "recursion is not supported; a grammar has it",
}


class Flags(NamedTuple):
    ignore_case: bool = False
    multiline: bool = False
    dot_all: bool = False
    verbose: bool = False


@dataclass(frozen=True, slots=True)
class Dialect:
    """Where notations differ."""

    unicode: bool
    """Whether `\\d`, `\\w`, `\\s` and `\\b` know all of Unicode (Rust) or ASCII (ECMA-262)."""
    line_ends: tuple[Range, ...]
    """What `.` does not match, and what stands beside `^` and `$` under the flag m."""
    nested_classes: bool
    """Whether a class may hold others, as in `[a-z&&[^aeiou]]` and `[[:alpha:]]`."""
    refuses_lazy: bool
    """Whether a lazy quantifier is refused: where pieces of a text are found one after another, it
    would not leave the texts as they are."""


ECMA = Dialect(False, ((10, 10), (13, 13), (0x2028, 0x2029)), False, False)
RUST = Dialect(True, ((10, 10),), True, True)


def read(pattern: str, dialect: Dialect = ECMA, flags: str = "") -> Tree:
    """The tree of an expression, under flags out of i, m, s and x. Raises OptionError that says at
    which character it is wrong."""
    if len(pattern) > MOST_SOURCE:
        raise OptionError(
            f"the pattern has {len(pattern):,} characters; {MOST_SOURCE:,} is the most"
        )
    reader = _Reader(pattern, dialect)
    reader.set_flags(flags, "", 0)
    return reader.whole()


class _Reader:
    def __init__(self, pattern: str, dialect: Dialect) -> None:
        self._pattern = pattern
        self._dialect = dialect
        self._flags = Flags()
        self._at = 0
        self._nested = 0
        self._items = 0
        self._sets: dict[tuple[Range, ...], Set] = {}
        self._boundaries: dict[tuple[str, bool], Tree] = {}
        self._literals: dict[tuple[str, bool], Set] = {}

    def _wrong(self, words: str, at: int | None = None) -> OptionError:
        where = self._at if at is None else at
        error = OptionError(f"the regular expression is wrong at character {where + 1}: {words}")
        error.at = where
        return error

    def _next(self) -> str:
        return self._pattern[self._at : self._at + 1]

    def _take(self, sign: str) -> bool:
        there = self._pattern.startswith(sign, self._at)
        self._at += len(sign) if there else 0
        return there

    def whole(self) -> Tree:
        tree = self._alternatives()
        if self._next():
            raise self._wrong(f"{self._next()!r} has no partner")
        return tree

    def _alternatives(self) -> Tree:
        flags = self._flags  # what is set inside holds to the end of the group
        parts = [self._sequence()]
        while self._take("|"):
            parts.append(self._sequence())
        self._flags = flags
        return parts[0] if len(parts) == 1 else Choice(tuple(parts))

    def _sequence(self) -> Tree:
        parts: list[Tree] = []
        while (sign := self._next()) and sign not in "|)":
            if self._flags.verbose and self._skip_blank():
                continue
            self._items += 1
            if self._items > MOST_ITEMS:
                raise self._wrong(f"it has more than {MOST_ITEMS:,} characters, classes and groups")
            parts.append(self._quantified(self._one()))
        return parts[0] if len(parts) == 1 else Concat(tuple(parts)) if parts else NOTHING

    def _skip_blank(self) -> bool:
        """White space and comments, under the flag x."""
        if self._next() == "#":
            end = self._pattern.find("\n", self._at)
            self._at = len(self._pattern) if end < 0 else end + 1
            return True
        if self._next().isspace():
            self._at += 1
            return True
        return False

    # Quantifiers

    def _quantified(self, tree: Tree) -> Tree:
        start, sign = self._at, self._next()
        if sign and sign in _SIGNS:
            self._at += 1
            low, high = _SIGNS[sign]
        else:
            count = self._count(start) if sign == "{" else None
            if count is None:
                return tree
            low, high = count
        if self._take("+"):
            raise self._wrong(
                "possessive quantifiers are not supported: which texts match would depend on what "
                "is tried first",
                start,
            )
        if self._take("?") and self._dialect.refuses_lazy:  # elsewhere the texts are the same
            raise self._wrong("lazy quantifiers are not supported; a lazy rule is", start)
        if self._next() and self._next() in _SIGNS:
            raise self._wrong(f"{self._next()!r} has nothing before it to repeat")
        return Times(tree, low, high)

    def _count(self, start: int) -> tuple[int, int | None] | None:
        """What `{n}`, `{n,}` or `{n,m}` says; None where a bracket stands for itself."""
        first, comma, last, end = self._braces(start)
        if not end or not (first or (comma and last and self._dialect.nested_classes)):
            return None
        self._at = end
        if len(first) > 9 or len(last) > 9 or max(int(first or 0), int(last or 0)) > MOST_TIMES:
            words = self._pattern[start:end]
            raise self._wrong(f"{words:.30} repeats more than {MOST_TIMES:,} times", start)
        low = int(first or 0)
        high = int(last) if last else None if comma else low
        if high is not None and high < low:
            raise self._wrong(
                f"{self._pattern[start:end]} asks for at least {low} and at most {high}", start
            )
        return low, high

    def _braces(self, start: int) -> tuple[str, bool, str, int]:
        def number(at: int) -> str:
            found = _NUMBER.match(self._pattern, at)
            return found[0] if found else ""

        at = start + 1
        first = number(at)
        at += len(first)
        comma = self._pattern.startswith(",", at)
        last = number(at + 1) if comma else ""
        at += comma + len(last)
        return first, comma, last, at + 1 if self._pattern.startswith("}", at) else 0

    # One item

    def _one(self) -> Tree:
        start, sign = self._at, self._next()
        self._at += 1
        if sign == "(":
            return self._group(start)
        if sign == "[":
            return self._set(self._class(start))
        if sign == "\\":
            return self._place(start) or self._set(self._cased(self._escaped(start, inside=False)))
        if sign == ".":
            return ANY if self._flags.dot_all else self._set(others(self._dialect.line_ends))
        if sign in "^$":
            return self._edge(sign)
        if sign in _SIGNS:
            raise self._wrong(f"{sign!r} has nothing before it to repeat", start)
        return self._character(sign)

    def _character(self, sign: str) -> Set:
        key = (sign, self._flags.ignore_case)
        known = self._literals.get(key)
        if known is None:
            known = self._literals[key] = self._set(self._cased(((ord(sign), ord(sign)),)))
        return known

    def _set(self, ranges: tuple[Range, ...]) -> Set:
        return self._sets.setdefault(ranges, Set(ranges))

    def _cased(self, ranges: tuple[Range, ...]) -> tuple[Range, ...]:
        return unicode_sets.either_case(ranges) if self._flags.ignore_case else ranges

    def _edge(self, sign: str) -> Tree:
        if self._flags.multiline:
            make = line_start if sign == "^" else line_end
            return make(self._dialect.line_ends, self._at - 1)
        return START if sign == "^" else END

    def _place(self, start: int) -> Tree | None:
        """What a backslash outside a class says of a place, if it does."""
        sign = self._next()
        if not sign or sign not in "bBAzZkG" + "123456789":
            return None
        self._at += 1
        if sign in "bB":
            key = (sign, self._flags.ignore_case)
            if key not in self._boundaries:
                word = self._cased(self._word())
                self._boundaries[key] = word_boundary(word, sign == "B", start)
            return self._boundaries[key]
        if sign == "G":
            raise self._wrong("there is no escape \\G here", start)
        if sign in "AzZ":
            return START if sign == "A" else END
        raise self._wrong(_REFUSED["P="], start)

    # Groups

    def _group(self, start: int) -> Tree:
        outside = self._flags
        self._nested += 1
        if self._nested > MOST_NESTED:
            raise self._wrong(f"groups stand in more than {MOST_NESTED} others", start)
        look = self._opening(start) if self._take("?") else None
        if look == "flags":
            self._nested -= 1
            return NOTHING
        tree = self._alternatives()
        if not self._take(")"):
            raise self._wrong("this group is never closed", start)
        self._nested -= 1
        self._flags = outside
        if look:
            return Look(tree, ahead="<" not in look, absent="!" in look, at=start)
        return tree

    def _opening(self, start: int) -> str | None:
        """What stands behind `(?`: the sign of a look-around; "flags" where that was all."""
        for sign in ("=", "!", "<=", "<!"):
            if self._take(sign):
                return sign
        if self._take(":"):
            return None
        if found := _NAME.match(self._pattern, self._at):
            self._at = found.end()
            return None
        for sign, words in _REFUSED.items():
            if self._pattern.startswith(sign, self._at):
                raise self._wrong(words, start)
        if self._take("#"):
            end = self._pattern.find(")", self._at)
            if end < 0:
                raise self._wrong("this comment is never closed", start)
            self._at = end + 1
            return "flags"
        found = _FLAGS.match(self._pattern, self._at)
        if not found:
            raise self._wrong(f"{self._pattern[start : start + 4]!r} begins no group here", start)
        self._at = found.end()
        self.set_flags(found[1], found[2] or "", start)
        return "flags" if found[3] == ")" else None

    def set_flags(self, on: str, off: str, start: int) -> None:
        """Flags that hold from here to the end of the group, and such that do not."""
        names = {"i": "ignore_case", "m": "multiline", "s": "dot_all", "x": "verbose"}
        for letters, value in ((on, True), (off, False)):
            for letter in letters:
                if letter in names:
                    self._flags = self._flags._replace(**{names[letter]: value})
                elif letter not in "uU":  # Unicode it is, and greed makes no difference
                    raise self._wrong(f"flag {letter!r} is none of i, m, s and x", start)

    # Escapes and classes

    def _word(self) -> tuple[Range, ...]:
        return unicode_sets.words() if self._dialect.unicode else WORD

    def _named_set(self, sign: str) -> tuple[Range, ...]:
        kind = sign.lower()
        if kind == "w":
            found = self._word()
        elif kind == "d":
            found = unicode_sets.digits() if self._dialect.unicode else DIGIT
        else:
            found = unicode_sets.SPACES if self._dialect.unicode else SPACE
        return others(found) if sign.isupper() else found

    def _escaped(self, start: int, *, inside: bool) -> tuple[Range, ...]:
        """The characters behind a backslash."""
        if found := _CODE.match(self._pattern, self._at):
            self._at = found.end()
            return self._point(int(next(group for group in found.groups() if group), 16), start,
                               inside)  # fmt: skip
        sign = self._next()
        self._at += 1
        if not sign:
            raise self._wrong("a backslash stands at the end", start)
        if sign in "dDwWsS":
            return self._named_set(sign)
        if sign in "pP":
            return self._property(start, sign == "P")
        if sign in _CONTROLS:
            return ((_CONTROLS[sign],) * 2,)
        if inside and sign == "b":
            return ((8, 8),)
        if sign == "0" and not self._next().isdecimal():
            return ((0, 0),)
        if sign == "c" and self._next().isascii() and self._next().isalpha():
            self._at += 1
            return ((ord(self._pattern[self._at - 1]) % 32,) * 2,)
        if sign.isalnum():
            raise self._wrong(f"there is no escape \\{sign} here", start)
        return ((ord(sign), ord(sign)),)

    def _point(self, point: int, start: int, inside: bool) -> tuple[Range, ...]:
        """A character by its number; the two halves of one make it."""
        if 0xD800 <= point <= 0xDBFF and (low := _LOW_HALF.match(self._pattern, self._at)):
            self._at = low.end()
            point = 0x10000 + ((point - 0xD800) << 10) + int(low[1], 16) - 0xDC00
        if point > LAST or (0xD800 <= point <= 0xDFFF and not inside):
            raise self._wrong(f"{self._pattern[start : self._at]:.20} is no character", start)
        return ((point, point),)

    def _property(self, start: int, other: bool) -> tuple[Range, ...]:
        if self._take("{"):
            end = self._pattern.find("}", self._at, self._at + 60)
            name = self._pattern[self._at : end] if end > 0 else ""
            self._at = end + 1
        else:
            name = self._next()
            self._at += 1
        if other_inside := name.startswith("^"):
            name = name[1:]
        found = unicode_sets.named(name)
        if found is None:
            raise self._wrong(
                f"\\p{{{name:.30}}} is not known: there are general categories, "
                "scripts in wide use, Uppercase, Lowercase, White_Space, ASCII, Any and Assigned",
                start,
            )
        return others(found) if other != other_inside else found

    def _class(self, start: int) -> tuple[Range, ...]:
        """The set of a class, behind its opening bracket."""
        self._nested += 1
        if self._nested > MOST_NESTED:
            raise self._wrong(f"classes stand in more than {MOST_NESTED} others", start)
        negated = self._take("^")
        found = self._members(start)
        nested = self._dialect.nested_classes
        while nested and (sign := self._pattern[self._at : self._at + 2]) in ("&&", "--", "~~"):
            self._at += 2
            found = _combined(sign, found, self._members(start))
        self._at += 1  # the closing bracket
        self._nested -= 1
        return others(found) if negated else found

    def _members(self, start: int) -> tuple[Range, ...]:
        """What stands in a class, as far as its end or one of Rust's operators."""
        ranges: list[Range] = []
        nested, first = self._dialect.nested_classes, self._at
        while True:
            two = self._pattern[self._at : self._at + 2]
            if nested and two in ("&&", "--", "~~"):
                break
            if two[:1] == "]" and not (nested and self._at == first and start + 2 >= first):
                break
            if nested and two == "[:":
                ranges += self._posix(self._at)
            elif nested and two[:1] == "[":
                self._at += 1
                ranges += self._class(self._at - 1)
            else:
                ranges += self._range(start)
            self._items += 1
            if self._items > MOST_ITEMS:
                raise self._wrong(f"it has more than {MOST_ITEMS:,} characters, classes and groups")
        return self._cased(union(ranges))

    def _range(self, start: int) -> tuple[Range, ...]:
        low = self._member(start)
        if self._next() != "-" or self._pattern[self._at + 1 : self._at + 2] in ("]", ""):
            return low
        if self._dialect.nested_classes and self._pattern.startswith("--", self._at):
            return low
        self._at += 1
        high = self._member(start)
        if len(low) != 1 or len(high) != 1 or low[0][0] != low[0][1]:
            raise self._wrong("a range in a class goes from a character to another")
        if high[0][0] < low[0][0] or high[0][0] != high[0][1]:
            raise self._wrong("a range in a class is backwards or ends in a set")
        return ((low[0][0], high[0][0]),)

    def _member(self, start: int) -> tuple[Range, ...]:
        at, sign = self._at, self._next()
        if not sign:
            raise self._wrong("this class is never closed", start)
        self._at += 1
        return self._escaped(at, inside=True) if sign == "\\" else ((ord(sign), ord(sign)),)

    def _posix(self, start: int) -> tuple[Range, ...]:
        end = self._pattern.find(":]", start, start + 20)
        name = self._pattern[start + 2 : end] if end > 0 else ""
        ranges = _POSIX.get(name.removeprefix("^"))
        if ranges is None:
            raise self._wrong(f"[:{name}:] is none of {', '.join(_POSIX)}", start)
        self._at = end + 2
        found = tuple((ord(ranges[i]), ord(ranges[i + 2])) for i in range(0, len(ranges), 3))
        return others(found) if name.startswith("^") else found


def _combined(sign: str, a: tuple[Range, ...], b: tuple[Range, ...]) -> tuple[Range, ...]:
    """Two sets by Rust's operators: what is in both, in the first only, in just one of them."""
    common = others(union([*others(a), *others(b)]))
    if sign == "&&":
        return common
    if sign == "--":
        return others(union([*others(a), *b]))
    return others(union([*others(union([*a, *b])), *common]))
