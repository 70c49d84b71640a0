"""Texts that have a shape: a JSON Schema, a regular expression or a grammar.

    from thimble import SamplingParams, constrain

    shape = constrain.json_schema({"type": "object", "properties": {"age": {"type": "integer"}}})
    session.generate(prompt, SamplingParams(grammar=shape))

At each token those that the grammar does not let come are taken out before the draw. How it is
written down is `read_gbnf.py`, `read_regex.py` and `schema/`; how it is followed, `program.py`;
which tokens that leaves, `masks.py`. What is understood says docs/structured-output.md.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ..errors import OptionError
from .effort import Effort
from .masks import Constraint
from .network import Network
from .nodes import AS_USUAL, JsonOptions, Node
from .program import Program

__all__ = ["Constraint", "Grammar", "JsonOptions", "gbnf", "json_schema", "regex"]

KINDS = ("json_schema", "regex", "gbnf")


@dataclass(frozen=True, slots=True)
class Grammar:
    """A shape as it was written down. Raises OptionError where that cannot be understood."""

    kind: str
    source: str
    options: JsonOptions = AS_USUAL
    """How the JSON of a schema is written; other kinds have none."""

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise OptionError(f"{self.kind!r} is no kind of grammar; there are {', '.join(KINDS)}")
        if not isinstance(self.source, str):
            raise OptionError(f"a grammar is a text, not {type(self.source).__name__}")
        if self.kind == "json_schema":
            _reader(self.source, self.options)
        else:
            _network(self.kind, self.source)

    def program(self, reach: int) -> Program:
        """The automaton of its texts; no token has more than `reach` bytes."""
        if self.kind == "json_schema":
            from .schema.automaton import JsonProgram

            return JsonProgram(_reader(self.source, self.options), reach)
        from .rules import RuleProgram

        return RuleProgram(_network(self.kind, self.source), reach)


def json_schema(
    schema: Mapping[str, Any] | str | bool, options: JsonOptions | None = None, **changes: str
) -> Grammar:
    """JSON that is valid against a schema, which is an object or its JSON text. `options`, or
    their names, say how it is written: `property_order="any"`, `whitespace="free"` and so on."""
    source = schema if isinstance(schema, str) else json.dumps(schema)
    return Grammar("json_schema", source, JsonOptions.of(options, changes))


def regex(pattern: str) -> Grammar:
    """Texts that a regular expression matches as a whole."""
    return Grammar("regex", pattern)


def gbnf(source: str) -> Grammar:
    """Texts of a grammar in llama.cpp's notation."""
    return Grammar("gbnf", source)


@functools.lru_cache(maxsize=16)
def _reader(source: str, options: JsonOptions) -> Any:
    from .schema.reader import Reader

    reader = Reader(source, options, Effort())
    reader.check()
    return reader


@functools.lru_cache(maxsize=16)
def _network(kind: str, source: str) -> Network:
    rules: Mapping[str, Node]
    if kind == "gbnf":
        from .read_gbnf import parse as parse_gbnf

        rules = parse_gbnf(source)
    else:
        from .read_regex import parse as parse_regex

        rules = {"root": parse_regex(source)}
    return Network(rules, "root", left_recursion=kind != "gbnf")
