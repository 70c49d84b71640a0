"""JSON Schemas, regular expressions and grammars that are broken: read, and followed a while."""

from __future__ import annotations

import functools
import json
import random
from pathlib import Path

from tests.fuzz.kinds import Case, mutate_bytes, mutate_json, outcome
from thimble import constrain
from thimble.constrain.machine import Machine
from thimble.errors import ThimbleError
from thimble.kernel import default_kernel

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
    "lark": ('start: item ("," item)*\nitem: WORD | "[" start "]"\n'
             'WORD: /[a-c]{1,3}/\n%ignore / +/\n',
             'start: sum\n?sum: sum "+" NUMBER | NUMBER\nNUMBER: "0".."9"+\n'),
}  # fmt: skip


@functools.cache
def import_all() -> None:
    """What is imported when it is first needed, is no memory of an input's."""
    for kind, texts in SEEDS.items():
        for text in texts:
            constrain.Grammar(kind, text)


def make(rng: random.Random) -> Case:
    import_all()
    kind = rng.choice(list(SEEDS))
    text = rng.choice(SEEDS[kind]).encode()
    change = mutate_json if kind == "json_schema" and rng.random() < 0.8 else mutate_bytes
    return {kind: change(rng, text)}


def check(case: Case, scratch: Path) -> str:
    """Read it; then go a way through it, the first byte that is allowed or the last in turn."""
    ((kind, data),) = case.items()
    try:
        grammar = constrain.Grammar(kind, data.decode("utf-8", "replace"))
        program = grammar.program(16)
        machine = Machine(default_kernel(), program, 16)
        place, text = machine.start(), bytearray()
        for step in range(STEPS):
            program.begin()
            ways = [byte for byte in range(256) if machine.step(place, bytes([byte])) is not None]
            if not ways:
                return "read, to an end"
            byte = ways[0 if step % 3 else -1]
            found = machine.step(place, bytes([byte]), text)
            if found is None:
                return "read"
            place = found
            text.append(byte)
        return "read"
    except ThimbleError as error:
        return outcome(error)
