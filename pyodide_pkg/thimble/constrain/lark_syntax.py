"""Lark grammars as LLGuidance writes them, read into definitions.

    start: greeting ("," NAME)*      // a rule: lower case; what is between its parts may be ignored
    NAME: /[A-Z][a-z]+/              // a terminal: upper case; one piece of the text
    greeting: "hello" | "good" DAY
    %ignore / +/

The notation's source is LLGuidance's `docs/syntax.md`. What this reader knows and does not follow
is refused by its name: templates, priorities, parameters, nested grammars, `%regex`, `%declare`,
`%override`, and the attributes `stop`, `temperature` and `max_tokens`.
"""

from __future__ import annotations

import json
import re
from typing import NamedTuple

from ..errors import OptionError
from .lark_tree import (
    Absent,
    Between,
    Definition,
    Document,
    Literal,
    Name,
    Part,
    Pattern,
    Schema,
    Special,
    Times,
    Ways,
)
from .nodes import MOST_NESTED, MOST_SOURCE

MOST_ITEMS = 200_000
MOST_JSON_NESTED = 200
_TOKEN = re.compile(
    r"""(?P<blank>[ \t]+|(?:\#|//)[^\n]*)
    | (?P<newline>(?:\r?\n)+)
    | (?P<string>"(?:\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4}|x[0-9a-fA-F]{2})|[^"\\\x00-\x1f\x7f])*"i?)
    | (?P<regexp>/(?:\\.|[^/\\])+/[imslux]*)
    | (?P<special><[^<>\s]+>)
    | (?P<rule>_?[a-z][_a-z0-9-]*)
    | (?P<token>_?[A-Z][_A-Z0-9-]*)
    | (?P<number>-?[0-9]+(?:\.(?!\.)[0-9]*)?)
    | (?P<statement>%[a-z]+)
    | (?P<reference>@[a-zA-Z0-9_-]+)
    | (?P<sign>->|::|\.\.|[:,.(){}\[\]~|&=_+*?!])""",
    re.VERBOSE | re.DOTALL,
)
_BLANK = re.compile(r"\s*")
_JSON_PART = re.compile(r'[^"{}\[\]]+|"[^"\\]*(?:\\.[^"\\]*)*"|[{}\[\]]', re.DOTALL)
_TIMES = {"*": (0, None), "+": (1, None), "?": (0, 1)}
_NO_STATEMENT = {
    "%declare": "tokens that are declared only",
    "%override": "rules that override others",
    "%regex": "regular expressions as %regex {...}",
    "%lark": "grammars in grammars",
    "%if": "conditions of parameters",
    "%extend": "rules that extend others",
}
_NO_ATTRIBUTE = {
    "stop": "it would be taken back; suffix= keeps it",
    "stop_capture": "nothing is captured",
    "temperature": "it is an option of the generation",
    "max_tokens": "bound the terminal, as in /.{0,80}/",
}


_OPTIONS = ("no_forcing", "allow_initial_skip", "ignore_once")
"""Of `%llguidance`; the first makes no difference to the texts."""


class Word(NamedTuple):
    kind: str
    text: str
    at: int


class Source:
    """A text with places in it."""

    def __init__(self, text: str) -> None:
        self.text = text

    def wrong(self, at: int, words: str) -> OptionError:
        line = self.text.count("\n", 0, at) + 1
        column = at - self.text.rfind("\n", 0, at)
        error = OptionError(f"the grammar is wrong in line {line}, column {column}: {words}")
        error.at = at
        return error


def read(source: Source) -> Document:
    """What a grammar defines. Raises OptionError that says where it is wrong."""
    if len(source.text) > MOST_SOURCE:
        raise OptionError(
            f"the grammar has {len(source.text):,} characters; {MOST_SOURCE:,} is the most"
        )
    return _Reader(source).document()


def _cut(source: Source) -> list[Word]:
    words: list[Word] = []
    at, text = 0, source.text
    while at < len(text):
        found = _TOKEN.match(text, at)
        if not found:
            raise source.wrong(at, f"{text[at : at + 12]!r} is nothing that Lark has")
        kind = str(found.lastgroup)
        if kind != "blank" and not (kind == "newline" and words and words[-1].kind == kind):
            words.append(Word(kind, found[0], at))
        at = found.end()
        if found[0] in ("%json", "%llguidance", "%regex"):
            start = _skip_blank(text, at)
            at = _json_end(source, start)
            words.append(Word("json", text[start:at], start))
        if len(words) > 4 * MOST_ITEMS:
            raise source.wrong(at, f"it has more than {4 * MOST_ITEMS:,} words")
    return [*words, Word("newline", "", at), Word("end", "", at)]


def _skip_blank(text: str, at: int) -> int:
    found = _BLANK.match(text, at)
    return found.end() if found else at


def _json_end(source: Source, start: int) -> int:
    """Where an object that begins here ends. What is in it is not looked at."""
    text, at, deep = source.text, start, 0
    while at < len(text):
        found = _JSON_PART.match(text, at)
        if not found:
            break
        sign = found[0]
        if deep == 0 and sign not in "{[":
            break
        deep += (sign in "{[") - (sign in "}]")
        if deep > MOST_JSON_NESTED:
            raise source.wrong(at, f"the JSON here is more than {MOST_JSON_NESTED} deep")
        at = found.end()
        if deep == 0:
            return at
    raise source.wrong(start, "here should be an object of JSON, closed in the end")


class _Reader:
    def __init__(self, source: Source) -> None:
        self._source = source
        self._words = _cut(source)
        self._at = 0
        self._nested = 0
        self._items = 0
        self._document = Document()

    @property
    def _word(self) -> Word:
        return self._words[self._at]

    def _wrong(self, words: str, word: Word | None = None) -> OptionError:
        return self._source.wrong((word or self._word).at, words)

    def _take(self, text: str) -> bool:
        there = self._word.text == text and self._word.kind in ("sign", "statement")
        self._at += there
        return there

    def _expect(self, text: str, after: str) -> None:
        if not self._take(text):
            raise self._wrong(f"{text!r} should stand here, behind {after}")

    def _take_kind(self, kind: str) -> Word | None:
        word = self._word
        if word.kind != kind:
            return None
        self._at += 1
        return word

    def document(self) -> Document:
        while self._word.kind != "end":
            if not self._take_kind("newline"):
                self._item()
                if self._word.kind != "newline":
                    raise self._wrong(f"{self._word.text!r:.30} cannot stand here")
        return self._document

    # Definitions

    def _item(self) -> None:
        word = self._word
        if word.kind == "statement":
            self._at += 1
            self._statement(word)
            return
        while self._take("!") or self._take("?"):
            pass  # they say how a tree is built
        name = self._take_kind("rule")
        if name is not None:
            self._define(self._document.rules, name, "rule")
            return
        name = self._take_kind("token")
        if name is None:
            raise self._wrong(
                f"a rule, a terminal or a statement should begin at {self._word.text!r:.30}"
            )
        self._define(self._document.tokens, name, "terminal")

    def _define(self, known: dict[str, Definition], name: Word, kind: str) -> None:
        if name.text in known or name.text in self._document.imports:
            raise self._wrong(f"{kind} {name.text!r:.60} is there already", name)
        refused = {"{": "templates", ".": "priorities", "::": "parameters"}
        if self._word.text in refused:
            raise self._wrong(f"{refused[self._word.text]} are not supported")
        definition = Definition(Ways((), name.at), name.at)
        if kind == "rule" and self._take("["):
            self._attributes(definition)
        self._expect(":", f"the name {name.text!r:.60}")
        definition.body = self._ways()
        known[name.text] = definition

    def _attributes(self, definition: Definition) -> None:
        while not self._take("]"):
            word = self._take_kind("rule")
            if word is None:
                raise self._wrong("here should be an attribute, as lazy or suffix=")
            if word.text in _NO_ATTRIBUTE:
                raise self._wrong(
                    f"the attribute {word.text} is not supported: {_NO_ATTRIBUTE[word.text]}", word
                )
            value = self._value() if self._take("=") else None
            if word.text == "lazy" and value is None:
                definition.lazy = True
            elif word.text == "suffix" and value is not None:
                definition.lazy, definition.suffix = True, value
            elif word.text != "capture":
                raise self._wrong(f"{word.text!r:.30} is no attribute, or its value is wrong", word)
            if not self._take(",") and self._word.text != "]":
                raise self._wrong("here should be a comma or the closing bracket")

    def _statement(self, word: Word) -> None:
        if word.text == "%ignore":
            self._document.ignored.append(self._ways())
        elif word.text == "%import":
            self._import()
        elif word.text == "%llguidance":
            self._options()
        elif word.text in _NO_STATEMENT:
            raise self._wrong(f"{_NO_STATEMENT[word.text]} are not supported", word)
        else:
            raise self._wrong(f"there is no statement {word.text!r:.30}", word)

    def _options(self) -> None:
        word = self._words[self._at]
        self._at += 1
        try:
            options = json.loads(word.text)
        except (ValueError, RecursionError) as error:
            raise self._wrong(f"the options are no JSON: {error}", word) from None
        for name, value in options.items():
            if name not in _OPTIONS or not isinstance(value, bool):
                raise self._wrong(
                    f"{name!r:.30} is not one of {', '.join(_OPTIONS)}, true or false", word
                )
            (self._document.options.add if value else self._document.options.discard)(name)

    def _import(self) -> None:
        path = [self._name()]
        while self._take("."):
            path.append(self._name())
        if path[0].text != "common" or len(path) > 2:
            words = ".".join(one.text for one in path)
            raise self._wrong(f"{words!r:.60} cannot be imported; common.NAME can", path[0])
        if len(path) == 1:
            self._expect("(", "common")
            path.append(self._name())
            while self._take(","):
                path.append(self._name())
            self._expect(")", "the names")
        local = self._name() if len(path) == 2 and self._take("->") else None
        for one in path[1:]:
            name = (local or one).text
            if name in self._document.imports or name in self._document.tokens:
                raise self._wrong(f"terminal {name!r:.60} is there already", one)
            self._document.imports[name] = Name(one.text, one.at)

    def _name(self) -> Word:
        word = self._take_kind("rule") or self._take_kind("token")
        if word is None:
            raise self._wrong("here should be a name")
        return word

    # What a definition says

    def _ways(self) -> Ways:
        start = self._word.at
        self._nested += 1
        if self._nested > MOST_NESTED:
            raise self._wrong(f"brackets stand in more than {MOST_NESTED} others")
        ways = [self._conjunction()]
        while self._next_way():
            ways.append(self._conjunction())
        self._nested -= 1
        return Ways(tuple(ways), start)

    def _next_way(self) -> bool:
        """Over the | of another alternative, which may stand on the next line."""
        if self._take("|"):
            return True
        following = self._words[self._at + 1] if self._word.kind == "newline" else None
        if following is not None and following.kind == "sign" and following.text == "|":
            self._at += 2
            return True
        return False

    def _conjunction(self) -> tuple[tuple[Part, ...], ...]:
        parts = [self._sequence()]
        while self._take("&"):
            parts.append(self._sequence())
        if self._take("->") and self._take_kind("rule") is None:
            raise self._wrong("behind -> should be a name in lower case")
        if self._word.text == "%if":
            raise self._wrong(f"{_NO_STATEMENT['%if']} are not supported")
        return tuple(parts)

    def _sequence(self) -> tuple[Part, ...]:
        parts: list[Part] = []
        while self._word.kind not in ("newline", "end"):
            if self._word.kind == "sign" and self._word.text in ("|", "->", "}", ")", "]", "&"):
                break
            if self._word.text == "%if":
                break
            parts.append(self._repeated(self._atom()))
            self._items += 1
            if self._items > MOST_ITEMS:
                raise self._wrong(f"the grammar has more than {MOST_ITEMS:,} parts")
        return tuple(parts)

    def _repeated(self, part: Part) -> Part:
        start = self._word
        high: int | None
        if start.kind == "sign" and start.text in _TIMES:
            self._at += 1
            return Times(part, *_TIMES[start.text])
        if start.text == "~" and self._words[self._at + 1].kind == "number":
            self._at += 1
            low = self._count()
            high = self._count() if self._take("..") else low
        elif self._take("{"):
            low = 0 if self._word.text == "," else self._count()
            high = low
            if self._take(","):
                high = None if self._word.text == "}" else self._count()
            self._expect("}", "the numbers")
        else:
            return part
        if high is not None and (high < low or high == 0):
            raise self._wrong(f"from {low} to {high} times is never", start)
        return Times(part, low, high)

    def _count(self) -> int:
        word = self._take_kind("number")
        if word is None or not word.text.isdecimal():
            raise self._wrong("here should be a whole number", word)
        if len(word.text) > 6:
            raise self._wrong(f"{word.text:.20} is too often", word)
        return int(word.text)

    def _atom(self) -> Part:
        if self._take("~"):
            return Absent(self._atom_inside())
        return self._atom_inside()

    def _atom_inside(self) -> Part:
        start = self._word
        for opening, closing in (("(", ")"), ("[", "]")):
            if self._take(opening):
                inside = self._ways()
                if not self._take(closing):
                    raise self._wrong(f"{opening!r} is not closed before this", self._word)
                return inside if opening == "(" else Times(inside, 0, 1)
        part = self._value()
        if isinstance(part, Name) and self._word.text == "::":
            raise self._wrong("parameters are not supported", start)
        return part

    def _value(self) -> Part:
        word = self._word
        self._at += 1
        if word.kind == "string":
            if self._take(".."):
                last = self._take_kind("string")
                if last is None:
                    raise self._wrong("behind .. should be a text of one character")
                return self._between(word, last)
            return Literal(self._unquoted(word), word.text.endswith("i"))
        if word.kind == "regexp":
            pattern, _, flags = word.text[1:].rpartition("/")
            return Pattern(pattern, flags, word.at + 1)
        if word.kind == "special":
            return Special(word.text, word.at)
        if word.kind in ("rule", "token"):
            following = self._words[self._at + 1]
            if self._word.text == "{" and following.kind != "number" and following.text != ",":
                raise self._wrong("templates are not supported")
            return Name(word.text, word.at)
        if word.kind == "reference":
            raise self._wrong("references to other grammars are not supported", word)
        if word.text == "%json":
            self._at += 1
            return Schema(self._words[self._at - 1].text, self._words[self._at - 1].at)
        if word.text in _NO_STATEMENT:
            raise self._wrong(f"{_NO_STATEMENT[word.text]} are not supported", word)
        raise self._wrong(f"{word.text!r:.30} cannot stand here", word)

    def _between(self, first: Word, last: Word) -> Between:
        ends = self._unquoted(first), self._unquoted(last)
        if len(ends[0]) != 1 or len(ends[1]) != 1 or first.text[-1] == "i" or last.text[-1] == "i":
            raise self._wrong("a range goes from one character to another", first)
        if ends[1] < ends[0]:
            raise self._wrong(f"the range {ends[0]!r} to {ends[1]!r} is backwards", first)
        return Between(*ends)

    def _unquoted(self, word: Word) -> str:
        inside = word.text.removesuffix("i")
        return str(json.loads(re.sub(r"\\(\\|x)", _as_json, inside)))


def _as_json(found: re.Match[str]) -> str:
    return r"\u00" if found[1] == "x" else found[0]
