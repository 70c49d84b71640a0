"""Reading JSON by strangers: depth is known before anything is parsed."""

from __future__ import annotations

import json
import random
import time
from typing import Any

import pytest

from tests import in_pyodide
from thimble.errors import FormatError, OptionError
from thimble.json_text import MAX_DEPTH, check_depth, parse_json


def nested(depth: int, inner: str = "1") -> str:
    """So many lists and objects within each other."""
    pairs = [("[", "]"), ('{"[{\\"": ', "}")]
    before = "".join(pairs[i % 2][0] for i in range(depth))
    return before + inner + "".join(pairs[i % 2][1] for i in reversed(range(depth)))


def depth_of(value: object) -> int:
    """Lists, tuples and dicts within each other in a value, however deep."""
    deepest, level = 0, [value]
    while level := [
        inner
        for one in level
        if isinstance(one, (list, tuple, dict))
        for inner in (*(one.values() if isinstance(one, dict) else one), None)
    ]:
        deepest += 1
    return deepest


@pytest.mark.parametrize("depth", [0, 1, MAX_DEPTH - 1, MAX_DEPTH])
def test_what_is_not_too_deep_is_read_as_json_reads_it(depth: int) -> None:
    for text in (
        nested(depth),
        f"[{nested(depth - 1)}, {nested(max(0, depth - 2))}]" * (depth > 1),
    ):
        if text:
            assert parse_json(text) == parse_json(text.encode()) == json.loads(text)
            assert depth_of(json.loads(text)) == depth


@pytest.mark.parametrize("depth", [MAX_DEPTH + 1, 5000])
def test_what_is_too_deep_is_refused_before_it_is_parsed(
    depth: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(json, "loads", lambda *_, **__: pytest.fail("it was parsed"))
    for text in (nested(depth), "[" * depth, '{"a":' * depth, "[" * depth + "}" * depth):
        with pytest.raises(
            OptionError, match="the file has more than 100 lists and objects within"
        ):
            parse_json(text, "the file", OptionError)


def test_brackets_in_texts_are_none() -> None:
    for text in (
        '"' + "[" * 999 + '"',
        '["' + '{\\"' * 999 + '"]',
        '{"' + "[" * 99 + '": "]\\\\"}',
    ):
        assert parse_json(text) == json.loads(text)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "the file is no JSON: Expecting value"),
        ("[1, NaN]", "NaN is no number of JSON"),
        ("[-Infinity]", "-Infinity is no number"),
        ("[" * 9, "Expecting value"),
        ("]" * 999, "Expecting value"),
        ("1" * 5000, "the file is no JSON: Exceeds the limit"),
        (b"\xff\xfe\x00", "the file is no JSON"),
        (b'"\xff"', "the file is no JSON"),
    ],
)
def test_what_is_no_json_is_refused(text: Any, words: str) -> None:
    with pytest.raises(FormatError, match=words):
        parse_json(text, "the file")


def test_random_brackets_are_counted_as_a_stack_counts_them() -> None:
    dice = random.Random(5)
    for _ in range(300):
        text = json.dumps(tree(dice, 12))
        deepest = depth_of(json.loads(text))
        check_depth(text, "it", depth=max(1, deepest))
        if deepest > 1:
            with pytest.raises(FormatError):
                check_depth(text, "it", depth=deepest - 1)


def tree(dice: random.Random, depth: int) -> Any:
    if depth == 0 or dice.random() < 0.2:
        return dice.choice(["[", "}{", '"\\', 1, None])
    inner = [tree(dice, depth - 1) for _ in range(dice.randrange(3))]
    return inner if dice.random() < 0.5 else {f"{i}]": one for i, one in enumerate(inner)}


@pytest.mark.parametrize(
    "text", ['\\"' * 2_000_000, '"\\' * 2_000_000, '"' * 4_000_001, '["' * 9**7]
)
def test_counting_is_no_work_without_an_end(text: str) -> None:
    began = time.monotonic()
    with pytest.raises(FormatError):
        parse_json('"' + text)
    assert time.monotonic() - began < 30


def test_in_the_page_s_python_deep_json_ends_nothing() -> None:
    code = """
import json
from thimble import constrain
from thimble.browser.options import asked
from thimble.browser.train import read_recipe
from thimble.debug import Recording
from thimble.errors import ThimbleError
from thimble.json_text import parse_json
from thimble.train.recipe import read_choices
def attempt(read, text):
    try:
        read(text)
    except ThimbleError as error:
        return "within each other" in str(error) or "is the most" in str(error)
    return False
def recipe(text):
    open("/recipe.json", "w").write(text)
    read_choices("/recipe.json")
n = 200_000
texts = ["[" * n, "[" * n + "]" * n, '{"a":' * n, '{"not":' * n + "{" + "}" * (n + 1)]
readers = [parse_json, Recording.from_json, recipe, read_recipe, asked, constrain.json_schema]
found = [attempt(read, text) for read in readers for text in texts]
for word in ("not", "items", "additionalProperties", "then", "contains"):
    for depth in (40, 99):
        try:  # it may be too much, and may not end Python
            constrain.json_schema(f'{{"{word}":' * depth + "{}" + "}" * depth)
        except ThimbleError:
            pass
json.dumps(found)
"""
    assert in_pyodide.run(code) == [True] * 24
