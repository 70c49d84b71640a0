"""Reading a given text, as the page's worker asks for it."""

from __future__ import annotations

import itertools
import math
from typing import Any

import pytest

import thimble
from tests.test_browser import ask, fails, load
from thimble.browser import Engine

STORY = "Once upon a time there was a cat.\nShe sat on the mat.\n\nThe end, said the cat.\n"


@pytest.fixture
def engine() -> Engine:
    made = Engine()
    load(made)
    return made


@pytest.fixture
def session(engine: Engine) -> int:
    opened: int = ask(engine, "open", "tiny", "{}")
    return opened


def read(engine: Engine, session: int, text: str, top: int = 3) -> tuple[int, Any]:
    """Read to the end; the reading's number and its last step."""
    number = ask(engine, "read.begin", session, text, top)["reading"]
    while True:
        step = ask(engine, "read.step", number, 0, 0, 0)
        if step["done"] == step["total"]:
            return number, step


def test_a_short_text_has_the_bits_per_byte_of_the_evaluation(engine: Engine, session: int) -> None:
    number, step = read(engine, session, STORY)
    model = engine.loaded["tiny"]
    evaluation = thimble.evaluate_text(model, [STORY])
    assert step["nats"] == pytest.approx(evaluation.nats, rel=1e-12)
    assert step["bytes"] == evaluation.bytes
    rows = ask(engine, "read.rows", number, 0, step["total"])
    assert "".join(row[0] for row in rows) == STORY
    assert [row[1] for row in rows] == model.tokenizer.encode(STORY, add_special=False)


def test_every_token_comes_with_its_best_alternatives(engine: Engine, session: int) -> None:
    number, step = read(engine, session, STORY, top=4)
    for text, token, logprob, entropy, top in ask(engine, "read.rows", number, 0, 1000):
        assert isinstance(text, str)
        assert logprob <= 0
        assert entropy >= 0
        assert [other[2] for other in top] == sorted((other[2] for other in top), reverse=True)
        assert len(top) == 4
        for other, _, probability in top:
            assert other != token or probability == logprob
    assert step["total"] == len(ask(engine, "read.rows", number, 0, 1000))


def test_a_text_longer_than_the_context_is_read_in_windows(engine: Engine, session: int) -> None:
    model = engine.loaded["tiny"]
    text = STORY * 40
    ids = model.tokenizer.encode(text, add_special=False)
    n_ctx = model.config.n_ctx
    assert len(ids) > 2 * n_ctx
    number, step = read(engine, session, text)
    assert step["done"] == len(ids)
    rows = ask(engine, "read.rows", number, 0, len(ids))

    # The first token of the second window, computed on its own.
    bos = model.tokenizer.bos_id
    first = [] if bos is None else [bos]
    at = n_ctx - len(first)
    kept = n_ctx // 2 - len(first)
    alone = model.session()
    alone.append(first + ids[at - kept : at])
    (choice,) = alone.score([ids[at]])
    assert rows[at][2] == choice.logprob
    assert sum(-row[2] for row in rows if row[2] is not None) == pytest.approx(step["nats"])


def test_lines_have_their_own_bits_and_add_up_to_the_whole(engine: Engine, session: int) -> None:
    number, step = read(engine, session, "\n \n" + STORY)
    parts = ask(engine, "read.parts", number)
    words = [part[4] for part in parts]
    assert words == [line for line in STORY.splitlines() if line]
    assert parts[0][0] == 0
    assert parts[-1][1] == step["total"]
    assert all(before[1] == after[0] for before, after in itertools.pairwise(parts))
    assert sum(part[2] for part in parts) == step["bytes"]
    assert sum(part[3] for part in parts) == pytest.approx(step["nats"])


def test_a_step_gives_the_rows_that_the_page_shows(engine: Engine, session: int) -> None:
    number = ask(engine, "read.begin", session, STORY, 0)["reading"]
    step = ask(engine, "read.step", number, 10_000, 3, 7)
    assert step["rows"] == ask(engine, "read.rows", number, 3, 7)


def test_the_live_session_stays_as_it_is(engine: Engine, session: int) -> None:
    ask(engine, "start", session, "Once", '{"max_tokens": 3}')
    ask(engine, "run", session, 1000)
    before = engine.opened(session).session.tokens
    read(engine, session, STORY)
    assert engine.opened(session).session.tokens == before


def test_without_bos_the_first_token_is_not_predicted(engine: Engine, session: int) -> None:
    engine.loaded["tiny"].tokenizer.bos_id = None
    number, step = read(engine, session, "Once upon a time")
    first, second = ask(engine, "read.rows", number, 0, 2)
    assert first[2:] == [None, None, []]
    assert math.isfinite(second[2])
    evaluation = thimble.evaluate_text(engine.loaded["tiny"], ["Once upon a time"])
    assert (step["nats"], step["bytes"]) == (pytest.approx(evaluation.nats), evaluation.bytes)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "the text is empty"),
        ("a" * 1_000_001, "1,000,001 characters; at most 1,000,000"),
        ("half \ud83d a pair", "U+D83D, at character 5"),
    ],
)
def test_a_bad_text_is_refused_with_what_is_wrong(
    engine: Engine, session: int, text: str, words: str
) -> None:
    kind, message = fails(engine, "read.begin", session, text, 3)
    assert kind == "OptionError"
    assert words in message


def test_a_model_that_goes_ends_the_reading_with_an_error(engine: Engine, session: int) -> None:
    number = ask(engine, "read.begin", session, STORY * 40, 3)["reading"]
    ask(engine, "read.step", number, 0, 0, 0)
    ask(engine, "destroy", session)
    ask(engine, "drop", "tiny")
    _, message = fails(engine, "read.step", number, 0, 0, 0)
    assert "closed" in message
    ask(engine, "read.close", number)
    assert "no reading" in fails(engine, "read.step", number, 0, 0, 0)[1]


def test_a_closed_reading_gives_its_memory_back(engine: Engine, session: int) -> None:
    number = ask(engine, "read.begin", session, STORY * 40, 3)["reading"]
    ask(engine, "read.step", number, 0, 0, 0)
    service = engine._services["read"]
    its_session = service._readings[number].session
    ask(engine, "read.close", number)
    ask(engine, "read.close", number)  # twice does no harm
    assert not service._readings
    with pytest.raises(thimble.ThimbleError, match="closed"):
        its_session.append([1])
