"""States of fixed size: what a scan (Mamba-2) keeps of a text, its copies on the way, and cuts."""

from __future__ import annotations

import random
from dataclasses import replace
from typing import Any

import pytest

import thimble
from tests.test_session import load
from tests.test_state import ids_for, with_keys
from tests.tiny_folders import converted, recorded
from thimble import lens
from thimble.convert.config import Settings, factors, keys
from thimble.errors import FormatError, NumericError, UnsupportedError
from thimble.gguf import read_header
from thimble.kernel import BATCH
from thimble.model_config import config_from_header
from thimble.program import FIXED, state_forms
from thimble.state import State, state_bytes

LONG = 700
COPIES = 6


@pytest.fixture(scope="module")
def model() -> thimble.Model:
    return load(converted("mamba2", "q8_0"))


def after(model: thimble.Model, ids: list[int]) -> bytes:
    """The logits behind a text, in a session of its own."""
    session = model.session()
    session.append(ids)
    found = session.logits().tobytes()
    session.close()
    return found


def test_a_state_takes_the_same_however_long_the_text_is(model: thimble.Model) -> None:
    forms = state_forms(model.config)
    assert {form.kind for form in forms} == {FIXED}
    taken = COPIES * sum(4 * form.heads * form.width for form in forms)
    for positions in (1, 300, 4096):
        assert state_bytes(model.kernel, model.config, positions) == taken
    session = model.session()
    session.append(ids_for(model, LONG))
    assert session._state and session._state.nbytes == taken


def test_the_last_step_is_taken_back_without_computing_anything(model: thimble.Model) -> None:
    ids = ids_for(model, 90)
    session = model.session()
    for token in ids:
        session.append([token])
    session.rollback(89)
    assert session._computed == 89
    session.append([5])
    assert session.logits().tobytes() == after(model, [*ids[:89], 5])


def test_a_cut_goes_back_to_a_copy_and_computes_from_there(model: thimble.Model) -> None:
    ids = ids_for(model, LONG)
    session = model.session()
    session.append(ids)
    session.rollback(600)
    assert 512 <= session._computed < 600  # a copy is kept every 128 or 256 positions by now
    assert session.logits().tobytes() == after(model, ids[:600])
    session.rollback(10)
    assert session._computed == 0
    session.append(ids[10:])
    assert session.logits().tobytes() == after(model, ids)


@pytest.mark.parametrize("name", ["mamba2", "granitehybrid", "falcon-h1", "qwen35"])
def test_texts_that_are_cut_forked_and_grown_at_random_have_the_right_bits(name: str) -> None:
    model = load(converted(name, "q8_0"))
    longest = min(LONG, model.config.n_ctx)
    rng, ids = random.Random(7), ids_for(model, longest)
    session = model.session()
    for step in range(40):
        if len(session) and rng.random() < 0.5:
            n = rng.choice((len(session) - 1, rng.randrange(len(session) + 1)))
            if rng.random() < 0.5:
                session.rollback(n)
            else:
                session, old = session.fork(n), session
                old.close()
        size = min(rng.choice((1, 5, 40, 150)), longest - len(session))
        if size:
            session.append(ids[len(session) : len(session) + size])
        if step % 8 == 7 and len(session):
            assert session.logits().tobytes() == after(model, [*session.tokens])
    assert session._state and session._state.past == len(session)


def test_a_truncated_state_says_from_where_to_compute(model: thimble.Model) -> None:
    session = model.session()
    session.append(ids_for(model, 200))
    state = session._state
    assert state
    kept = state.truncate(150)
    assert kept == state.past == 128
    copy = State(model, 200)
    assert copy.copy_from(state, 100) == 96  # the end of a batch
    assert copy.truncate(63) < 63
    copy.close()


def test_threads_and_batches_leave_the_bits_alone(model: thimble.Model) -> None:
    ids = ids_for(model, 150)
    expected = after(model, ids)
    parts = model.session()
    for at in range(0, 150, 7):
        parts.append(ids[at : at + 7])
    assert parts.logits().tobytes() == expected
    assert model.run_with_hooks(ids, last_only=True).tobytes() == expected
    try:
        for threads in (2, 3, 7):
            model.kernel.call("threads", threads)
            assert after(model, ids) == expected
    finally:
        model.kernel.call("threads", 1)


def test_a_draft_that_is_not_kept_changes_no_bit(model: thimble.Model) -> None:
    other = load(converted("mamba2", "f32"))
    params = thimble.SamplingParams(max_tokens=40, temperature=1.0, seed=4)
    ids = ids_for(model, 90)
    plain = [chunk.id for chunk in model.session().generate(ids, params)]
    quick = thimble.Speculative(model, other)
    assert [chunk.id for chunk in quick.session().generate(ids, params)] == plain


def test_what_is_not_finite_in_a_state_is_an_error_and_is_not_kept() -> None:
    model = load(converted("mamba2", "f32"))
    ids = ids_for(model, 70)
    broken = 40

    def burst(values: Any, hook: Any) -> None:
        if hook.past <= broken < hook.past + len(values):
            values[broken - hook.past] = 3e38

    session = model.session()
    session.append(ids[:broken])
    model.fwd_hooks = [("blocks.1.ssm.hook_conv_post", burst)]
    with pytest.raises(NumericError, match="not finite after layer 1"):
        session.append(ids[broken:])
    model.fwd_hooks = []
    assert session.tokens == tuple(ids[:BATCH])  # what stood there before; layer 0 has gone on
    assert session._state and session._state.past == BATCH
    session.append(ids[BATCH:])
    assert session.logits().tobytes() == after(model, ids)


def test_the_lens_sees_a_scan(model: thimble.Model) -> None:
    ids = ids_for(model, 12)
    names = lens.site_names(model.config)
    assert "blocks.0.ssm.hook_scan" in names and not any("attn" in name for name in names)
    parts = lens.logit_attribution(model, ids)
    assert [part.label for part in parts.parts if part.layer is not None] == ["SCAN0", "SCAN1"]


@pytest.mark.parametrize(("key", "value", "error", "words"), [
    ("ssm.time_step_rank", 16, FormatError, r"'blk\.0\.ssm_in\.weight' has the shape"),
    ("ssm.time_step_rank", 6, FormatError, "attention.key_length is missing"),
    ("ssm.state_size", 30, UnsupportedError, "state_size is 30; a multiple of 4 runs here"),
    ("ssm.conv_kernel", 3, FormatError, r"ssm_conv1d\.weight' has the shape \(192, 4\)"),
    ("ssm.group_count", 2, UnsupportedError, "group_count is 2; 1 runs here"),
])  # fmt: skip
def test_a_file_that_does_not_fit_is_refused(
    key: str, value: object, error: type[Exception], words: str
) -> None:
    header = read_header(with_keys(converted("mamba2", "f32")))
    with pytest.raises(error, match=words):
        config_from_header(replace(header, metadata={**header.metadata, f"mamba2.{key}": value}))


GRANITE4 = {
    "model_type": "granitemoehybrid", "hidden_size": 64, "intermediate_size": 32,
    "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2,
    "max_position_embeddings": 128, "layer_types": ["attention"] * 2, "num_local_experts": 0,
    "num_experts_per_tok": 0, "shared_intermediate_size": 96, "position_embedding_type": "rope",
}  # fmt: skip


def test_granite_4_without_scans_is_granite_with_or_without_experts() -> None:
    dense = Settings(GRANITE4)
    assert dense.arch.name == "granite"
    found = keys(dense)
    assert found["feed_forward_length"] == 96 and found["rope.scaling.finetuned"] is True
    assert not any(key.startswith(("ssm.", "expert_")) for key in found)
    several = Settings({**GRANITE4, "num_local_experts": 4, "num_experts_per_tok": 2})
    assert several.arch.name == "granitemoe"
    found = keys(several)
    assert (found["feed_forward_length"], found["expert_count"]) == (32, 4)
    assert found["expert_shared_feed_forward_length"] == 96


@pytest.mark.parametrize(("name", "changes", "error", "words"), [
    ("granitehybrid", {"layer_types": ["mamba", "x"]}, FormatError, "layer_types .* is right"),
    ("granitehybrid", {"mamba_n_groups": 2}, UnsupportedError, "mamba_n_groups .* is 2"),
    ("granitehybrid", {"mamba_d_head": 17}, FormatError, "8 heads of 17; together 128"),
    ("granitehybrid", {"position_embedding_type": "alibi"}, UnsupportedError, "'alibi'"),
    ("falcon-h1", {"mlp_multipliers": [1.0]}, FormatError, "a list of 2 numbers above 0"),
    ("falcon-h1", {"ssm_multipliers": [1, 1, 1, 1, 0]}, FormatError, "a list of 5 numbers"),
    ("falcon-h1", {"mamba_rms_norm": True, "mamba_norm_before_gate": True}, UnsupportedError,
     "mamba_norm_before_gate"),
])  # fmt: skip
def test_settings_of_hybrids_that_do_not_run_are_named(
    name: str, changes: dict[str, object], error: type[Exception], words: str
) -> None:
    settings = Settings({**recorded()["models"][name]["config"], **changes})
    with pytest.raises(error, match=words):
        keys(settings)
        factors(settings)


def test_a_scan_whose_heads_share_its_values_unevenly_is_refused() -> None:
    header = read_header(converted("falcon-h1", "f32"))
    metadata = {**header.metadata, "falcon-h1.ssm.time_step_rank": 7}
    with pytest.raises(FormatError, match="time_step_rank is 7, which does not divide"):
        config_from_header(replace(header, metadata=metadata))
    metadata = {**header.metadata, "falcon-h1.ssm.group_count": 2}
    with pytest.raises(UnsupportedError, match=r"ssm\.group_count is 2; 1 runs here"):
        config_from_header(replace(header, metadata=metadata))
