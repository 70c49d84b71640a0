"""What every `LanguageModel` does, whatever it is made of."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

import thimble
from tests.test_ensemble import load
from tests.tiny_models import SPECS, make
from thimble import lens
from thimble.speculate import Speculative

Made = tuple[thimble.LanguageModel, list[thimble.Model]]
PARAMS = thimble.SamplingParams(max_tokens=12, temperature=0.9, seed=5, top_logprobs=2)


def plain() -> Made:
    model = load("q8_0", 1)
    return model, [model]


def hooked() -> Made:
    model = load("q8_0", 1)
    return model.hooked(lens.ablate_mlps(model, [1])), [model]


def ensemble() -> Made:
    members = [load("q8_0", 1), load("q8_0", 2)]
    return thimble.combine(members, method="product"), members


def byte_mixture() -> Made:
    members = [load("f32", 1), load("spm", 2)]
    return thimble.combine(members, weights=[2, 1]), members


def speculative() -> Made:
    members = [load("q8_0", 1), load("q8_0", 2)]
    return Speculative(*members), members


KINDS: tuple[Callable[[], Made], ...] = (plain, hooked, ensemble, byte_mixture, speculative)


@pytest.fixture(params=KINDS, ids=lambda kind: kind.__name__)
def made(request: pytest.FixtureRequest) -> Iterator[Made]:
    model, parts = request.param()
    yield model, parts
    model.close()
    for part in parts:
        part.close()


def test_it_writes_the_same_again_and_scores_what_it_wrote(made: Made) -> None:
    model, _ = made
    session = model.session(64)
    chunks = list(session.generate("Mia", PARAMS))
    assert list(model.session(64).generate("Mia", PARAMS)) == chunks
    assert all(chunk.logprob <= 0 and len(chunk.top) == 2 for chunk in chunks)
    ids = model.tokenizer.encode("Mia")
    fresh = model.session(64)
    fresh.append(ids)
    given = [chunk.id for chunk in chunks if chunk.finish_reason != "stop"]
    scored = fresh.score(given)
    assert [choice.logprob for choice in scored] == [
        chunk.logprob for chunk in chunks[: len(given)]
    ]
    copy = fresh.fork(len(ids))
    assert copy.token_logprob(given[0]).logprob == chunks[0].logprob


def test_it_knows_its_size_and_its_vocabulary(made: Made) -> None:
    model, parts = made
    assert model.n_params == sum(part.n_params for part in parts)
    assert model.nbytes == sum(part.nbytes for part in parts)
    assert model.kernel is parts[0].kernel
    assert len(model.session(8)) == 0 and model.name
    session = model.session(8)
    session.append(model.tokenizer.encode("a"))
    assert len(session.logits()) == model.config.n_vocab == model.tokenizer.n_vocab
    with pytest.raises(thimble.OptionError, match="n_ctx is 0; it must be a whole number from 1"):
        model.session(0)


def test_it_says_what_it_is_where_a_notebook_shows_it(made: Made) -> None:
    model, _ = made
    session = model.session(64)
    assert repr(session) == f"<{type(session).__name__} of {model.name!r}: 0 of 64 tokens>"
    ids = model.tokenizer.encode("a" * 30)
    session.append(ids)
    text = model.tokenizer.decode(ids[-20:])
    assert f"{len(ids)} of 64 tokens, {'...' * (len(ids) > 20) + text!r}" in repr(session)
    words = f"{model.n_params:,} parameters, context of {model.config.n_ctx:,} tokens"
    assert repr(model) == f"<{type(model).__name__} {model.name!r}: {words}>"
    assert f"{model.config.n_vocab:,} tokens" in repr(model.tokenizer)
    assert {"load", "Ensemble", "best_of", "embed"} <= {*dir(thimble)}
    model.close()
    assert repr(model).endswith(", closed>")


def test_its_sessions_follow_a_change_of_a_part(made: Made) -> None:
    model, parts = made
    before, session = model.revision, model.session(32)
    session.append(model.tokenizer.encode("Mia"))
    was = session.logits()
    parts[0].fwd_hooks = lens.ablate_mlps(parts[0], [0])
    assert model.revision > before
    changed = session.logits()
    assert changed != was
    fresh = model.session(32)
    fresh.append(model.tokenizer.encode("Mia"))
    assert fresh.logits() == changed
    parts[0].fwd_hooks = ()
    assert session.logits() == was


def test_what_is_closed_is_refused_and_parts_live_on(made: Made) -> None:
    model, parts = made
    session = model.session(16)
    session.append(model.tokenizer.encode("a"))
    model.close()
    assert model.closed
    with pytest.raises(thimble.ThimbleError, match="is closed"):
        model.session()
    if model is not parts[0]:
        assert not any(part.closed for part in parts)
        assert len(parts[0].session(8)) == 0


def test_it_is_closed_with_a_part_of_it(made: Made) -> None:
    model, parts = made
    parts[0].close()
    assert model.closed
    with pytest.raises(thimble.ThimbleError, match="is closed"):
        model.session()


def test_what_is_made_of_others_has_no_insides(made: Made) -> None:
    model, _ = made
    if isinstance(model, thimble.Model | Speculative):
        assert model.weights.nbytes > 0
        return
    with pytest.raises(thimble.UnsupportedError, match="one of its members"):
        _ = model.weights
    with pytest.raises(thimble.UnsupportedError, match="one of its members"):
        model.embed("Mia")


def test_hooks_that_stand_on_a_target_hold_for_what_is_drafted() -> None:
    target, draft = load("q8_0", 1), load("q8_0", 2)
    both = Speculative(target, draft)
    target.fwd_hooks = lens.ablate_mlps(target, [1])
    wanted = list(target.session().generate("Mia", PARAMS))
    session = both.session()
    assert [chunk.id for chunk in session.generate("Mia", PARAMS)] == [one.id for one in wanted]
    target.fwd_hooks = ()
    assert list(target.session().generate("Mia", PARAMS)) != wanted


def test_a_model_from_bytes_is_a_language_model() -> None:
    loader = thimble.ModelLoader()
    loader.feed(make(SPECS["q8_0"]))
    assert isinstance(loader.finish(), thimble.LanguageModel)
