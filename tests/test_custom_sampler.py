"""Samplers of the caller's own: what they see, what they decide, how their failures are told."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

import thimble
from tests.tiny_models import SPECS, make
from thimble.browser import Engine
from thimble.custom_sampler import SamplerContext
from thimble.kernel import MAX_TOP

PARAMS = thimble.SamplingParams(max_tokens=12, temperature=0.9, top_p=0.9, seed=5)


@pytest.fixture(scope="module")
def model() -> thimble.Model:
    loader = thimble.ModelLoader()
    loader.feed(make(SPECS["q8_0"]))
    return loader.finish()


def chunks_of(model: thimble.Model, sampler: Any, params: Any = PARAMS) -> list[thimble.TokenChunk]:
    return list(model.session().generate("Mia had", params, sampler=sampler))


def test_the_own_stages_by_way_of_the_context_write_the_same_text(model: thimble.Model) -> None:
    assert chunks_of(model, lambda logits, context: context.choose(logits)) == chunks_of(
        model, None
    )


def test_what_the_sampler_says_is_written(model: thimble.Model) -> None:
    eog = set(model.tokenizer.eog_ids)
    ids = [i for i in range(20, 60) if i not in eog][:12]
    session = model.session()
    said = iter(ids)
    chunks = list(session.generate("Mia", PARAMS, sampler=lambda logits, context: next(said)))
    assert [chunk.id for chunk in chunks] == ids
    assert list(session.tokens[-12:]) == ids
    # Described as the model saw them, like any other token.
    twin = model.session()
    twin.append(session.tokens[:-12])
    scored = twin.score(ids)
    assert [chunk.logprob for chunk in chunks] == [choice.logprob for choice in scored]
    assert [chunk.entropy for chunk in chunks] == [choice.entropy for choice in scored]


def test_a_sampler_sees_where_it_stands(model: thimble.Model) -> None:
    seen: list[tuple[Any, ...]] = []

    def watch(logits: Any, context: SamplerContext) -> int:
        best = max(range(len(logits)), key=logits.__getitem__)
        seen.append((len(logits), context.position, context.tokens, context.params))
        assert context.tokenizer is model.tokenizer
        logits[best] = 0.0  # a copy: nobody else sees it
        return best

    session = model.session()
    written = [chunk.id for chunk in session.generate("Mia", PARAMS, sampler=watch)]
    n = len(session) - len(written)
    assert [position for _, position, *_ in seen] == list(range(n, n + 12))
    assert seen[3][2] == (*session.tokens[:n], *written[:3])
    assert {size for size, *_ in seen} == {model.config.n_vocab}
    assert all(params == PARAMS for *_, params in seen)
    greedy = thimble.SamplingParams(max_tokens=12, temperature=0)
    assert written == [p.id for p in model.session().generate("Mia", greedy)]


def test_random_numbers_are_the_kernels_own_and_depend_on_seed_and_position_alone(
    model: thimble.Model,
) -> None:
    drawn: list[list[float]] = []

    def draw_all(logits: Any, context: SamplerContext) -> int:
        """The plainest sampler that there is, by the same number as the kernel's draw."""
        drawn.append([context.random() for _ in range(3)])
        return context.choose(logits)

    chunks_of(model, draw_all)
    first = [numbers[:] for numbers in drawn]
    drawn.clear()
    chunks_of(model, draw_all)
    assert drawn == first
    numbers = [number for three in first for number in three]
    assert len(set(numbers)) == len(numbers)
    assert all(0.0 <= number < 1.0 for number in numbers)


def test_the_first_random_number_is_the_one_of_the_kernels_draw() -> None:
    """Two equal logits: the first token where the number is below a half."""
    import numpy as np

    from tests.test_sampling import draw

    for seed in range(40):
        for position in (0, 7):
            context = SamplerContext.__new__(SamplerContext)
            context.params = thimble.SamplingParams(seed=seed)
            context.tokens = tuple(range(position))
            context._state = None
            level = np.zeros(2, np.float32)
            chosen = draw(level, list(range(position)), seed=seed).id
            assert chosen == (0 if context.random() < 0.5 else 1)


def raises(logits: Any, context: SamplerContext) -> int:
    return int(logits[0] / 0)


def half_way(logits: Any, context: SamplerContext) -> int:
    if context.position == 6:
        raise ValueError("no more")
    return context.choose(logits)


class Shaped:
    shape = (3, 4)


def stopped(logits: Any, context: SamplerContext) -> int:
    raise KeyboardInterrupt


@pytest.mark.parametrize(
    ("sampler", "words"),
    [
        (raises, "raised ZeroDivisionError: float division by zero (line"),
        (stopped, "was interrupted (line"),
        (lambda logits, context: None, "nothing (None)"),
        (lambda logits, context: float("nan"), "nan"),
        (lambda logits, context: 3.0, "3.0"),
        (lambda logits, context: True, "True"),
        (lambda logits, context: logits, "array('f'"),
        (lambda logits, context: Shaped(), "Shaped of shape (3, 4)"),
        (lambda logits, context: -1, "-1"),
        (lambda logits, context: 10**9, "1000000000"),
        (lambda logits, context: context.choose(logits[:5]), "there are 5 logits"),
        (lambda logits, context: context.choose([float("nan")] * len(logits)), "NaN"),
        (lambda logits: 3, "takes 1 positional argument"),
    ],
)
def test_what_a_sampler_does_wrong_is_told(
    model: thimble.Model, sampler: Callable[..., int], words: str
) -> None:
    session = model.session()
    with pytest.raises(thimble.SamplerError) as caught:
        list(session.generate("Mia had", PARAMS, sampler=sampler))
    assert words in str(caught.value)
    assert session.tokens  # the prompt stays, and the session can go on
    assert list(session.generate("", PARAMS))


def test_the_traceback_begins_in_the_callers_code(model: thimble.Model) -> None:
    with pytest.raises(thimble.SamplerError) as caught:
        chunks_of(model, half_way)
    error = caught.value
    line = half_way.__code__.co_firstlineno + 2
    assert error.line == line
    assert error.trace.startswith("Traceback")
    assert f"line {line}, in half_way" in error.trace
    assert "thimble/custom_sampler.py" not in error.trace


def test_the_pages_generation_obeys_and_pauses_with_the_text_kept() -> None:
    from tests.test_browser import Uint8Array, ask, fails, rows_of

    engine = Engine()
    data = make(SPECS["q8_0"])
    number = ask(engine, "begin_load", "tiny", len(data), None)
    ask(engine, "feed", number, Uint8Array(data))
    ask(engine, "finish", number)
    session = ask(engine, "open", "tiny", "{}")

    def fifth(logits: Any, context: SamplerContext) -> int:
        if len(said) == 5:
            raise RuntimeError("enough")
        said.append(context.choose(logits))
        return said[-1]

    said: list[int] = []
    engine.opened(session).sampler = fifth
    ask(engine, "start", session, "Mia", json.dumps({"logprobs": True, "max_tokens": 9}))
    batches: list[Any] = []
    while sum(batch["count"] for batch in batches) < 5:
        batches.append(ask(engine, "run", session, 1000))
    assert [row[1] for row in rows_of(batches)] == said  # all that came before the failure
    kind, message = fails(engine, "run", session, 1000)
    assert kind == "SamplerError"
    assert "raised RuntimeError: enough" in message
    assert "in fifth" in message
    assert list(engine.opened(session).session.tokens[-5:]) == said

    engine.opened(session).sampler = None
    ask(engine, "start", session, "", json.dumps({"max_tokens": 3, "continue": True}))
    assert ask(engine, "run", session, 1000)["count"] == 3


def test_alternatives_are_reported_with_a_sampler_too(model: thimble.Model) -> None:
    params = thimble.SamplingParams(max_tokens=4, top_logprobs=MAX_TOP, seed=5)
    assert chunks_of(model, lambda logits, context: context.choose(logits), params) == chunks_of(
        model, None, params
    )
