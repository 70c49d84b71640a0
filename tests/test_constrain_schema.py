"""JSON Schemas: accepted is what jsonschema, pydantic, zod and the standard's own tests accept."""

from __future__ import annotations

import gzip
import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import thimble
from thimble import constrain
from thimble.constrain import Constraint
from thimble.constrain.effort import watched
from thimble.constrain.machine import Machine
from thimble.constrain.masks import Shelf
from thimble.constrain.program import ENDLESS
from thimble.constrain.schema.automaton import JsonProgram
from thimble.json_options import AS_STANDARD, JsonOptions
from thimble.kernel import default_kernel
from thimble.sampling import SamplingParams

VECTORS = Path(__file__).parent / "vectors"
NAMES = Path(__file__).resolve().parent.parent / "web" / "models" / "names.gguf"


def accepts(schema: Any, value: Any, options: JsonOptions = AS_STANDARD, **how: Any) -> bool:
    """Whether the JSON text of a value is one of a schema's."""
    grammar = constrain.json_schema(
        schema if isinstance(schema, dict) else json.dumps(schema), options
    )
    return writes(grammar, json.dumps(value, ensure_ascii=False, **how))


def writes(grammar: constrain.Grammar, text: str) -> bool:
    program = grammar.program(64)
    machine = Machine(default_kernel(), program, 64)
    program.begin()
    place = machine.step(machine.start(), text.encode("utf-8", "surrogatepass"), bytearray())
    return place is not None and machine.accepts(place)


def judged(entry: dict[str, Any], options: JsonOptions = AS_STANDARD) -> Counter[str]:
    """How a schema and its instances fared."""
    found: Counter[str] = Counter(schemas=1)
    try:
        constrain.json_schema(json.dumps(entry["schema"]), options)
    except thimble.OptionError as error:
        nothing = "no value satisfies" in str(error) or "is false" in str(error)
        if not (nothing and not any(test["valid"] for test in entry["tests"])):
            found["refused"] += 1
        return found
    for test in entry["tests"]:
        try:
            accepted = accepts(entry["schema"], test["data"], options)
        except thimble.OptionError:
            found["given up"] += 1
            continue
        if accepted != test["valid"]:
            found["invalid accepted" if accepted else "valid refused"] += 1
            print(entry["name"], json.dumps(test["data"])[:200], accepted)
    found["right"] = found.total() == 1
    return found


def recorded(name: str) -> Iterator[dict[str, Any]]:
    features = json.loads((VECTORS / name).read_text(encoding="utf-8"))["features"]
    assert len(features) >= 60
    yield from features


@pytest.mark.parametrize("name", ["pydantic.json", "zod.json"])
def test_what_generators_write_is_understood(name: str) -> None:
    found: Counter[str] = Counter()
    for entry in recorded(name):
        found.update(judged(entry))
    assert found["invalid accepted"] == 0
    assert found["right"] >= 0.95 * found["schemas"], found


def test_the_suite_of_the_standard() -> None:
    standard = JsonOptions(
        property_order="any", whitespace="free", extra_members="standard", numbers="any",
        formats="passed",
    )  # fmt: skip
    found: Counter[str] = Counter()
    with gzip.open(VECTORS / "schema_suite.jsonl.gz", "rt", encoding="utf-8") as lines:
        for line in lines:
            found.update(judged(json.loads(line), standard))
    assert found["schemas"] > 600
    assert found["invalid accepted"] == 0
    assert found["valid refused"] <= 1, found  # where a $schema elsewhere unsays validation
    assert found["right"] >= 0.9 * found["schemas"], found


_NAMES = st.sampled_from(["a", "b", "ab", "é"])
_PLAIN = st.sampled_from([None, True, False, 0, 1, -2, 1.5, 3, "", "a", "ab", "b"])
_VALUES = st.recursive(
    _PLAIN, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_NAMES, inner, max_size=3)
)  # fmt: skip
_TYPES = st.sampled_from(
    ["null", "boolean", "integer", "number", "string", "array", "object", ["string", "integer"]]
)
_SMALL = st.integers(0, 3)


def _schemas(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    keywords = {
        "type": _TYPES, "enum": st.lists(_VALUES, min_size=1, max_size=3), "const": _VALUES,
        "minimum": st.integers(-2, 2), "exclusiveMaximum": st.sampled_from([0, 1.5, 3]),
        "multipleOf": st.sampled_from([1, 2, 0.5]), "minLength": _SMALL, "maxLength": _SMALL,
        "pattern": st.sampled_from(["a", "^b", "^a*$", "[ab]{2}"]), "minItems": _SMALL,
        "maxItems": _SMALL, "uniqueItems": st.just(True), "items": inner, "contains": inner,
        "prefixItems": st.lists(inner, min_size=1, max_size=2),
        "required": st.lists(_NAMES, max_size=2),
        "properties": st.dictionaries(_NAMES, inner, max_size=3), "additionalProperties": inner,
        "patternProperties": st.dictionaries(st.sampled_from(["^a", "b"]), inner, max_size=2),
        "propertyNames": st.sampled_from([{"maxLength": 1}, {"pattern": "a"}, {"enum": ["a"]}]),
        "minProperties": _SMALL, "maxProperties": _SMALL, "not": inner, "if": inner, "then": inner,
        "else": inner, "allOf": st.lists(inner, min_size=1, max_size=2),
        "anyOf": st.lists(inner, min_size=1, max_size=3),
        "oneOf": st.lists(inner, min_size=1, max_size=3),
        "dependentRequired": st.dictionaries(_NAMES, st.lists(_NAMES, max_size=1), max_size=1),
        "dependentSchemas": st.dictionaries(_NAMES, inner, max_size=1),
        "unevaluatedProperties": st.just(False), "unevaluatedItems": st.just(False),
    }  # fmt: skip

    def some(words: list[str]) -> st.SearchStrategy[Any]:
        return st.fixed_dictionaries({word: keywords[word] for word in words})

    chosen = st.lists(st.sampled_from(sorted(keywords)), unique=True, max_size=3)
    return chosen.flatmap(some)


SCHEMAS = st.recursive(st.booleans() | _schemas(st.booleans()), _schemas, max_leaves=6)


@settings(max_examples=600, deadline=None)
@given(SCHEMAS, st.lists(_VALUES, min_size=1, max_size=6))
def test_what_is_accepted_is_what_jsonschema_finds_valid(schema: Any, values: list[Any]) -> None:
    validator = jsonschema.Draft202012Validator(schema)
    valid = [validator.is_valid(value) for value in values]
    try:
        constrain.json_schema(json.dumps(schema), AS_STANDARD)
    except thimble.OptionError as error:
        satisfied = "no value satisfies" in str(error) or "is false" in str(error)
        assert not (satisfied and any(valid)), (schema, values)
        return
    for value, right in zip(values, valid, strict=True):
        try:
            assert accepts(schema, value) == right, (schema, value, right)
        except thimble.OptionError as error:
            assert "steps" in str(error) or "ways to hold" in str(error)


@pytest.fixture(scope="module")
def model() -> Iterator[thimble.Model]:
    loaded = thimble.load(NAMES)
    yield loaded
    loaded.close()


WIDE = JsonOptions(property_order="any", whitespace="free", extra_members="standard", escapes="any")
"""But for numbers, of which floats would round the longest."""


@pytest.mark.parametrize("options", [JsonOptions(), WIDE], ids=["usual", "wide"])
def test_what_is_written_is_valid(model: thimble.Model, options: JsonOptions) -> None:
    whole = 0
    for name in ("pydantic.json", "zod.json"):
        for entry in recorded(name):
            try:
                grammar = constrain.json_schema(entry["schema"], options)
            except thimble.OptionError:
                continue
            session = model.session()
            params = SamplingParams(grammar=grammar, temperature=2.0, seed=whole, max_tokens=200)
            chunks = list(session.generate("", params))
            session.close()
            if chunks[-1].finish_reason == "stop":
                whole += 1
                value = json.loads("".join(chunk.text for chunk in chunks))
                jsonschema.validate(value, entry["schema"])
    assert whole > 100


def test_members_stand_in_order_unless_asked_otherwise() -> None:
    schema = {
        "properties": {"a": {"type": "integer"}, "b": {}},
        "required": ["b"],
        "type": "object",
    }
    usual = JsonOptions()
    assert accepts(schema, {"a": 1, "b": 2}, usual)
    assert accepts(schema, {"b": 2}, usual)
    assert not accepts(schema, {"b": 2, "a": 1}, usual)
    assert not accepts(schema, {"a": 1, "b": 2, "c": 3}, usual)
    assert accepts(schema, {"b": 2, "a": 1}, JsonOptions(property_order="any"))
    assert accepts(schema, {"a": 1, "b": 2, "c": 3}, JsonOptions(extra_members="standard"))
    assert not accepts(schema, {"a": 1, "b": 2}, usual, indent=1)
    assert accepts(schema, {"a": 1, "b": 2}, JsonOptions(whitespace="free"), indent=1)


def test_no_member_comes_twice() -> None:
    grammar = constrain.json_schema({"type": "object"}, AS_STANDARD)
    assert writes(grammar, '{"a":1,"b":2,"é":3}')
    assert not writes(grammar, '{"a":1,"b":2,"a":3}')
    assert not writes(grammar, '{"é":1,"b":2,"é":3}')


def test_escapes_in_any_way() -> None:
    grammar = constrain.json_schema({"type": "string", "pattern": "^é/\\n?😀$"}, escapes="any")
    assert writes(grammar, '"é/😀"')
    assert writes(grammar, r'"\u00E9\/\n\ud83d\ude00"')
    assert not writes(grammar, r'"\u00ea/\ud83d\ude00"')
    usual = constrain.json_schema({"type": "string"})
    assert not writes(usual, r'"\u0061"')


ADDRESS = r"arn:aws(-[a-z]{1,5}){0,3}:s3:[^:\n]*:\d{12}:point/[\w.-]{16}"


@pytest.mark.parametrize(
    ("pattern", "low", "yes", "no"),
    [
        ("[\\t\\n\\r\u0020-\u00ff]+", 1, ["é", "中 b"], ["", "中", "b" * 2049]),
        (ADDRESS, 40, ["arn:aws:s3:é:123456789012:point/abcdefgh-1234567 x"], ["x" * 70]),
        (
            f"^{ADDRESS}$",
            9,
            ["arn:aws-cn:s3::123456789012:point/" + "a" * 16],
            ["arn:aws", "a" * 99],
        ),
    ],
)
def test_an_expression_with_lengths_takes_little_work(
    pattern: str, low: int, yes: list[str], no: list[str]
) -> None:
    schema = {"type": "string", "pattern": pattern, "minLength": low, "maxLength": 2048}
    program = constrain.json_schema(schema).program(64)
    assert isinstance(program, JsonProgram)
    effort = program.reader.effort
    assert effort.most - effort.left < 10_000
    for value in [*yes, *no]:
        jsonschema_says = jsonschema.Draft202012Validator(schema).is_valid(value)
        assert accepts(schema, value) == jsonschema_says == (value in yes)


@pytest.mark.parametrize("most", [1_000_000_000, 1_000_000_000_000])
def test_a_length_without_end_costs_no_states(most: int) -> None:
    schema = {"type": "string", "minLength": 5, "maxLength": most}
    program = constrain.json_schema(schema).program(64)
    machine = Machine(default_kernel(), program, 64)
    place = machine.step(machine.start(), b'"' + b"x" * 3000, bytearray())
    assert place is not None
    assert machine.step(place, b'"', bytearray()) is not None
    later = machine.step(place, b"x", bytearray())
    assert later is not None and (later != place) == (most < ENDLESS)
    assert program.folded(place.state, 0) == program.folded(later.state, 0)


@pytest.mark.parametrize("name", ["whitespace", "property_order"])
def test_an_option_out_of_range_is_named(name: str) -> None:
    with pytest.raises(thimble.OptionError, match=f"{name} is 'odd'"):
        constrain.json_schema({}, None, **{name: "odd"})
    with pytest.raises(thimble.OptionError, match="'odd' is none of"):
        constrain.json_schema({}, odd="any")


def _nested(depth: int) -> dict[str, Any]:
    schema: dict[str, Any] = {"type": "integer"}
    for _ in range(depth):
        schema = {"type": "object", "properties": {"a": schema}, "required": ["a"]}
    return schema


HOSTILE: dict[str, dict[str, Any]] = {
    "a choice of many that overlap": {
        "oneOf": [{"type": "object", "required": [f"p{i}"]} for i in range(200)]
    },
    "expressions that exclude each other": {"oneOf": [{"pattern": f"{i}$"} for i in range(200)]},
    "choices after choices": {
        "type": "object",
        "allOf": [{"anyOf": [{"required": [f"a{i}"]}, {"required": [f"b{i}"]}]} for i in range(60)],
    },
    "an expression that explodes": {
        "type": "string", "allOf": [{"pattern": f"^(.*a.{{{i}}})*$"} for i in range(2, 14)]
    },
    "a length that never fits": {
        "type": "string", "pattern": "^(ab)*$", "minLength": 100_001, "maxLength": 100_001
    },
    "a multiple far away": {"type": "number", "multipleOf": 9_999_999_967, "exclusiveMinimum": 1,
                            "maximum": 9_999_999_966},
    "values that must stand in values": _nested(300),
    "conditions in a chain": {
        "type": "object",
        "allOf": [{"if": {"required": [f"a{i}"]}, "then": {"required": [f"a{i + 1}"]},
                   "else": {"required": [f"b{i}"]}} for i in range(60)],
    },
    "names by many expressions": {
        "type": "object", "additionalProperties": False,
        "patternProperties": {f"^[a-z]*{i}$": {"type": "integer"} for i in range(40)},
    },
    "references to references": {
        "$ref": "#/$defs/d0",
        "$defs": {f"d{i}": {"anyOf": [{"$ref": f"#/$defs/d{i + 1}"}, {"maxLength": i}]}
                  for i in range(200)} | {"d200": {}},
    },
    "many members": {
        "type": "object", "properties": {f"name{i}": {"minimum": i} for i in range(3000)}
    },
    "a long list of different values": {
        "type": "array", "uniqueItems": True, "minItems": 10**9, "items": {"type": "integer"}
    },
}  # fmt: skip


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_schema_is_followed_or_refused_with_bounded_work(name: str) -> None:
    from thimble.constrain.effort import AT_ONCE

    try:
        grammar = constrain.json_schema(HOSTILE[name])
        program = grammar.program(64)
        assert isinstance(program, JsonProgram)
        machine = Machine(default_kernel(), program, 64)
        place, text = machine.start(), bytearray()
        for _ in range(40):
            program.begin()
            ways = [b for b in range(32, 127) if machine.step(place, bytes([b])) is not None]
            assert ways or machine.accepts(place)
            assert program.reader.effort.left >= 0
            if not ways:
                break
            byte = ways[-1]
            found = machine.step(place, bytes([byte]), text)
            if found is None:
                break
            place = found
            text.append(byte)
            assert program.size < AT_ONCE
    except thimble.OptionError as error:
        assert "#" in str(error), "the place in the schema"
        assert len(str(error)) < 300


def test_work_can_be_stopped_and_begun_again() -> None:
    def stop() -> None:
        raise thimble.errors.StoppedError("enough")

    def behind(machine: Machine, text: bytes) -> bool:
        machine.program.begin()
        return machine.step(machine.start(), text, bytearray()) is not None

    schema = {"type": "string", "allOf": [{"pattern": f"^(.*a.{{{i}}})*$"} for i in (5, 6)]}
    texts = [b'"' + bytes(97 + (i * n) % 2 for i in range(40)) + b'"' for n in (1, 2, 3, 5)]
    stopped, other = (
        Machine(default_kernel(), constrain.json_schema(schema).program(64), 64) for _ in range(2)
    )
    with pytest.raises(thimble.errors.StoppedError), watched(stop):
        for text in texts:
            behind(stopped, text)
    assert [behind(stopped, text) for text in texts] == [behind(other, text) for text in texts]


def test_watched_schemas_forbid_nothing() -> None:
    """As where two structures' schemas may begin at one place, and which it is shows later."""
    schema = {
        "$defs": {name: {"type": "object", "required": [name]} for name in ("p", "q")},
        "anyOf": [{"$ref": "#/$defs/p"}, {"$ref": "#/$defs/q"}],
    }
    texts = ['{"p":1}', '{"q":1}', '{"p":1,"a":1}', '{"p":1,"q":2}', '{"a":1}', '{"q":1,"p":2}']
    for options in (JsonOptions(), AS_STANDARD):
        found = []
        for watches in (False, True):
            program = constrain.json_schema(schema, options).program(64)
            assert isinstance(program, JsonProgram)
            document, logic = program.reader.document, program.reader.logic
            parts = [logic.schema(document.inside(document.root, "$defs", n)) for n in "pq"]
            start = program.value(logic.any(parts), tuple(parts) if watches else ())
            machine = Machine(default_kernel(), program, 64)
            begin = machine.start()._replace(state=start)
            places = [machine.step(begin, text.encode(), bytearray()) for text in texts]
            found.append([place is not None and machine.accepts(place) for place in places])
        assert found[0] == found[1] == [True, True, True, True, False, options == AS_STANDARD]


def test_an_identity_may_be_an_address_without_a_beginning() -> None:
    schema = {
        "$id": "example.org/schemas/list.json",
        "items": {"$ref": "#/definitions/outer"},
        "definitions": {
            "outer": {"properties": {"a": {"$ref": "#/definitions/inner"}}, "required": ["a"]},
            "inner": {
                "$id": "parts/inner.json",
                "type": ["integer", "array"],
                "items": {"$ref": "#"},
            },
        },
    }
    assert accepts(schema, [{"a": [1, [2]]}])
    assert not accepts(schema, [{"a": [{"a": 1}]}])


def test_a_recursive_reference_leads_to_the_outermost_resource() -> None:
    schema = {
        "$schema": "https://json-schema.org/draft/2019-09/schema",
        "$id": "tree.json", "$recursiveAnchor": True, "$ref": "node.json", "maxProperties": 1,
        "$defs": {
            "node": {"$id": "node.json", "$recursiveAnchor": True, "type": "object",
                     "additionalProperties": {"$recursiveRef": "#"}},
        },
    }  # fmt: skip
    assert accepts(schema, {"a": {"b": {}}})
    assert not accepts(schema, {"a": {"b": {}, "c": {}}})


def test_a_schema_that_was_forgotten_allows_the_same(model: thimble.Model) -> None:
    grammar = constrain.json_schema(
        {"type": "string", "pattern": "^(?:[a-z]+ ){0,9}[a-z]+$", "maxLength": 60}
    )
    text = model.tokenizer.encode('"some words that go on and on"', add_special=False)
    found = []
    for _ in range(2):
        constraint = Constraint(model.kernel, model.tokenizer, grammar, 0, False)
        found.append([constraint.count(text[:n]) for n in range(len(text) + 1)])
        Shelf.of(model.kernel, model.tokenizer).grammars.clear()
        grammar.forget()
    assert found[0] == found[1] and all(found[0])
