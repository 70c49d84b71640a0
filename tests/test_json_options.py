"""The table of how JSON is written, and what is made of it."""

from __future__ import annotations

from argparse import ArgumentParser

import pytest

import thimble
from tests.conftest import ROOT
from tests.test_constrain_schema import writes
from thimble import constrain
from thimble.browser.options import sampling
from thimble.cli import sampling_flags
from thimble.debug.recording import RecordedStep, Recording
from thimble.json_options import JSON_OPTIONS, JsonOptions

SCHEMA = {"properties": {"a": {"type": "integer"}, "b": {"format": "date"}}}
ONLY_OTHER: dict[str, str] = {
    "property_order": '{"b":"2024-02-29","a":1}',
    "extra_members": '{"a":1,"c":2}',
    "whitespace": '{ "a" : 1 }',
    "escapes": '{"b":"2024\\u002d02-29"}',
    "numbers": '{"a":1.0}',
    "formats": '{"b":"yesterday"}',
}
"""Texts that come only where an option is not as usual."""


@pytest.fixture(params=JSON_OPTIONS)
def name(request: pytest.FixtureRequest) -> str:
    found: str = request.param
    return found


def test_each_option_lets_texts_come_that_are_not_usual(name: str) -> None:
    changed = JsonOptions(**{name: JSON_OPTIONS[name].other})
    assert writes(constrain.json_schema(SCHEMA, changed), ONLY_OTHER[name])
    assert not writes(constrain.json_schema(SCHEMA), ONLY_OTHER[name])


def test_the_command_line_has_a_flag_for_it(name: str) -> None:
    parser, choice = ArgumentParser(), JSON_OPTIONS[name]
    sampling_flags.add_json_arguments(parser)
    found = parser.parse_args([sampling_flags.json_flag(name), choice.other])
    assert sampling_flags.json_options(found) == JsonOptions(**{name: choice.other})
    assert sampling_flags.json_options(parser.parse_args([])) == JsonOptions()


def test_the_page_and_recordings_carry_it(name: str) -> None:
    options = {name: JSON_OPTIONS[name].other}
    said = {"kind": "json_schema", "source": "{}", "options": options}
    params, _ = sampling({"grammar": said})
    grammar = constrain.json_schema("{}", JsonOptions(**options))
    assert params.grammar == grammar and grammar.described() == said
    recording = Recording("m", None, (1,), (RecordedStep(5, -1.0, params, constraint_start=1),))
    assert Recording.from_json(recording.to_json()) == recording


def test_the_form_and_the_document_have_it(name: str) -> None:
    choice = JSON_OPTIONS[name]
    document = (ROOT / "docs" / "structured-output.md").read_text(encoding="utf-8")
    assert f'`{name}` | `"{choice.usual}"`' in document and f'`"{choice.other}"`' in document
    template = (ROOT / "web" / "templates" / "panels" / "write.html").read_text(encoding="utf-8")
    assert "in json_options.items()" in template


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"whitespace": "lots"}, "whitespace is 'lots'; it must be compact or free"),
        ({"whitespace": ["free"]}, "whitespace is"),
        ({"space": "free"}, "'space' is none of property_order,"),
        ("free", "an object, not 'free'"),
    ],
)
def test_what_is_no_option_is_refused_by_name(options: object, words: str) -> None:
    with pytest.raises(thimble.OptionError, match=words):
        sampling({"grammar": {"kind": "json_schema", "source": "{}", "options": options}})


def test_other_notations_have_none() -> None:
    said = {"kind": "regex", "source": "a", "options": {"whitespace": "free"}}
    with pytest.raises(thimble.OptionError, match="whitespace: only a JSON Schema has"):
        sampling({"grammar": said})
