"""Hooks that stand on a model itself: whatever is open on it follows, and is as before without."""

from __future__ import annotations

import pytest

import thimble
from tests.test_session import load
from tests.tiny_models import SPECS, make
from thimble import lens
from thimble.errors import HookError, OptionError, UnsupportedError
from thimble.lens.hooks import HookFunction

PROMPT = [1, 5, 9, 3]
GREEDY = thimble.SamplingParams(temperature=0, max_tokens=12)


@pytest.fixture
def model() -> thimble.Model:
    return load(make(SPECS["q8_0"]))


def written(session: thimble.Session) -> list[int]:
    session.rollback(0)
    return [chunk.id for chunk in session.generate(PROMPT, GREEDY)]


def without_heads(model: thimble.Model) -> list[tuple[str, HookFunction]]:
    return lens.ablate_heads(model, [(0, head) for head in range(model.config.n_heads)])


def test_an_open_session_follows_and_is_bit_for_bit_as_before_without(model: thimble.Model) -> None:
    session = model.session()
    session.append(PROMPT)
    before, text = session.logits().tobytes(), written(session)
    hooks = without_heads(model)
    expected = model.hooked(hooks).session()
    expected.append(PROMPT)

    model.fwd_hooks = hooks
    session.rollback(len(PROMPT))
    assert session.logits().tobytes() == expected.logits().tobytes() != before
    assert written(session) == written(expected)
    model.fwd_hooks = ()
    session.rollback(len(PROMPT))
    assert session.logits().tobytes() == before
    assert written(session) == text


def test_beside_it_the_model_is_there_without_them(model: thimble.Model) -> None:
    plain = model.run_with_hooks(PROMPT).tobytes()
    model.fwd_hooks = without_heads(model)
    assert model.run_with_hooks(PROMPT).tobytes() != plain
    assert model.hooked(alone=True).run_with_hooks(PROMPT).tobytes() == plain
    assert model.hooked().run_with_hooks(PROMPT).tobytes() != plain


def test_an_ensemble_that_it_is_in_follows(model: thimble.Model) -> None:
    other = load(make(SPECS["q4_0"]))
    session = thimble.Ensemble([model, other]).session()
    session.append(PROMPT)
    before = session.logits().tobytes()
    model.fwd_hooks = without_heads(model)
    changed = thimble.Ensemble([model.hooked(), other]).session()
    changed.append(PROMPT)
    session.rollback(len(PROMPT))
    assert session.logits().tobytes() == changed.logits().tobytes() != before
    model.fwd_hooks = ()
    session.rollback(len(PROMPT))
    assert session.logits().tobytes() == before


def test_what_cannot_stand_is_said_at_once(model: thimble.Model) -> None:
    with pytest.raises(OptionError, match=r"blocks\.9\.attn\.hook_z"):
        model.fwd_hooks = [("blocks.9.attn.hook_z", lambda z, hook: None)]
    assert model.fwd_hooks == ()
    both = thimble.Ensemble([model, load(make(SPECS["q4_0"]))])
    with pytest.raises(UnsupportedError, match="members"):
        both.fwd_hooks = without_heads(model)


def test_a_session_whose_hooks_fail_keeps_what_it_had(model: thimble.Model) -> None:
    session = model.session()
    session.append(PROMPT)
    model.fwd_hooks = lens.scale_mlps(model, {0: 1e39})
    with pytest.raises(HookError, match="hook_mlp_out"):
        session.logits()
    model.fwd_hooks = ()
    session.rollback(0)
    assert len(written(session)) == GREEDY.max_tokens
