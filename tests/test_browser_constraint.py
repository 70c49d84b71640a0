"""Constrained texts that the page writes, called natively."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.test_browser import ask, engine, fails, load, write
from thimble import OptionError
from thimble.browser import Engine
from thimble.constrain import Grammar

__all__ = ["engine"]

LETTERS = {"kind": "regex", "source": "[a-z]{3} [0-9]{30}"}


@pytest.mark.parametrize(
    ("kind", "source", "at", "words"),
    [
        ("regex", "ab(c", 2, "never closed"),
        ("regex", "é{2,1}", 1, "at least 2"),
        ("gbnf", 'root ::= "a"\nb ::= )', 19, "line 2, column 7"),
        ("json_schema", '{"type": }', 9, "no JSON"),
        ("json_schema", '{"type": "text"}', None, "'#/type'"),
        ("json_schema", '{"type": "string", "pattern": "a)"}', None, "no partner"),
    ],
)
def test_a_constraint_that_is_wrong_says_where(
    kind: str, source: str, at: int | None, words: str
) -> None:
    with pytest.raises(OptionError) as wrong:
        Grammar(kind, source)
    assert wrong.value.at == at
    assert words.strip("'") in str(wrong.value)


def text_of(batches: list[dict[str, Any]]) -> str:
    return "".join(batch["text"] for batch in batches)


def test_a_text_that_was_cut_off_goes_on_in_its_constraint(engine: Engine) -> None:
    session = ask(engine, "open", "tiny", "{}")
    whole = text_of(write(engine, session, "Once", grammar=LETTERS, max_tokens=60))
    assert len(whole) == 34

    half = text_of(write(engine, session, "Once", grammar=LETTERS, max_tokens=9))
    assert len(half) < 34
    more = write(engine, session, "", grammar=LETTERS, max_tokens=60, **{"continue": True})
    assert half + text_of(more) == whole
    assert more[-1]["finish_reason"] == "stop"


def test_a_text_that_is_whole_or_was_changed_is_not_gone_on_with(engine: Engine) -> None:
    session = ask(engine, "open", "tiny", "{}")
    write(engine, session, "Once", grammar=LETTERS, max_tokens=60)
    again = write(engine, session, "", grammar=LETTERS, max_tokens=60, **{"continue": True})
    assert len(text_of(again)) == 34

    write(engine, session, "Once", grammar=LETTERS, max_tokens=9)
    write(engine, session, "Something else", max_tokens=30)
    fresh = write(engine, session, "", grammar=LETTERS, max_tokens=60, **{"continue": True})
    assert len(text_of(fresh)) == 34


def test_more_to_read_begins_the_constraint_afresh(engine: Engine) -> None:
    session = ask(engine, "open", "tiny", "{}")
    write(engine, session, "Once", grammar=LETTERS, max_tokens=9)
    more = write(engine, session, " upon", grammar=LETTERS, max_tokens=60, **{"continue": True})
    assert len(text_of(more)) == 34


def test_work_at_a_constraint_is_stopped_from_outside() -> None:
    """As the page does it: by a memory that the worker looks at while it hears no message."""
    schema = {"type": "string", "allOf": [{"pattern": f"(.*[a-z].{{{i}}})"} for i in (3, 4)]}
    grammar = {"kind": "json_schema", "source": json.dumps(schema)}
    looks: list[int] = []
    patience = 0

    def stopped(session: int) -> bool:
        looks.append(session)
        return len(looks) > patience

    engine = Engine(stopped=stopped)
    load(engine)
    session = ask(engine, "open", "tiny", "{}")
    words = json.dumps({"grammar": grammar, "max_tokens": 6})
    answer = json.loads(engine.call("start", session, "Once", words))
    while "error" not in answer:
        answer = json.loads(engine.call("run", session, 0))
    assert answer["error"][0] == "StoppedError"
    assert set(looks) == {session}
    assert ask(engine, "stop", session) >= 0
    patience = 10**9
    again = text_of(write(engine, session, "Once", grammar=grammar, max_tokens=6))
    other = Engine()
    load(other)
    afresh = write(other, ask(other, "open", "tiny", "{}"), "Once", grammar=grammar, max_tokens=6)
    assert again == text_of(afresh), "the grammar is as good as before"


def test_a_wrong_constraint_is_refused_before_anything_is_read(engine: Engine) -> None:
    session = ask(engine, "open", "tiny", "{}")
    options = json.dumps({"grammar": {"kind": "regex", "source": "(a"}})
    kind, message = fails(engine, "start", session, "Once", options)
    assert kind == "OptionError"
    assert "character 1" in message
