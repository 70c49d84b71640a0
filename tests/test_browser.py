"""What the page's worker calls, called natively: no browser, the same engine."""

from __future__ import annotations

import base64
import hashlib
import json
import struct
from array import array
from typing import Any

import pytest

import thimble
from tests.tiny_models import SPECS, make
from thimble.browser import Engine

DATA = make(SPECS["q8_0"])


class Uint8Array:
    """What Pyodide hands over for one."""

    def __init__(self, data: bytes) -> None:
        self.data = data

    def to_bytes(self) -> bytes:
        return self.data


def answer(engine: Engine, method: str, *arguments: object) -> Any:
    """What a call answers, with the bytes that it sent in their places, as the worker has it."""

    def revived(found: dict[str, Any]) -> Any:
        return engine.sent[found["$bytes"]] if "$bytes" in found else found

    return json.loads(engine.call(method, *arguments), object_hook=revived)


def ask(engine: Engine, method: str, *arguments: object) -> Any:
    return answer(engine, method, *arguments)["value"]


def fails(engine: Engine, method: str, *arguments: object) -> tuple[str, str]:
    kind, message = json.loads(engine.call(method, *arguments))["error"]
    return kind, message


def load(engine: Engine, data: bytes = DATA, sha256: str | None = None) -> dict[str, Any]:
    number = ask(engine, "begin_load", "tiny", len(data), sha256)
    for at in range(0, len(data), 1000):
        ask(engine, "feed", number, Uint8Array(data[at : at + 1000]))
    described: dict[str, Any] = ask(engine, "finish", number)
    return described


@pytest.fixture
def engine() -> Engine:
    made = Engine()
    load(made)
    return made


def write(
    engine: Engine, session: int, prompt: str, milliseconds: float = 5, **options: Any
) -> Any:
    """Run a generation to its end; all batches."""
    ask(engine, "start", session, prompt, json.dumps(options))
    batches = [ask(engine, "run", session, milliseconds)]
    while batches[-1]["finish_reason"] is None:
        batches.append(ask(engine, "run", session, milliseconds))
    return batches


def rows_of(batches: Any) -> list[list[Any]]:
    """Every token as [text, id, logprob, entropy, [[id, text, logprob], ...]]: unpacked, as the
    page does it."""
    texts: dict[str, str] = {}
    rows = []
    for batch in batches:
        texts |= batch["texts"]
        data = base64.b64decode(batch["numbers"])
        for text in batch["tokens"]:
            count, token, _, logprob, entropy = struct.unpack_from("<iiiff", data)
            ids, end = array("i", data[20 : 20 + 4 * count]), 20 + 8 * count
            best = zip(ids, array("f", data[20 + 4 * count : end]), strict=True)
            top = [[other, texts[str(other)], probability] for other, probability in best]
            rows.append([text, token, logprob, entropy, top])
            data = data[end:]
        assert not data
    return rows


def text_of(batches: Any) -> str:
    return "".join(batch["text"] for batch in batches)


def test_a_model_streams_in_and_describes_itself() -> None:
    engine = Engine()
    described = load(engine, sha256=hashlib.sha256(DATA).hexdigest())
    assert described["name"] == "tiny"
    assert described["parameters"] > 0
    assert described["contextWindow"] > 0
    assert ask(engine, "models") == [described]


def test_a_damaged_file_is_refused_by_its_digest() -> None:
    engine = Engine()
    at = len(DATA) - 8
    damaged = DATA[:at] + bytes([DATA[at] ^ 1]) + DATA[at + 1 :]
    number = ask(engine, "begin_load", "tiny", len(DATA), hashlib.sha256(DATA).hexdigest())
    ask(engine, "feed", number, Uint8Array(damaged))
    kind, message = fails(engine, "finish", number)
    assert kind == "FormatError"
    assert hashlib.sha256(DATA).hexdigest() in message
    assert ask(engine, "models") == []


def test_batches_are_the_text_that_the_package_writes(engine: Engine) -> None:
    session = ask(engine, "open", "tiny", "{}")
    batches = write(engine, session, "Once", milliseconds=0, max_tokens=20, seed=3)
    loader = thimble.ModelLoader(len(DATA))
    loader.feed(DATA)
    native = loader.finish().session()
    chunks = list(native.generate("Once", thimble.SamplingParams(max_tokens=20, seed=3)))
    assert text_of(batches) == "".join(chunk.text for chunk in chunks)
    assert sum(batch["count"] for batch in batches) == len(chunks)
    assert batches[-1]["context"] == len(native)


def test_how_long_a_batch_is_changes_nothing(engine: Engine) -> None:
    session = ask(engine, "open", "tiny", '{"seed": 5, "max_tokens": 30}')
    one_by_one = write(engine, session, "A " * 50, milliseconds=0)
    at_once = write(engine, session, "A " * 50, milliseconds=10_000)
    assert text_of(one_by_one) == text_of(at_once)
    assert len(one_by_one) > len(at_once) == 1


def test_details_of_every_token(engine: Engine) -> None:
    session = ask(engine, "open", "tiny", "{}")
    batches = write(engine, session, "Once", max_tokens=5, logprobs=True, top_logprobs=3)
    rows = rows_of(batches)
    assert len(rows) == 5
    for text, token, logprob, entropy, top in rows:
        assert isinstance(text, str)
        assert isinstance(token, int)
        assert logprob <= 0 <= entropy
        assert [len(one) for one in top] == [3, 3, 3]


def test_the_alternatives_are_the_models_best_and_their_texts_come_once(engine: Engine) -> None:
    session = ask(engine, "open", "tiny", "{}")
    options: dict[str, Any] = {"max_tokens": 12, "seed": 4, "top_logprobs": 5}
    batches = write(engine, session, "Once", milliseconds=0, logprobs=True, **options)
    model = engine.loaded["tiny"]
    chunks = model.session().generate("Once", thimble.SamplingParams(**options))
    assert [[[token, logprob] for token, _, logprob in row[4]] for row in rows_of(batches)] == [
        [list(one) for one in chunk.top] for chunk in chunks
    ]
    told = [token for batch in batches for token in batch["texts"]]
    assert len(told) == len(set(told))


def test_every_token_says_when_it_was_there(engine: Engine) -> None:
    session = ask(engine, "open", "tiny", "{}")
    batches = write(engine, session, "Once", max_tokens=9, logprobs=True)
    data = b"".join(base64.b64decode(batch["numbers"]) for batch in batches)
    times = array("i", data)[2::5]
    assert len(times) == 9
    assert times[0] > 0
    assert times.tolist() == sorted(times)


def test_continue_is_one_longer_run(engine: Engine) -> None:
    session = ask(engine, "open", "tiny", '{"seed": 1, "max_tokens": 10}')
    first = text_of(write(engine, session, "Once"))
    second = text_of(write(engine, session, "", **{"continue": True}))
    assert first + second == text_of(write(engine, session, "Once", max_tokens=20))


def test_a_clone_keeps_its_tokens_when_the_other_is_gone(engine: Engine) -> None:
    session = ask(engine, "open", "tiny", '{"max_tokens": 8}')
    write(engine, session, "Once")
    clone = ask(engine, "clone", session)
    ask(engine, "destroy", session)
    assert write(engine, clone, "", **{"continue": True})
    kind, message = fails(engine, "start", session, "Once", "{}")
    assert kind == "OptionError"
    assert str(session) in message


def test_nothing_asked_for_is_an_end_too(engine: Engine) -> None:
    session = ask(engine, "open", "tiny", "{}")
    (batch,) = write(engine, session, "Once", max_tokens=0)
    assert batch["count"] == 0
    assert batch["finish_reason"] == "length"


def test_a_stopped_run_is_over_and_its_tokens_stay(engine: Engine) -> None:
    session = ask(engine, "open", "tiny", "{}")
    ask(engine, "start", session, "Once", '{"max_tokens": 50}')
    context = ask(engine, "run", session, 0)["context"]
    ask(engine, "stop", session)
    assert fails(engine, "run", session, 0)[0] == "OptionError"
    more = ask(engine, "start", session, "", '{"continue": true, "max_tokens": 1}')
    assert more["reused"] == context


def test_a_prompt_that_does_not_fit_leaves_the_session_as_it_was(engine: Engine) -> None:
    session = ask(engine, "open", "tiny", '{"max_tokens": 4}')
    (*_, last) = write(engine, session, "Once")
    kind, message = fails(engine, "start", session, "word " * 5000, "{}")
    assert kind == "ContextError"
    assert "shorten" in message
    more = ask(engine, "start", session, "", '{"continue": true}')
    assert more["reused"] == last["context"]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"temprature": 1}, "temprature"),
        ({"temperature": "NaN"}, "NaN"),
        ({"stop": [""]}, "stop"),
        ({"stop": {"a": 1}}, "stop"),
        ({"logit_bias": {"x": 1}}, "logit_bias"),
        ({"logprobs": 1}, "logprobs"),
        ({"continue": "no"}, "continue"),
        ({"max_tokens": None}, "max_tokens"),
    ],
)
def test_a_wrong_option_is_named(engine: Engine, options: dict[str, Any], words: str) -> None:
    session = ask(engine, "open", "tiny", "{}")
    kind, message = fails(engine, "start", session, "Once", json.dumps(options))
    assert kind == "OptionError"
    assert words in message


def test_a_model_in_use_is_not_dropped(engine: Engine) -> None:
    session = ask(engine, "open", "tiny", "{}")
    ask(engine, "drop", "tiny")
    assert write(engine, session, "Once", max_tokens=2)
    ask(engine, "destroy", session)
    ask(engine, "drop", "tiny")
    assert ask(engine, "models") == []
    assert fails(engine, "open", "tiny", "{}")[0] == "OptionError"


def test_a_load_can_be_given_up(engine: Engine) -> None:
    number = ask(engine, "begin_load", "other", len(DATA), None)
    ask(engine, "feed", number, Uint8Array(DATA[:5000]))
    ask(engine, "cancel_load", number)
    ask(engine, "cancel_load", number)
    assert [model["name"] for model in ask(engine, "models")] == ["tiny"]


def test_our_own_mistakes_are_answers_too(engine: Engine) -> None:
    kind, message = fails(engine, "feed", 12345, b"")
    assert kind == "InternalError"
    assert "12345" in message


def test_the_logits_hash_is_of_every_position(engine: Engine) -> None:
    session = ask(engine, "open", "tiny", "{}")
    tokens = [1, 2, 3, 4]
    expected = hashlib.sha256()
    loader = thimble.ModelLoader(len(DATA))
    loader.feed(DATA)
    native = loader.finish().session()
    for token in tokens:
        native.append([token])
        expected.update(native.logits().tobytes())
    assert ask(engine, "logits_hash", session, json.dumps(tokens)) == expected.hexdigest()
