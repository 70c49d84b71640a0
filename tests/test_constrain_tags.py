"""Structural tags: free text, and JSON of a schema from a trigger on."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import thimble
from tests.test_constrain_tokens import END, LETTERS, accepts
from thimble import constrain
from thimble.constrain.masks import Constraint, Shelf
from thimble.kernel import default_kernel
from thimble.sampling import SamplingParams

NAMES = Path(__file__).resolve().parent.parent / "web" / "models" / "names.gguf"
OBJECT: dict[str, Any] = {
    "type": "object",
    "properties": {"x": {"type": "integer"}},
    "required": ["x"],
}
TOOLS = [
    {"begin": "<f=a>", "schema": OBJECT, "end": "</f>"},
    {"begin": "<f=b>", "schema": {"type": "array", "items": {"type": "boolean"}}, "end": "</f>"},
    {"begin": "<think>", "schema": {"type": "number"}, "end": "</think>"},
]
TAGS = constrain.structural_tag(TOOLS, ["<f=", "<think>"])


@pytest.fixture(scope="module")
def model() -> Iterator[thimble.Model]:
    loaded = thimble.load(NAMES)
    yield loaded
    loaded.close()


@pytest.mark.parametrize(
    "parts",
    [
        ("",),
        ("a <b> c <f",),
        ('hello <f=a>{"x":1}</f> more <f=b>[true]</f>',),
        ("<<f=b>[]</f><f=b>[]</f>",),
        ("a<think>-1.5</think>b",),
        (300, "12", 301, "x"),  # the tokens <think> and </think>
        (300, "12", "</think>", "<f=b>[]</f>"),
    ],
)
def test_texts_with_tags(parts: tuple[str | int, ...]) -> None:
    assert accepts(TAGS, *parts)


@pytest.mark.parametrize(
    "parts",
    [
        ("<f=",),
        ("<f=c",),
        ('<f=a>{"x":',),
        ('<f=a>{"x":1}',),
        ('<f=a>{"y":1}</f>',),
        ("<f=b>{}</f>",),
        (301,),  # no special token is free text
        (300, "x"),
        ("<f=b>[]", END),
    ],
)
def test_texts_without_their_tags(parts: tuple[str | int, ...]) -> None:
    assert not accepts(TAGS, *parts)


def test_a_text_may_end_where_it_is_free_only() -> None:
    text = '<f=a>{"x":1}</f> .'
    tokens = [40 + ord(letter) for letter in text]
    constraint = Constraint(default_kernel(), LETTERS, TAGS, 0, False)
    ends = [constraint.allows(tokens[:at], END) for at in range(len(tokens) + 1)]
    free = [at < 3 or at >= text.index("</f>") + 4 for at in range(len(text) + 1)]
    assert ends == free


def test_where_several_triggers_end_any_of_their_structures_may_follow() -> None:
    one = {"begin": "<a:", "schema": {"const": 1}, "end": ";"}
    other = {"begin": "x<a:", "schema": {"const": 2}, "end": ";"}
    longer = {"begin": "<a:b:", "schema": {"const": 3}, "end": ";"}
    tags = constrain.structural_tag([one, other, longer], ["<a:", "x<a:"])
    assert accepts(tags, "x<a:1;x<a:2;<a:b:3;")
    assert not accepts(tags, "y<a:2;")
    overlapping = constrain.structural_tag([{"begin": "aab", "schema": {}, "end": ""}], ["aa"])
    assert accepts(overlapping, "aab1")
    assert not accepts(overlapping, "aaab1")  # the first two letters are the trigger


@pytest.mark.parametrize(
    ("options", "yes", "no"),
    [
        ({"at_least_one": True}, ["a<f=b>[]</f>", "<f=b>[]</f>a<f=b>[]</f>"], ["", "a"]),
        ({"stop_after_first": True}, ["", "a<f=b>[]</f>"], ["<f=b>[]</f>a"]),
        (
            {"at_least_one": True, "stop_after_first": True},
            ["a<f=b>[]</f>"],
            ["", "a", "<f=b>[]</f>a"],
        ),
    ],
)
def test_how_many_tags_there_are(options: dict[str, bool], yes: list[str], no: list[str]) -> None:
    tags = constrain.structural_tag(TOOLS, ["<f=", "<think>"], **options)
    assert [text for text in yes if not accepts(tags, text)] == []
    assert [text for text in no if accepts(tags, text)] == []


def test_the_form_of_openai_and_xgrammar_is_read() -> None:
    given = {"type": "structural_tag", "structures": TOOLS, "triggers": ["<f=", "<think>"]}
    for source in (given, json.dumps(given)):
        assert accepts(constrain.structural_tag(source), "a<f=b>[false]</f>")


def test_schemas_that_begin_at_one_place_are_told_apart_by_what_comes() -> None:
    schemas: list[dict[str, Any]] = [
        {"type": "object", "properties": {"name": {"const": name}, "of": {"type": kind}},
         "required": ["name", "of"]}
        for name, kind in (("add", "integer"), ("say", "string"))
    ]  # fmt: skip
    tools = [{"begin": "<call>", "schema": one, "end": "</call>"} for one in schemas]
    tags = constrain.structural_tag(tools, ["<call>"])
    assert accepts(tags, '<call>{"name":"add","of":1}</call><call>{"name":"say","of":"a"}</call>')
    assert not accepts(tags, '<call>{"name":"say","of":1}</call>')
    schemas[0]["$defs"] = {"n": {"type": "integer"}}
    schemas[0]["properties"]["of"] = {"$ref": "#/$defs/n"}
    assert accepts(
        constrain.structural_tag(tools, ["<call>"]), '<call>{"name":"add","of":1}</call>'
    )
    tools[0]["end"] = "."
    tags = constrain.structural_tag(tools, ["<call>"])
    assert accepts(tags, '<call>{"name":"add","of":1}.<call>{"name":"say","of":"a"}</call>')
    assert not accepts(tags, '<call>{"name":"add","of":1}</call>')


def test_many_texts_of_a_model_have_their_tags(model: thimble.Model) -> None:
    tools = [
        {"begin": "ma", "schema": {"type": "array", "items": {"enum": ["x", 1]}}, "end": "."},
        {"begin": "e", "schema": OBJECT, "end": "e"},
    ]
    tags = constrain.structural_tag(tools, ["ma", "e"])
    session = model.session()
    called = 0
    for seed in range(200):
        session.rollback(0)
        params = SamplingParams(grammar=tags, temperature=1.5, seed=seed, max_tokens=120)
        chunks = list(session.generate("", params))
        text = "".join(chunk.text for chunk in chunks)
        if chunks[-1].finish_reason != "stop":
            continue
        while found := re.search("ma|e", text):
            called += 1
            value, end = json.JSONDecoder().raw_decode(text, found.end())
            if found[0] == "ma":
                assert all(one in ("x", 1) for one in value)
            else:
                assert isinstance(value["x"], int)
            assert text[end] == ("." if found[0] == "ma" else "e")
            text = text[end + 1 :]
    assert called > 50
    session.close()


def test_free_text_needs_a_mask_for_each_beginning_of_a_trigger(model: thimble.Model) -> None:
    tags = constrain.structural_tag([{"begin": "zqj", "schema": {}, "end": ""}], ["zqj"])
    masks = Shelf.of(model.kernel, model.tokenizer).masks(tags)
    constraint = Constraint(model.kernel, model.tokenizer, tags, 0, False)
    tokens: list[int] = []
    for letter in "maria zq zz ann" * 20:
        tokens += model.tokenizer.encode(letter, add_special=False)
        constraint.mask(tokens)
    assert masks.n_masks <= 3


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("[]", "must be an object with triggers and structures"),
        ("{", "the structural tags are no JSON"),
        ("[" * 100_000, "the structural tags are no JSON"),
        ('{"triggers": [], "structures": []}', "triggers is []; it must be a list of texts"),
        ('{"triggers": ["a"], "structures": []}', "structures is []"),
        ('{"triggers": ["a"], "structures": [{"begin": "b"}]}', "structures/0/begin is 'b'"),
        ('{"triggers": ["a"], "structures": [{"begin": "a", "end": 1}]}', "structures/0/end is 1"),
        ('{"triggers": ["a", "b"], "structures": [{"begin": "a"}]}', "with the trigger 'b'"),
        ('{"triggers": ["a"], "structures": [{"begin": "a", "schema": 3}]}', "schema is 3"),
        ('{"triggers": ["a"], "structures": [{"begin": "a", "shape": 3}]}', "has 'shape'"),
        ('{"triggers": ["a"], "structures": [{"begin": "a"}], "at_least_one": 1}', "true or false"),
        ('{"trigger": ["a"]}', "have 'trigger', which is none of"),
        (
            '{"triggers": ["a"], "structures": [{"begin": "a", "schema": {"type": "text"}}]}',
            "#/type",
        ),
    ],
)
def test_what_is_wrong_is_said(source: str, words: str) -> None:
    with pytest.raises(thimble.OptionError) as caught:
        constrain.structural_tag(source)
    assert words in str(caught.value)
