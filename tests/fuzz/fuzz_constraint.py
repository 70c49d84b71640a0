"""JSON Schemas, regular expressions and grammars that are broken: read, and followed a while."""

from __future__ import annotations

import json
import random
from pathlib import Path

from tests.fuzz.kinds import Case, mutate_bytes, mutate_json, outcome
from thimble import constrain
from thimble.constrain.automaton import Automaton
from thimble.errors import ThimbleError

STEPS = 24
"""Bytes of a text that is looked for."""

SEEDS: dict[str, tuple[str, ...]] = {
    "json_schema": tuple(map(json.dumps, (
        {"type": "object", "properties": {"name": {"type": "string", "maxLength": 5},
         "age": {"type": "integer", "minimum": 0, "maximum": 120}}, "required": ["age"]},
        {"$defs": {"t": {"type": "object", "properties": {"of": {"type": "array", "items": {
            "$ref": "#/$defs/t"}, "maxItems": 2}}, "additionalProperties": False}},
         "$ref": "#/$defs/t"},
        {"anyOf": [{"enum": ["a", 1, None]}, {"type": "number", "exclusiveMinimum": -2.5}]},
        {"type": "string", "pattern": "^[a-c]{1,3}$"},
        {"type": ["array", "null"], "prefixItems": [{"const": {"a": [1]}}], "minItems": 1},
    ))),
    "regex": (r"^(?:[A-Z]\w{0,5}|é+|[^\x00-z]){1,3}(?:, \d{1,3}(?:\.\d+?)?)*!$", "(a|ab)(c|bcd)*",
              "[a-z]{3}(?:x|y)?", r"\u00e9[\d\s\W]*"),
    "gbnf": ('root ::= "[" root? "]" | [a-c]+ item\nitem ::= ("x" | "é"){1,3} ws\nws ::= [ \\t]*',
             'root ::= expr ("," expr)*\nexpr ::= [0-9]+ | "(" expr ")" # more\n'),
}  # fmt: skip


def make(rng: random.Random) -> Case:
    kind = rng.choice(list(SEEDS))
    text = rng.choice(SEEDS[kind]).encode()
    change = mutate_json if kind == "json_schema" and rng.random() < 0.8 else mutate_bytes
    return {kind: change(rng, text)}


def check(case: Case, scratch: Path) -> str:
    """Read it; then go a way through it, the first byte that is allowed or the last in turn."""
    ((kind, data),) = case.items()
    try:
        grammar = constrain.Grammar(kind, data.decode("utf-8", "replace"))
        automaton, state = Automaton(grammar.network), 0
        for step in range(STEPS):
            row = automaton.row(state)
            ways = sorted({target for target in row if target > 0})
            if not ways:
                return "read, to an end"
            state = ways[0 if step % 3 else -1]
        return "read"
    except ThimbleError as error:
        return outcome(error)
