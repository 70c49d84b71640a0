"""Texts that match a grammar: every one parses, and the masks are those of plain trial."""

from __future__ import annotations

import json
import re
from array import array
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import thimble
from thimble import constrain
from thimble.constrain import masks
from thimble.constrain.automaton import NOWHERE, Automaton
from thimble.constrain.machine import Machine
from thimble.constrain.masks import Constraint, Shelf
from thimble.constrain.rules import RuleProgram
from thimble.constrain.schema.formats import DATE
from thimble.constrain.utf8 import utf8_ranges
from thimble.sampling import SamplingParams

NAMES = Path(__file__).resolve().parent.parent / "web" / "models" / "names.gguf"
LONG_TOKENS = NAMES.with_name("story-small.gguf")
EACH = 1_000
"""Texts a grammar."""

PERSON: dict[str, Any] = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "minLength": 1, "maxLength": 8},
        "age": {"type": "integer", "minimum": 0, "maximum": 120},
        "score": {"type": "number", "exclusiveMinimum": -3, "maximum": 7},
        "mood": {"enum": ["calm", '"odd" é', 3, None]},
        "tags": {"type": "array", "items": {"type": "boolean"}, "minItems": 1, "maxItems": 3},
        "born": {"type": "string", "format": "date"},
    },
    "required": ["name", "mood"],
}
TREE: dict[str, Any] = {
    "$defs": {
        "node": {
            "type": "object",
            "properties": {
                "v": {"type": ["integer", "null"], "maximum": 9, "minimum": 0},
                "next": {"$ref": "#/$defs/node"},
            },
            "required": ["v"],
        }
    },
    "$ref": "#/$defs/node",
}
MENU: dict[str, Any] = {
    "oneOf": [
        {
            "type": "object",
            "properties": {"kind": {"const": "pie"}, "slices": {"type": "integer", "maximum": 8}},
            "required": ["kind", "slices"],
        },
        {
            "type": "object",
            "properties": {"kind": {"const": "code"}, "id": {"pattern": "^[A-Z]{2}[0-9]+$"}},
            "required": ["kind", "id"],
            "additionalProperties": {"type": "boolean"},
        },
        {"prefixItems": [{"const": 1}, {"type": "null"}], "type": "array", "maxItems": 3},
    ]
}
GBNF = r"""
root  ::= sum ("; " sum){0,2}   # sums in brackets
sum   ::= term ([+*] term)*
term  ::= [0-9] | "(" sum ")" | "\x78" | [^\x00-\x7f]
"""


@pytest.fixture(scope="module")
def model() -> Iterator[thimble.Model]:
    loaded = thimble.load(NAMES)
    yield loaded
    loaded.close()


@pytest.fixture(scope="module")
def long_tokens() -> Iterator[thimble.Model]:
    loaded = thimble.load(LONG_TOKENS)
    yield loaded
    loaded.close()


def texts(
    model: thimble.Model, grammar: constrain.Grammar, n: int, most: int = 400
) -> Iterator[str]:
    """`n` whole texts of a grammar, at a temperature at which the model says nearly anything."""
    session = model.session()
    most = min(most, session.n_ctx - 8)
    whole = seed = 0
    while whole < n:
        seed += 1
        assert seed < 2 * n, f"{seed - whole} of {seed} texts had no room to end"
        session.rollback(0)
        params = SamplingParams(grammar=grammar, temperature=3.0, seed=seed, max_tokens=most)
        chunks = list(session.generate("", params))
        if chunks[-1].finish_reason == "stop":
            whole += 1
            yield "".join(chunk.text for chunk in chunks)
    session.close()


def valid(value: Any, schema: Any, root: Any) -> bool:
    """The keywords of the schemas above, checked plainly."""
    if "$ref" in schema:
        return valid(value, root["$defs"]["node"], root)
    if "oneOf" in schema:
        return sum(valid(value, one, root) for one in schema["oneOf"]) == 1
    if "const" in schema:
        return bool(value == schema["const"])
    if "enum" in schema:
        return value in schema["enum"]
    kinds = {dict: "object", list: "array", str: "string", bool: "boolean", int: "integer",
             float: "number", type(None): "null"}  # fmt: skip
    wanted = schema.get("type", "string")
    wanted = wanted if isinstance(wanted, list) else [wanted]
    kind = kinds[type(value)]
    if kind not in wanted and not (kind == "integer" and "number" in wanted):
        return False
    if kind == "object":
        named = schema["properties"]
        more = schema.get("additionalProperties", False)
        return all(name in value for name in schema["required"]) and all(
            valid(one, named[name], root) if name in named else more and valid(one, more, root)
            for name, one in value.items()
        )
    if kind == "array":
        heads = schema.get("prefixItems", [])
        return schema.get("minItems", 0) <= len(value) <= schema["maxItems"] and all(
            valid(one, heads[i] if i < len(heads) else schema.get("items", {"enum": [one]}), root)
            for i, one in enumerate(value)
        )
    if kind == "string":
        low, high = schema.get("minLength", 0), schema.get("maxLength", 1000)
        pattern = DATE if "format" in schema else schema.get("pattern", "")
        return low <= len(value) <= high and bool(re.search(pattern, value))
    if kind in ("integer", "number"):
        above = value > schema.get("exclusiveMinimum", -1e99)
        return bool(above and schema.get("minimum", -1e99) <= value <= schema.get("maximum", 1e99))
    return True


@pytest.mark.parametrize("schema", [PERSON, TREE, MENU], ids=["person", "tree", "menu"])
def test_a_thousand_texts_are_valid_against_their_schema(
    model: thimble.Model, schema: dict[str, Any]
) -> None:
    for text in texts(model, constrain.json_schema(schema), EACH):
        assert valid(json.loads(text), schema, schema), text


def test_a_thousand_texts_match_their_regular_expression(model: thimble.Model) -> None:
    pattern = r"^(?:[A-Z]\w{0,5}|é+|[^\x00-\uFFFF]){1,3}(?:, \d{1,3}(?:\.\d+?)?)*!$"
    for text in texts(model, constrain.regex(pattern), EACH):
        assert re.fullmatch(pattern.replace(r"\uFFFF", "\uffff"), text), text


def test_a_thousand_texts_are_of_their_grammar(model: thimble.Model) -> None:
    def reads(text: str) -> bool:
        flat = re.sub(r"[0-9x\x80-\U0010ffff]", "1", text)
        while (less := re.sub(r"\((1(?:[+*]1)*)\)", "1", flat)) != flat:
            flat = less
        return bool(re.fullmatch(r"1(?:[+*]1)*(?:; 1(?:[+*]1)*){0,2}", flat))

    for text in texts(model, constrain.gbnf(GBNF), EACH):
        assert reads(text), text


def test_any_json_parses(model: thimble.Model) -> None:
    for text in texts(model, constrain.json_schema({"type": ["object", "array"]}), 200):
        json.loads(text)


def test_a_text_that_finds_no_end_says_so(model: thimble.Model) -> None:
    grammar = constrain.regex("[a-z]{300}")
    chunks = list(model.session().generate("", SamplingParams(grammar=grammar, max_tokens=5)))
    assert chunks[-1].finish_reason == "length"


def test_a_text_goes_on_behind_a_prompt_and_ends_by_itself(model: thimble.Model) -> None:
    grammar = constrain.regex("yes|no")
    session = model.session()
    chunks = list(session.generate("maria", SamplingParams(grammar=grammar)))
    assert "".join(chunk.text for chunk in chunks) in ("yes", "no")
    assert chunks[-1].finish_reason == "stop"


GRAMMARS = {
    "regex": constrain.regex("(?:ab|a[^a]?|é)*c{2,3}"),
    "gbnf": constrain.gbnf('root ::= "[" root? "]" root? | [a-c] [a-c] root | ""'),
    "schema": constrain.json_schema({"type": "array", "items": {"enum": ["ab", 1]}}),
    "copies": constrain.regex("(?:a|bé?){25,40}(?:[a-z]x?){2,30}(?:a?b?){20}"),
    "strings": constrain.json_schema(
        {"type": "array", "minItems": 25, "items": {"type": "string", "maxLength": 25}}
    ),
}


def automaton_of(grammar: constrain.Grammar) -> Automaton:
    program = grammar.program(64)
    assert isinstance(program, RuleProgram)
    return program.automaton


def accepts(model: thimble.Model, grammar: constrain.Grammar, text: str) -> bool:
    """Whether a text is one of a grammar's, byte by byte."""
    machine = Machine(model.kernel, grammar.program(64), 64)
    place = machine.step(machine.start(), text.encode(), bytearray())
    return place is not None and machine.accepts(place)


@pytest.mark.parametrize("name", GRAMMARS)
def test_masks_are_those_of_trial(model: thimble.Model, name: str) -> None:
    grammar, tokenizer = GRAMMARS[name], model.tokenizer
    machine = Machine(model.kernel, grammar.program(64), 64)
    constraint = Constraint(model.kernel, tokenizer, grammar, 0, False)

    def reads(data: bytes) -> bool:
        """Whether a text of the grammar begins with these bytes."""
        return machine.step(machine.start(), data, bytearray()) is not None

    n_words = (tokenizer.n_vocab + 31) // 32
    tokens: list[int] = []
    for turn in range(60):
        said = b"".join(tokenizer.token_bytes(token) for token in tokens)
        bits = array("I", model.kernel.read(constraint.mask(tokens), 4 * n_words))
        allowed = {t for t in range(tokenizer.n_vocab) if bits[t >> 5] >> (t & 31) & 1}
        spelled = [t for t in range(tokenizer.n_vocab) if not tokenizer.is_special(t)]
        wanted = {t for t in spelled if reads(said + tokenizer.token_bytes(t))}
        wanted -= {t for t in wanted if not tokenizer.token_bytes(t)} | set(tokenizer.eog_ids)
        ends = set(tokenizer.eog_ids) if constraint.accepts(tokens) else set()
        assert allowed == wanted | ends
        if not wanted or turn % 9 == 8:
            tokens = tokens[: len(tokens) // 2]  # back, as a debugger goes
        else:
            tokens.append(sorted(wanted)[(turn * 31) % len(wanted)])


@pytest.mark.parametrize(
    "pattern",
    [
        "(?: ?[a-z]){22,44}[,.]",
        "(?:(?: [a-z]{1,15}){2,30}\\.){14,16}",
        "(?:the |[a-z]{12,15} |a{0,30}b){30}(?:!!?){0,40}",
    ],
)
def test_long_tokens_see_the_end_of_what_is_repeated(
    long_tokens: thimble.Model, pattern: str
) -> None:
    kernel, tokenizer = long_tokens.kernel, long_tokens.tokenizer
    grammar = constrain.regex(pattern)
    automaton = automaton_of(grammar)
    constraint = Constraint(kernel, tokenizer, grammar, 0, False)
    spelled = [(t, tokenizer.token_bytes(t)) for t in range(tokenizer.n_vocab)]
    spelled = [(t, data) for t, data in spelled if data and not tokenizer.is_special(t)]
    tokens: list[int] = []
    state = turn = 0
    while state != NOWHERE:
        behind: dict[int, int] = {}
        for token, data in spelled:
            at = state
            for byte in data:
                at = automaton.step(at, byte) if at != NOWHERE else NOWHERE
            if at != NOWHERE:
                behind[token] = at
        n_words = (tokenizer.n_vocab + 31) // 32
        bits = array("I", kernel.read(constraint.mask(tokens), 4 * n_words))
        allowed = {token for token, _ in spelled if bits[token >> 5] >> (token & 31) & 1}
        assert allowed == set(behind)
        turn += 1
        tokens.append(sorted(behind)[turn * 31 % len(behind)] if behind else -1)
        state = behind.get(tokens[-1], NOWHERE)
    assert turn > 9


def test_places_that_no_token_tells_apart_share_their_masks(model: thimble.Model) -> None:
    grammar = constrain.regex("[a-z]{2000}")
    masks = Shelf.of(model.kernel, model.tokenizer).masks(grammar)
    session = model.session(n_ctx=128)
    list(session.generate("", SamplingParams(grammar=grammar, max_tokens=120)))
    assert masks.program.size > 100
    assert masks.n_masks == 2  # where it begins, and behind any of the letters
    session.close()


@settings(max_examples=60, deadline=None)
@given(st.text(alphabet="ab(|)*+?{1,2}[]^-.\\dw", max_size=12), st.text("ab1-", max_size=6))
def test_a_pattern_means_what_it_means_to_python(pattern: str, text: str) -> None:
    try:
        grammar = constrain.regex(pattern)
    except thimble.OptionError:
        return
    try:
        compiled = re.compile(pattern)
    except re.error:
        return  # JavaScript allows more: a lone bracket, say
    automaton = automaton_of(grammar)
    state = 0
    for byte in text.encode():
        state = automaton.step(state, byte) if state != NOWHERE else NOWHERE
    accepted = state != NOWHERE and automaton.accepting[state]
    assert accepted == bool(compiled.fullmatch(text)), (pattern, text)


@settings(max_examples=200, deadline=None)
@given(st.integers(-130, 1300), st.integers(-130, 1300), st.integers(-1400, 1400))
def test_bounds_of_integers(model: thimble.Model, low: int, high: int, value: int) -> None:
    schema = {"type": "integer", "minimum": low, "maximum": high}
    if low > high:
        with pytest.raises(thimble.OptionError, match="no value satisfies"):
            constrain.json_schema(schema)
        return
    grammar = constrain.json_schema(schema)
    assert accepts(model, grammar, str(value)) == (low <= value <= high)


@settings(max_examples=200, deadline=None)
@given(
    st.integers(-12, 12), st.integers(-12, 12), st.booleans(), st.booleans(),
    st.integers(-130, 130),
)  # fmt: skip
def test_bounds_of_numbers(
    model: thimble.Model, low: int, high: int, above: bool, below: bool, tenths: int
) -> None:
    bottom = {"exclusiveMinimum" if above else "minimum": low / 4}
    top = {"exclusiveMaximum" if below else "maximum": high / 4}
    value = tenths / 10
    inside = low / 4 < value if above else low / 4 <= value
    inside = inside and (value < high / 4 if below else value <= high / 4)
    if low > high or (low == high and (above or below)):
        with pytest.raises(thimble.OptionError, match="no value satisfies"):
            constrain.json_schema({"type": "number", **bottom, **top})
        return
    grammar = constrain.json_schema({"type": "number", **bottom, **top})
    assert accepts(model, grammar, f"{value:.1f}") == inside


@settings(max_examples=100, deadline=None)
@given(st.integers(0, 0x10FFFF), st.integers(0, 0x10FFFF), st.integers(0, 0x10FFFF))
def test_ranges_of_characters_as_bytes(low: int, high: int, point: int) -> None:
    low, high = min(low, high), max(low, high)
    if 0xD800 <= point <= 0xDFFF:
        return
    data = chr(point).encode()
    found = [
        sequence
        for sequence in utf8_ranges(low, high)
        if len(sequence) == len(data)
        and all(first <= byte <= last for byte, (first, last) in zip(data, sequence, strict=True))
    ]
    assert len(found) == (low <= point <= high)


BAD = [
    ("gbnf", 'root ::= root "a" | "b"', "left recursion"),
    ("gbnf", 'root ::= a*\na ::= "x"? b\nb ::= a "y"', "left recursion"),
    ("gbnf", 'root ::= "a" root', "can ever"),
    ("gbnf", 'root ::= "a', "line 1, column 10"),
    ("gbnf", "root ::= nobody", "no rule 'nobody'"),
    ("gbnf", 'a ::= "x"', "no rule 'root'"),
    ("gbnf", "root ::= [b-a]", "backwards"),
    ("gbnf", 'root ::= "a"{3,2}', "at least 3"),
    ("gbnf", 'root ::= "\\q"', "no escape"),
    ("gbnf", "#" * 1_000_001, "1,000,001 characters"),
    ("gbnf", "root ::= " + ' "c"{1999}' * 120, "places"),
    ("regex", "a(?=b)c", "can ever"),
    ("regex", r"(a)\1", "references"),
    ("regex", "(a", "never closed"),
    ("regex", "a)", "no partner"),
    ("regex", "a**", "nothing before it"),
    ("regex", "x^", "can ever"),
    ("regex", "[b-a]", "backwards"),
    ("regex", "a{2,1}", "at least 2"),
    ("regex", "(" * 99 + ")" * 99, "groups"),
    ("regex", "a{100000}b{99999}c{9}", "places"),
    ("json_schema", "{", "no JSON"),
    ("json_schema", "false", "no value satisfies"),
    ("json_schema", '{"type": "text"}', "text"),
    ("json_schema", '{"type": "number", "multipleOf": 0}', "above 0"),
    ("json_schema", '{"type": "array", "uniqueItems": 1}', "uniqueItems"),
    ("json_schema", '{"minimum": 5, "maximum": 4, "type": "integer"}',
     "'minimum', 'maximum' and 'type'"),
    ("json_schema", '{"type": "number", "minimum": "0"}', "#/minimum"),
    ("json_schema", '{"$ref": "#/$defs/a"}', "leads nowhere"),
    ("json_schema", '{"$ref": "#"}', "round to itself"),
    ("json_schema", '{"$ref": "http://x/y"}', "put that schema under $defs"),
    ("json_schema", '{"enum": []}', "no value satisfies"),
    ("json_schema", '{"type": "string", "pattern": "(a"}', "#/pattern"),
    ("json_schema", '{"oneOf": [{"minimum": 1}], "type": "boolean", "const": 1}',
     "'type' and 'const'"),
    ("json_schema", '{"required": ["a"], "properties": {"a": false}, "type": "object"}',
     "#/properties/a"),
    ("json_schema", '{"required": ["a"], "type": "object", "properties": {"a": {"enum": []}}}',
     "#/properties/a"),
    ("json_schema", '{"type": "object", "minProperties": 3, "propertyNames": {"enum": ["a"]}}',
     "'minProperties' and 'propertyNames'"),
    ("json_schema", "[" * 100_000, "within each other"),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "source", "words"), BAD, ids=lambda v: str(v)[:24])
def test_what_is_wrong_is_said(kind: str, source: str, words: str) -> None:
    with pytest.raises(thimble.OptionError) as caught:
        constrain.Grammar(kind, source)
    assert words in str(caught.value)
    assert len(str(caught.value)) < 300


def test_a_schema_in_a_schema_in_a_schema_is_refused() -> None:
    schema: dict[str, Any] = {"type": "null"}
    for _ in range(300):
        schema = {"anyOf": [schema]}
    with pytest.raises(thimble.OptionError, match="within each other"):
        constrain.json_schema(schema)


def test_too_many_readings_at_once_are_refused(model: thimble.Model) -> None:
    rules = "\n".join(f'r{i} ::= "z" | r{i + 1} "x"' for i in range(5_001))
    grammar = constrain.gbnf(f'root ::= r0\n{rules}\nr5001 ::= "y"')
    with pytest.raises(thimble.OptionError, match="ambiguous"):
        list(model.session().generate("", SamplingParams(grammar=grammar)))


def test_long_texts_begin_their_automaton_afresh(
    model: thimble.Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    most = 1_000
    monkeypatch.setattr(masks, "MOST_STATES", most)
    grammar = constrain.gbnf('root ::= "(" root ")" | [a-z]')
    shelf = Shelf.of(model.kernel, model.tokenizer)
    opening, closing = (model.tokenizer.encode(sign, add_special=False)[0] for sign in "()")
    constraint = Constraint(model.kernel, model.tokenizer, grammar, 0, False)
    tokens: list[int] = []
    for _ in range(2 * most):
        tokens.append(opening)
        constraint.mask(tokens)
    assert shelf.masks(grammar).program.size <= most + 8
    letter = model.tokenizer.encode("a", add_special=False)[0]
    assert not constraint.accepts([*tokens, letter])
    assert constraint.accepts([opening, letter, closing])  # and back to the beginning


@settings(max_examples=300, deadline=None)
@given(st.text(alphabet='root::= "a|b"()[^-]*+?{0,2}\n#\\x', max_size=60))
def test_hostile_grammars_are_refused_or_understood(source: str) -> None:
    for text in (source, "root ::= " + source):
        try:
            constrain.gbnf(text)
        except thimble.OptionError as error:
            assert str(error)


_WORDS = [
    "type", "items", "properties", "required", "enum", "$ref", "anyOf", "oneOf", "minimum",
    "maxItems", "pattern", "additionalProperties", "const", "maxLength", "format",
]  # fmt: skip
_VALUES = st.recursive(
    st.sampled_from(["object", "array", "string", "integer", "#", "a{3}", None, True, -1, 2, 0.5]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(_WORDS), inner, max_size=4)
    ),
    max_leaves=12,
)  # fmt: skip


@settings(max_examples=300, deadline=None)
@given(st.dictionaries(st.sampled_from(_WORDS), _VALUES, max_size=5))
def test_hostile_schemas_are_refused_or_understood(schema: dict[str, Any]) -> None:
    try:
        constrain.json_schema(schema)
    except thimble.OptionError as error:
        assert str(error)
