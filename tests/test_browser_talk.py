"""Conversations as the worker asks for them: prompts, what is reused, and what is refused."""

from __future__ import annotations

import io
import json
from typing import Any

import gguf
import pytest

from tests.tiny_models import SPECS, TinySpec, make
from thimble.browser import Engine
from thimble.browser.talk import RECOMMENDED, recommended
from thimble.chatting import common, plain

ASKED = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Who was sad?"}]
OPTIONS = json.dumps({"temperature": 0.8, "seed": 5, "max_tokens": 12, "conversation": {"keep": 0}})


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
    return written(engine, session)[0], begun["prompt"], begun["reused"]


def written(engine: Engine, session: int) -> tuple[str, str]:
    """What a generation writes, and why it ends."""
    text = ""
    while True:
        batch = ask(engine, "run", session, 50)
        text += batch["text"]
        if batch["finish_reason"]:
            return text, batch["finish_reason"]


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


@pytest.mark.parametrize("name", ["q8_0-tied", "spm"])
def test_every_token_is_told_by_its_own_bytes(name: str) -> None:
    engine, session = opened(SPECS[name])
    model = engine.opened(session).model
    options = {"logprobs": True, "max_tokens": 40, "stop": ["never said"], "top_logprobs": 2}
    begun = ask(engine, "start", session, "Mia", json.dumps(options))
    assert begun == {"prompt": len(model.tokenizer.encode("Mia")), "reused": 0}
    texts: dict[int, str] = {}
    parts: dict[int, list[int]] = {}
    while True:
        batch = ask(engine, "run", session, 50)
        texts |= {int(token): text for token, text in batch["texts"].items()}
        parts |= {int(token): part for token, part in batch["bytes"].items()}
        if batch["finish_reason"]:
            break
    assert set(engine.opened(session).session.tokens[begun["prompt"] :]) <= set(texts)
    for token, text in texts.items():
        own = model.tokenizer.token_bytes(token)
        assert bytes(parts.get(token, list(text.encode()))) == own
        assert text == own.decode("utf-8", "replace")


@pytest.mark.parametrize("name", ["q8_0-tied", "spm"], ids=["template", "plain"])
def test_what_is_appended_waits_and_a_prefix_is_gone_on_with(name: str) -> None:
    engine, session = opened(SPECS[name])
    options = {"temperature": 0.8, "seed": 5, "max_tokens": 9}
    done = {**options, "max_tokens": 0, "conversation": {"append": True}}
    begun = ask(engine, "talk.start", session, json.dumps(ASKED), json.dumps(done))
    assert ask(engine, "run", session, 50)["finish_reason"] == "length"
    assert len(engine.opened(session).session) == begun["prompt"]
    measured = [
        ask(engine, "talk.measure", session, json.dumps(ASKED), json.dumps(how))
        for how in ({"append": True}, {})
    ]
    assert measured[0] == begun["prompt"] < measured[1]
    _, total, reused = say(engine, session, ASKED)
    assert total == measured[1] and reused > begun["prompt"] - 5
    # The beginning of that answer, as a prefix, has the rest of it for an answer.
    started = [*ASKED, {"role": "assistant", "content": " Mia \n"}]
    go_on = {**options, "conversation": {"prefix": True}}
    begun = ask(engine, "talk.start", session, json.dumps(started), json.dumps(go_on))
    run = engine.opened(session).run
    assert run is not None
    ids = [*engine.opened(session).session.tokens, *run.prompt]
    assert engine.opened(session).model.tokenizer.decode(ids).endswith("Mia \n")
    assert len(ids) == begun["prompt"]
    refused = json.loads(
        engine.call("talk.start", session, json.dumps(started * 40), json.dumps(go_on))
    )["error"]
    assert refused[0] == "ContextError"  # nothing is left out unless that is asked for


def test_a_plain_transcript() -> None:
    said = {"role": "assistant", "content": " Mia. "}
    turns = [*ASKED, said, {"role": "user", "content": "Why?"}]
    written = "User: Who was sad?\nAssistant: Mia.\nUser: Why?\nAssistant:"
    assert plain(turns) == f"Be brief.\n\n{written}"
    assert common((), [1]) == 0
    assert common((1, 2, 3), [1, 2]) == 2
    assert common((1, 2), [1, 3, 4]) == 1


@pytest.mark.parametrize("name", ["q8_0-tied", "spm"], ids=["template", "plain"])
def test_a_long_conversation_goes_on_without_its_oldest_turns(name: str) -> None:
    """As if only the rest had been said; and not all of it is computed anew at every turn."""
    engine, session = opened(SPECS[name])
    n_ctx = ask(engine, "talk.about", session)["context"]
    said, lost, shifts, reread = [ASKED[0]], 0, 0, 0
    for turn in range(12):
        said.append({"role": "user", "content": f"a b c {turn} " * 3})
        begun = ask(engine, "talk.start", session, json.dumps(said), OPTIONS)
        ask(engine, "stop", session)
        left_out = begun["left_out"]
        assert begun["prompt"] + 12 <= n_ctx
        text, total, _ = say(engine, session, said)
        if left_out:
            shifts += 1
            assert said[1 + left_out]["role"] == "user"
            assert begun["prompt"] + 12 <= n_ctx * 3 // 4
            del said[1 : 1 + left_out]
            lost += left_out
            fresh = ask(engine, "open", "tiny", "{}")
            assert say(engine, fresh, said)[:2] == (text, total)
            ask(engine, "destroy", fresh)
        elif turn:
            reread += begun["prompt"] - begun["reused"] > begun["prompt"] // 2
        said.append({"role": "assistant", "content": text})
    assert lost > 4 and 1 <= shifts <= 5
    assert reread <= 2


def test_the_last_turn_is_kept_even_where_it_leaves_little_room() -> None:
    engine, session = opened(SPECS["q8_0-tied"])
    said = [*ASKED, {"role": "assistant", "content": "The duck."}]
    said.append({"role": "user", "content": "a b c d e f " * 26})
    begun = ask(engine, "talk.start", session, json.dumps(said), OPTIONS)
    assert begun["left_out"] == 2
    assert 256 * 3 // 4 < begun["prompt"] < 256


@pytest.mark.parametrize("name", ["q8_0-tied", "spm"], ids=["template", "plain"])
@pytest.mark.parametrize("grammar", [None, "[a-zé ]{30,}\\."], ids=["free", "constrained"])
def test_an_answer_that_was_cut_off_goes_on_as_if_it_had_not_been(
    name: str, grammar: str | None
) -> None:
    """The same tokens wherever it is cut, in a character and in a stop string too."""
    engine, session = opened(SPECS[name])
    options: dict[str, Any] = {
        "temperature": 0.9,
        "seed": 5,
        "repetition_penalty": 1.1,
        "stop": ["qqq", "é"],
    }
    if grammar:
        options["grammar"] = {"kind": "regex", "source": grammar}

    def start(length: int, **how: bool) -> Any:
        given = json.dumps({**options, "max_tokens": length, "conversation": {"keep": 0, **how}})
        return ask(engine, "talk.start", session, json.dumps(ASKED), given)

    start(40)
    at_once = written(engine, session)
    tokens = engine.opened(session).session.tokens
    cuts = 0
    for length in (1, 2, 3, 5, 8, 13, 21, 34):
        start(length)
        text, reason = written(engine, session)
        if reason == "stop":
            break
        resumed = start(40 - length, resume=True)["resumed"]
        assert text.startswith(resumed["text"])
        rest, reason = written(engine, session)
        assert (resumed["text"] + rest, reason) == at_once
        assert engine.opened(session).session.tokens == tokens
        cuts += 1
    assert cuts > 2
    fresh = ask(engine, "open", "tiny", "{}")
    refused = json.loads(
        engine.call("talk.start", fresh, json.dumps(ASKED), '{"conversation": {"resume": true}}')
    )["error"]
    assert refused == ["OptionError", "the session has no answer that could go on"]


def test_what_a_file_recommends_is_told_by_our_names() -> None:
    keys = gguf.Keys.General
    said = {
        keys.SAMPLING_TEMP: 0.6000000238418579,
        keys.SAMPLING_TOP_K: 40,
        keys.SAMPLING_TOP_P: 7.0,  # no share
        keys.SAMPLING_PENALTY_LAST_N: "all",
        keys.SAMPLING_PENALTY_REPEAT: 1.25,
        keys.SAMPLING_SEQUENCE: "k;p",
    }
    found = recommended(said)
    assert found == {"temperature": 0.6, "top_k": 40, "repetition_penalty": 1.25}
    known = {value for name, value in vars(keys).items() if name.startswith("SAMPLING_")}
    assert {f"general.sampling.{key}" for key in RECOMMENDED} == known - {keys.SAMPLING_SEQUENCE}


def kept(engine: Engine, session: int) -> bytes:
    """What the worker would write down of a session."""
    parts: list[bytes] = []
    size = ask(engine, "talk.cache_size", session)
    ask(engine, "talk.save_cache", session, parts.append)
    assert len(b"".join(parts)) == size
    return b"".join(parts)


def restored(engine: Engine, session: int, data: bytes) -> dict[str, Any]:
    file = io.BytesIO(data)
    return dict(json.loads(engine.call("talk.load_cache", session, file.read)))


def test_what_was_read_is_taken_up_by_another_engine_with_the_same_bits() -> None:
    engine, session = opened(SPECS["q8_0-tied"])
    first, asked, _ = say(engine, session, ASKED)
    data = kept(engine, session)
    more = [*ASKED, {"role": "assistant", "content": first}, {"role": "user", "content": "Why?"}]
    second, total, reused = say(engine, session, more)
    other, fresh = opened(SPECS["q8_0-tied"])
    assert restored(other, fresh, data) == {"value": asked + 12}
    assert say(other, fresh, more) == (second, total, reused)
    assert reused > asked - 5


def test_what_is_of_another_model_or_precision_is_refused_and_the_session_stays() -> None:
    engine, session = opened(SPECS["q8_0-tied"])
    first = say(engine, session, ASKED)
    other, fresh = opened(SPECS["spm"])
    data = kept(other, fresh)
    exact = ask(engine, "open", "tiny", '{"kv_type": "f16"}')
    for bad, kind, words in (
        (data, "OptionError", "mean nothing to other weights"),
        (kept(engine, exact), "OptionError", "keys and values as f16"),
        (kept(engine, session)[:-40], "FormatError", "it ends in state"),
        (b"", "FormatError", "'what is kept here' is no session that can be read"),
    ):
        found = restored(engine, session, bad)["error"]
        assert found[0] == kind and words in found[1]
    assert say(engine, session, ASKED) == (first[0], first[1], first[1] - 1)
