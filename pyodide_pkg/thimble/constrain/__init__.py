"""Texts under a constraint: a JSON Schema, a regular expression or a grammar.

    from thimble import SamplingParams, constrain

    person = constrain.json_schema({"type": "object", "properties": {"age": {"type": "integer"}}})
    session.generate(prompt, SamplingParams(grammar=person))

At each token those that the grammar does not let come are taken out before the draw. How it is
written down is `read_gbnf.py`, `read_regex.py` and `read_schema.py`; how it is followed
`automaton.py`; which tokens that leaves `masks.py`. What is understood says
docs/structured-output.md.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ..errors import OptionError
from .automaton import Network
from .masks import Constraint
from .nodes import Node

__all__ = ["Constraint", "Grammar", "gbnf", "json_schema", "regex"]

KINDS = ("json_schema", "regex", "gbnf")


@dataclass(frozen=True, slots=True)
class Grammar:
    """A constraint as it was written down. Raises OptionError where that cannot be understood."""

    kind: str
    source: str

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise OptionError(f"{self.kind!r} is no kind of grammar; there are {', '.join(KINDS)}")
        if not isinstance(self.source, str):
            raise OptionError(f"a grammar is a text, not {type(self.source).__name__}")
        _ = self.network

    @property
    def network(self) -> Network:
        """What it comes to."""
        return _network(self.kind, self.source)


def json_schema(schema: Mapping[str, Any] | str | bool) -> Grammar:
    """JSON that is valid against a schema, which is an object or its JSON text."""
    return Grammar("json_schema", schema if isinstance(schema, str) else json.dumps(schema))


def regex(pattern: str) -> Grammar:
    """Texts that a regular expression matches as a whole."""
    return Grammar("regex", pattern)


def gbnf(source: str) -> Grammar:
    """Texts of a grammar in llama.cpp's notation."""
    return Grammar("gbnf", source)


@functools.lru_cache(maxsize=16)
def _network(kind: str, source: str) -> Network:
    rules: Mapping[str, Node]
    if kind == "gbnf":
        from .read_gbnf import parse as parse_gbnf

        rules = parse_gbnf(source)
    elif kind == "regex":
        from .read_regex import parse as parse_regex

        rules = {"root": parse_regex(source)}
    else:
        from .read_schema import parse as parse_schema

        rules = parse_schema(source)
    return Network(rules, "root")
