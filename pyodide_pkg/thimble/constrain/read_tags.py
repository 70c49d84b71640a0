"""Structural tags: free text in which a trigger begins something that has a shape.

    {"triggers": ["<function="], "structures": [
        {"begin": "<function=weather>", "schema": {"type": "object"}, "end": "</function>"}]}

The text is free until a trigger stands in it; then it must go on as one of the structures whose
`begin` starts with that trigger: the rest of `begin`, JSON of the schema, `end`; then it is free
again. The names are those of XGrammar's structural tags (Dong et al. 2024), in their older form.
What looks like a special token, `<...>` or `[NAME]`, may come as text or as the token of that name.

Two things more than XGrammar's: with `at_once` the text begins with a structure; and structures
may stand in a row, with a `separator` between them, `open` before (triggers are in it) and `close`
behind.

Triggers are looked for by one automaton (Aho & Corasick 1975): where several end at one place, what
any of them begins may follow.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any, NamedTuple

from ..errors import OptionError
from .nodes import (
    EMPTY,
    MOST_SOURCE,
    Alt,
    Chars,
    Graph,
    Json,
    Node,
    Repeat,
    Rule,
    Seq,
    Token,
    others,
    text,
    union,
)

MOST_STRUCTURES = 1_000
MOST_LETTERS = 1_000
"""Of all triggers together."""
_SPECIAL = re.compile(r"(<[^<>\s]+>|\[[A-Z_]+\])")
_FLAGS = ("at_least_one", "at_once", "stop_after_first")
_AROUND = ("open", "separator", "close")
_KEYS = {"type", "structures", "triggers", *_FLAGS, *_AROUND}
_STRUCTURE_KEYS = {"begin", "schema", "end"}


class Tags(NamedTuple):
    """What a source says."""

    triggers: list[str]
    structures: list[tuple[str, Json, str]]
    """Begin, schema and end of each."""
    at_least_one: bool
    """Whether a text must have a structure."""
    at_once: bool
    """Whether it begins with one."""
    stop_after_first: bool
    """Whether nothing stands behind a structure."""
    open: str
    """What stands before a row of structures, the triggers in it..."""
    separator: str | None
    """...between them; None where a row has one..."""
    close: str
    """...and behind them."""


def parse(source: str) -> dict[str, Node]:
    """The rules of texts with structural tags. Raises OptionError that says where it is wrong."""
    tags = read(source)
    rules = {f"behind {trigger}": _behind(tags, trigger) for trigger in tags.triggers}
    begun = Alt(
        tuple(Seq((spelled(trigger), Rule(f"behind {trigger}"))) for trigger in tags.triggers)
    )
    if tags.stop_after_first:
        free = _free(tags.triggers, again=False, ends=not tags.at_least_one)
        rules["root"] = begun if tags.at_once else free
        return rules
    rules["root"] = _free(tags.triggers, again=True, ends=True)
    if tags.at_once:
        rules["root"] = Seq((begun, rules["root"]))
    elif tags.at_least_one:
        first = _free(tags.triggers, again=False, ends=False)
        rules["root"] = Seq((first, rules["root"]))
    return rules


def _behind(tags: Tags, trigger: str) -> Node:
    """What a trigger begins."""
    first, one = (
        Alt(
            tuple(
                Seq((spelled(begin[len(known) :]), schema, spelled(end)))
                for begin, schema, end in tags.structures
                if begin.startswith(known)
            )
        )
        for known in ("" if tags.open else trigger, "")
    )
    row: list[Node] = [first]
    if tags.separator is not None:
        row.append(Repeat(Seq((spelled(tags.separator), one)), 0, None))
    if tags.open:
        return Seq((spelled(tags.open[len(trigger) :]), *row, spelled(tags.close)))
    return Seq(tuple(row))


def read(source: str) -> Tags:
    """What structural tags say, as their JSON text has it."""
    if len(source) > MOST_SOURCE:
        raise OptionError(f"the tags have {len(source):,} characters; {MOST_SOURCE:,} is the most")
    try:
        raw = json.loads(source)
    except (ValueError, RecursionError) as error:
        raise OptionError(f"the structural tags are no JSON: {error}") from None
    if not isinstance(raw, dict):
        raise _wrong("structural tags", raw, "an object with triggers and structures")
    if isinstance(raw.get("structural_tag"), dict):
        raw = raw["structural_tag"]
    for name in raw:
        if name not in _KEYS:
            raise OptionError(f"structural tags have {name!r:.60}, which is none of {_list(_KEYS)}")
    if raw.get("type", "structural_tag") != "structural_tag":
        raise _wrong("type", raw["type"], '"structural_tag"')
    flags = {name: raw.get(name, False) for name in _FLAGS}
    for name, flag in flags.items():
        if not isinstance(flag, bool):
            raise _wrong(name, flag, "true or false")
    around = {name: raw.get(name) for name in _AROUND}
    for name, words in around.items():
        if words is not None and not isinstance(words, str):
            raise _wrong(name, words, "a text")
    opened = around["open"] or ""
    triggers = _triggers(raw.get("triggers"))
    structures = raw.get("structures")
    if not isinstance(structures, list) or not 0 < len(structures) <= MOST_STRUCTURES:
        raise _wrong("structures", structures, f"a list of 1 to {MOST_STRUCTURES:,} objects")
    read_ones = [
        _structure(one, f"structures/{i}", [""] if opened else triggers)
        for i, one in enumerate(structures)
    ]
    begins = [opened] if opened else [begin for begin, _, _ in read_ones]
    for trigger in triggers:
        if not any(begin.startswith(trigger) for begin in begins):
            raise OptionError(f"no structure begins with the trigger {trigger!r:.60}")
    return Tags(
        triggers, read_ones, **flags, open=opened, separator=around["separator"],
        close=around["close"] or "",
    )  # fmt: skip


def _triggers(value: Any) -> list[str]:
    texts = isinstance(value, list) and all(isinstance(one, str) and one for one in value)
    if not texts or not value:
        raise _wrong("triggers", value, "a list of texts that are not empty")
    if sum(map(len, value)) > MOST_LETTERS:
        raise OptionError(f"the triggers have more than {MOST_LETTERS:,} characters together")
    return list(dict.fromkeys(value))


def _structure(value: Any, where: str, triggers: list[str]) -> tuple[str, Json, str]:
    if not isinstance(value, Mapping):
        raise _wrong(where, value, "an object with begin, schema and end")
    for name in value:
        if name not in _STRUCTURE_KEYS:
            raise OptionError(
                f"{where} has {name!r:.60}, which is none of {_list(_STRUCTURE_KEYS)}"
            )
    begin, end = value.get("begin"), value.get("end", "")
    if not isinstance(begin, str) or not isinstance(end, str):
        wrong = "end" if isinstance(begin, str) else "begin"
        raise _wrong(f"{where}/{wrong}", value.get(wrong), "a text")
    if not any(begin.startswith(trigger) for trigger in triggers):
        raise OptionError(f"{where}/begin is {begin!r:.60}; it must start with one of the triggers")
    schema = value.get("schema", True)
    if not isinstance(schema, (dict, bool)):
        raise _wrong(f"{where}/schema", schema, "a JSON Schema")
    return begin, Json(json.dumps(schema)), end


def spelled(words: str) -> Node:
    """A text; what looks like a special token may also come as one."""
    parts: list[Node] = []
    for part in _SPECIAL.split(words):
        if _SPECIAL.fullmatch(part):
            parts.append(Alt((text(part), Token(names=(part,), optional=True))))
        elif part:
            parts.append(text(part))
    return Seq(tuple(parts)) if parts else EMPTY


def _free(triggers: list[str], *, again: bool, ends: bool) -> Node:
    """Free text with what triggers begin in it: once, or `again` and again. With `ends` it may be
    over while it is free."""
    following, found = _prefixes(triggers)
    over = len(following)
    behind = 0 if again else over
    special = [one for one in triggers if _SPECIAL.fullmatch(one)]
    ways: list[tuple[tuple[Node, int], ...]] = []
    for letters in following:
        plain: dict[int, list[tuple[int, int]]] = {}
        edges: list[tuple[Node, int]] = []
        for letter, target in letters.items():
            if found[target]:
                begun = Alt(tuple(Rule(f"behind {trigger}") for trigger in found[target]))
                edges.append((Seq((text(letter), begun)), behind))
            else:
                plain.setdefault(target, []).append((ord(letter), ord(letter)))
        plain.setdefault(0, []).extend(others(tuple((ord(one), ord(one)) for one in letters)))
        edges += [(Chars(union(points)), target) for target, points in plain.items()]
        edges += [
            (Seq((Token(names=(one,), optional=True), Rule(f"behind {one}"))), behind)
            for one in special
        ]
        ways.append(tuple(edges))
    last = {*range(over)} if ends else set[int]()
    return Graph((*ways, ()), frozenset(last if again else {*last, over}))


def _prefixes(words: list[str]) -> tuple[list[dict[str, int]], list[list[str]]]:
    """The automaton of Aho and Corasick: of each state the states behind letters that lead on, and
    the words that end there."""
    children: list[dict[str, int]] = [{}]
    found: list[list[str]] = [[]]
    for word in words:
        at = 0
        for letter in word:
            if letter not in children[at]:
                children[at][letter] = len(children)
                children.append({})
                found.append([])
            at = children[at][letter]
        found[at].append(word)
    fails = [0] * len(children)
    following = list(children)
    work = list(children[0].values())
    for at in work:  # which grows: shorter prefixes first
        following[at] = {**following[fails[at]], **children[at]}
        found[at] += found[fails[at]]
        for letter, target in children[at].items():
            fails[target] = following[fails[at]].get(letter, 0)
            work.append(target)
    return following, found


def _list(names: set[str]) -> str:
    return ", ".join(sorted(names))


def _wrong(where: str, value: object, right: str) -> OptionError:
    return OptionError(f"{where} is {json.dumps(value, default=str):.60}; it must be {right}")
