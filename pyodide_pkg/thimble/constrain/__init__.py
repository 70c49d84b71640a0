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
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..errors import OptionError
from ..json_options import AS_USUAL, JsonOptions
from .effort import Effort
from .host import Host
from .masks import Constraint
from .network import Network
from .nodes import Json, Node
from .program import Program

if TYPE_CHECKING:
    from .hosting import Schemas
    from .lexed import Grammar as Lexed

__all__ = [
    "Constraint",
    "Grammar",
    "JsonOptions",
    "gbnf",
    "json_schema",
    "lark",
    "regex",
    "structural_tag",
]

KINDS = ("json_schema", "regex", "gbnf", "lark", "structural_tag")


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
        if self.kind != "json_schema" and self.options != AS_USUAL:
            names = ", ".join(self.options.changes())
            raise OptionError(f"{names}: only a JSON Schema has such options")
        if self.kind == "json_schema":
            _reader(self.source, self.options)
        elif self.kind == "lark":
            _lexed(self.source)
        else:
            _rules(self.kind, self.source)

    def described(self) -> dict[str, Any]:
        """Itself in JSON, as recordings and the page have it."""
        words: dict[str, Any] = {"kind": self.kind, "source": self.source}
        if changes := self.options.changes():
            words["options"] = changes
        return words

    @staticmethod
    def from_described(value: Mapping[str, Any]) -> Grammar:
        """The grammar of an object with `kind`, `source` and, of a schema, `options`."""
        options = JsonOptions.of(None, value.get("options", {}))
        return Grammar(value["kind"], value["source"], options)

    def forget(self) -> None:
        """Let go of what was found out about schemas since they were read: it has grown large."""
        if self.kind == "json_schema":
            _reader.cache_clear()
        elif self.kind == "lark" and _lexed(self.source)[1] is not None:
            _lexed.cache_clear()
        elif self.kind != "lark" and _rules(self.kind, self.source)[1] is not None:
            _rules.cache_clear()

    def program(self, reach: int) -> Program:
        """The automaton of its texts; no token has more than `reach` bytes."""
        if self.kind == "json_schema":
            from .schema.automaton import JsonProgram

            return JsonProgram(_reader(self.source, self.options), reach)
        host: Host
        if self.kind == "lark":
            from .lexed import LexedProgram

            grammar, schemas = _lexed(self.source)
            host = LexedProgram(grammar, reach)
        else:
            from .rules import RuleProgram

            network, schemas = _rules(self.kind, self.source)
            host = RuleProgram(network, reach)
        if schemas is None:
            return host
        from .hosting import Hosting

        return Hosting(host, schemas, reach)


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


def lark(source: str) -> Grammar:
    """Texts of a grammar in Lark's notation, as LLGuidance reads it."""
    return Grammar("lark", source)


def structural_tag(
    structures: Mapping[str, Any] | Sequence[Mapping[str, Any]] | str,
    triggers: Sequence[str] | None = None,
    *,
    at_least_one: bool = False,
    stop_after_first: bool = False,
) -> Grammar:
    """Free text in which each of `triggers` begins one of `structures`, objects with `begin` (which
    starts with a trigger), `schema` and `end`. Or all in one: an object with `structures` and
    `triggers`, or its JSON text. With `at_least_one` a structure must come, with
    `stop_after_first` nothing comes behind one."""
    if isinstance(structures, str):
        return Grammar("structural_tag", structures)
    given: dict[str, Any] = {}
    if isinstance(structures, Mapping):
        given = dict(structures)
    else:
        given = {"structures": list(structures), "triggers": list(triggers or ())}
    if at_least_one:
        given["at_least_one"] = True
    if stop_after_first:
        given["stop_after_first"] = True
    return Grammar("structural_tag", json.dumps(given))


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
def _rules(kind: str, source: str) -> tuple[Network, Schemas | None]:
    """A grammar's rules, and the schemas of the JSON in them, if there is any."""
    rules: Mapping[str, Node]
    if kind == "gbnf":
        from .read_gbnf import parse as parse_gbnf

        rules = parse_gbnf(source)
    elif kind == "structural_tag":
        from .read_tags import parse as parse_tags

        rules = parse_tags(source)
    else:
        from .read_regex import parse as parse_regex

        rules = {"root": parse_regex(source)}
    network = Network(rules, "root", left_recursion=kind != "gbnf")
    return network, _schemas(one for one in network.symbols if isinstance(one, Json))


@functools.lru_cache(maxsize=16)
def _lexed(source: str) -> tuple[Lexed, Schemas | None]:
    """A grammar of lexemes, and the schemas of the JSON in it."""
    from .lexed import Grammar as Lexed

    grammar = Lexed(source)
    return grammar, _schemas(grammar.jsons.values())


def _schemas(jsons: Iterable[Json]) -> Schemas | None:
    found = list(jsons)
    if not found:
        return None
    from .hosting import Schemas

    return Schemas(found)
