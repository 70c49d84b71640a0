"""Conversations as the worker asks for them: prompts, what is reused, and what is refused."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.tiny_models import SPECS, TinySpec, make
from thimble.browser import Engine
from thimble.browser.talk import common, plain

ASKED = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Who was sad?"}]
OPTIONS = json.dumps({"temperature": 0.8, "seed": 5, "max_tokens": 12})


def opened(spec: TinySpec) -> tuple[Engine, int]:
    engine = Engine()
    load = ask(engine, "begin_load", "tiny", None, None)
    ask(engine, "feed", load, make(spec))
    ask(engine, "finish", load)
    return engine, ask(engine, "open", "tiny", "{}")


def ask(engine: Engine, method: str, *arguments: Any) -> Any:
    answer = json.loads(engine.call(method, *arguments))
    assert "error" not in answer, answer
    return answer["value"]


def say(engine: Engine, session: int, messages: list[dict[str, str]]) -> tuple[str, int, int]:
    """The answer, the prompt's tokens, and those that were reused."""
    begun = ask(engine, "talk.start", session, json.dumps(messages), OPTIONS)
    text = ""
    while True:
        batch = ask(engine, "run", session, 50)
        text += batch["text"]
        if batch["finish_reason"]:
            return text, begun["prompt"], begun["reused"]


@pytest.mark.parametrize("name", ["q8_0-tied", "spm"], ids=["template", "plain"])
def test_a_second_turn_reads_its_own_tokens_only_and_writes_the_same(name: str) -> None:
    engine, session = opened(SPECS[name])
    assert ask(engine, "talk.about", session)["template"] is (name == "q8_0-tied")
    first, asked, reused = say(engine, session, ASKED)
    assert reused == 0
    more = [*ASKED, {"role": "assistant", "content": first}, {"role": "user", "content": "Why?"}]
    second, total, reused = say(engine, session, more)
    assert asked - 5 <= reused < total
    fresh = ask(engine, "open", "tiny", "{}")
    assert say(engine, fresh, more) == (second, total, 0)
    # Once more, and edited: what the two have in common is kept.
    assert say(engine, session, more) == (second, total, total - 1)
    edited = [ASKED[0], {"role": "user", "content": "Who was happy?"}]
    _, _, reused = say(engine, session, edited)
    assert 0 < reused < asked


def test_what_does_not_fit_is_said_and_changes_nothing() -> None:
    engine, session = opened(SPECS["q8_0-tied"])
    _, total, _ = say(engine, session, ASKED)
    long = [{"role": "user", "content": "a b c " * 200}]
    kind, words = json.loads(engine.call("talk.start", session, json.dumps(long), OPTIONS))["error"]
    assert kind == "ContextError"
    assert "holds 256" in words
    assert say(engine, session, ASKED)[2] == total - 1
    refused = json.loads(engine.call("talk.start", session, "[]", OPTIONS))["error"]
    assert refused[0] == "OptionError"


def test_a_plain_transcript() -> None:
    said = {"role": "assistant", "content": " Mia. "}
    turns = [*ASKED, said, {"role": "user", "content": "Why?"}]
    written = "User: Who was sad?\nAssistant: Mia.\nUser: Why?\nAssistant:"
    assert plain(turns) == f"Be brief.\n\n{written}"
    assert common((), [1]) == 0
    assert common((1, 2, 3), [1, 2]) == 2
    assert common((1, 2), [1, 3, 4]) == 1
