"""Names of version 0.1: each still works, and says what it is called now."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

import thimble
from tests.test_ensemble import load
from tests.tiny_models import SPECS, make
from thimble import constrain, lens
from thimble.debug import Step


@pytest.fixture(scope="module")
def model() -> thimble.Model:
    loader = thimble.ModelLoader()
    loader.feed(make(SPECS["q8_0"]))
    return loader.finish()


@pytest.fixture
def session(model: thimble.Model) -> Iterator[thimble.Session]:
    session = model.session()
    session.append([1, 5, 9])
    yield session
    session.close()


def test_piece_is_token_chunk() -> None:
    with pytest.warns(DeprecationWarning, match=r"thimble\.Piece is called thimble\.TokenChunk"):
        assert thimble.Piece is thimble.TokenChunk
    with pytest.raises(AttributeError, match="'Pieces'"):
        thimble.Pieces  # noqa: B018


def test_weigh_is_token_logprob(session: thimble.Session) -> None:
    with pytest.warns(DeprecationWarning, match=r"Session\.weigh is called token_logprob"):
        assert session.weigh(7, top=2) == session.token_logprob(7, top=2)


def test_shape_from_is_constraint_start(session: thimble.Session) -> None:
    params = thimble.SamplingParams(grammar=constrain.regex("[a-z]{40}"), max_tokens=4)
    other = session.fork()
    list(session.generate("", params))
    list(other.generate("", params))
    with pytest.warns(DeprecationWarning, match="shape_from is called constraint_start"):
        chunks = list(session.generate("", params, shape_from=3))
    assert chunks == list(other.generate("", params, constraint_start=3))
    step = Step(7, -1.0, 2.0, (), params, constraint_start=3)
    with pytest.warns(DeprecationWarning, match=r"Step\.shape_from is called constraint_start"):
        assert step.shape_from == 3


def test_ensemble_of_other_vocabularies_is_combine() -> None:
    models = [load("f32", 1), load("spm", 2)]
    with pytest.warns(DeprecationWarning, match=r"called thimble\.combine now"):
        both = thimble.Ensemble(models, weights=[3, 1])
    assert isinstance(both, thimble.ByteMixture)
    assert both.member_weights == (0.75, 0.25)


def test_a_hooked_models_session_is_a_session() -> None:
    with pytest.warns(DeprecationWarning, match=r"called thimble\.Session"):
        assert lens.HookedSession is thimble.Session
    with pytest.raises(AttributeError, match="'HookedSessions'"):
        lens.HookedSessions  # noqa: B018
