"""What sessions keep of their texts: its bytes, copies, cuts, and windows that let go."""

from __future__ import annotations

import functools
import struct
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

import thimble
from tests.test_session import load
from tests.tiny_folders import converted
from tests.tiny_models import SPECS, TinySpec, make
from thimble.gguf import read_header
from thimble.gguf_writer import GGUFWriter
from thimble.lens import HookPoint
from thimble.state import State, state_bytes, usual_kv_type

LONG = 1500


@functools.cache
def with_keys(data: bytes, **keys: int) -> bytes:
    """The same file with some of its architecture's keys changed."""
    header = read_header(data, file_size=len(data))
    writer, prefix = GGUFWriter(), header.metadata["general.architecture"]
    changed = {f"{prefix}.{key}": value for key, value in keys.items()}
    for key, value in (header.metadata | changed).items():
        writer.add(key, value)
    for t in header.tensors:
        writer.add_tensor(t.name, t.shape, t.type, data[t.offset : t.offset + t.nbytes])
    return writer.to_bytes()


def ids_for(model: thimble.Model, count: int = LONG) -> list[int]:
    return [i * 7919 % model.config.n_vocab for i in range(count)]


@pytest.fixture(scope="module")
def windowed() -> thimble.Model:
    """Six of seven layers look back at 24 positions, in a context of many times that."""
    return load(with_keys(converted("gemma3", "q8_0"), context_length=4096))


@pytest.fixture(scope="module")
def expected(windowed: thimble.Model) -> bytes:
    """The logits after a long text, by a pass that lets go of nothing."""
    logits: bytes = windowed.run_with_hooks(ids_for(windowed), last_only=True).tobytes()
    return logits


def test_windows_let_go_of_what_is_behind_them_and_change_no_bit(
    windowed: thimble.Model, expected: bytes
) -> None:
    session = windowed.session()
    session.append(ids_for(windowed))
    assert session.logits().tobytes() == expected
    assert session._state
    sizes = []
    for count in (600, 1100, LONG):
        state = State(windowed, 256)
        state.reserve(count)
        sizes.append(state.nbytes)
    assert sizes[0] < sizes[1] < sizes[2]
    # Only the layer that sees everything grows: 512 positions are kept of the others.
    whole = State(windowed, 256, whole=True)
    whole.reserve(LONG)
    one = whole.nbytes / 7 / 1536
    assert sizes[2] == one * (1536 + 6 * 512)
    assert session._state.nbytes == sizes[2] == state_bytes(windowed.kernel, windowed.config, LONG)


def test_a_cut_inside_of_what_is_kept_computes_nothing_again(
    windowed: thimble.Model, expected: bytes
) -> None:
    ids = ids_for(windowed)
    session = windowed.session()
    session.append(ids)
    session.rollback(LONG - 100)
    assert session._computed == LONG - 100
    session.append(ids[LONG - 100 :])
    assert session.logits().tobytes() == expected


def test_a_cut_behind_what_is_kept_is_computed_again_and_right(
    windowed: thimble.Model, expected: bytes
) -> None:
    ids = ids_for(windowed)
    session = windowed.session()
    session.append(ids)
    session.rollback(700)
    assert session.tokens == tuple(ids[:700])
    assert session._computed == 0
    straight = windowed.session()
    straight.append(ids[:700])
    assert session.logits() == straight.logits()
    session.append(ids[700:])
    assert session.logits().tobytes() == expected
    fork = session.fork(700)
    assert fork.logits() == straight.logits()
    near = session.fork(LONG - 50)
    assert near._computed == LONG - 50
    near.append(ids[LONG - 50 :])
    assert near.logits().tobytes() == expected


def test_a_draft_that_is_not_kept_changes_no_bit_behind_windows(windowed: thimble.Model) -> None:
    other = load(with_keys(converted("gemma3", "f32"), context_length=4096))
    params = thimble.SamplingParams(max_tokens=60, temperature=1.0, seed=4)
    ids = ids_for(windowed, 700)
    plain = [chunk.id for chunk in windowed.session().generate(ids, params)]
    quick = thimble.Speculative(windowed, other)
    assert [chunk.id for chunk in quick.session().generate(ids, params)] == plain


def test_a_window_larger_than_the_context_is_one_that_sees_all_of_it() -> None:
    """Files have such: Phi-3.5's has twice its context."""
    data = converted("gemma3", "q8_0")
    found = []
    for window in (128, 100_000, 1 << 24):
        model = load(with_keys(data, **{"attention.sliding_window": window}))
        session = model.session()
        session.append(ids_for(model, 128))
        assert session._state
        found.append((session.logits().tobytes(), session._state.nbytes))
    assert found[0] == found[1] == found[2]
    with pytest.raises(
        thimble.FormatError, match="sliding_window is 16777217; a whole number from"
    ):
        load(with_keys(data, **{"attention.sliding_window": (1 << 24) + 1}))


def test_hooks_cannot_look_behind_a_window_that_has_let_go(windowed: thimble.Model) -> None:
    def far(scores: Any, hook: HookPoint) -> None:
        if scores.shape[-1] > 1000:
            scores[:, :, 3] = 1.0

    hooked = windowed.hooked([("blocks.0.attn.hook_attn_scores", far)])
    session = hooked.session()
    with pytest.raises(thimble.UnsupportedError, match=r"layer 0 .* has let go"):
        session.append(ids_for(windowed))
    # A pass by itself keeps everything.
    assert np.isfinite(hooked.run_with_hooks(ids_for(windowed, 1100), last_only=True)).all()


def test_forks_share_memory_and_are_independent() -> None:
    model = load(make(TinySpec(n_ctx=2048)))
    ids = [i * 11 % 300 for i in range(1200)]
    session = model.session()
    session.append(ids)
    before = session.logits()
    forks = [session.fork(n) for n in (1200, 1100, 513, 512, 511, 256, 1, 0)]
    for fork in forks:
        fork.append([5, 6, 7])
        straight = model.session()
        straight.append([*fork.tokens])
        assert fork.logits() == straight.logits()
    session.rollback(300)
    session.append([9] * 800)
    other = model.session()
    other.append([*ids[:300], *[9] * 800])
    assert session.logits() == other.logits()
    forks[0].rollback(1200)
    assert forks[0].logits() == before
    session.close()
    forks[0].rollback(600)
    forks[0].append(ids[600:])
    assert forks[0].logits() == before


def test_a_fork_without_memory_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    session = load(make(SPECS["f32"])).session()
    session.append([1, 2, 3])
    before, kernel = session.logits(), session.model.kernel
    real = kernel.call
    monkeypatch.setattr(
        kernel, "call", lambda name, *args: -1 if name == "session_copy" else real(name, *args)
    )
    with pytest.raises(thimble.MemoryLimitError, match="a cache of 3 tokens"):
        session.fork()
    monkeypatch.undo()
    assert session.fork().logits() == before


@pytest.mark.parametrize("kv_type", ["f16", "q8_0"])
@pytest.mark.parametrize("name", ["f32", "head8", "head48", "head64"])
def test_keys_and_values_that_take_less_change_little(name: str, kv_type: str) -> None:
    model = load(make(SPECS[name]))
    ids = [i * 11 % model.config.n_vocab for i in range(90)]
    exact, session = model.session(), model.session(kv_type=kv_type)
    exact.append(ids)
    session.append(ids)
    logits = np.array(session.logits())
    away = np.sqrt(np.mean((logits - np.array(exact.logits())) ** 2)) / np.std(logits)
    # Where products round activations, one that falls to the other side of a half is worth more.
    quantized = SPECS[name].tensor_type != "F32"
    assert 0 < away < (0.1 if quantized else {"f16": 1e-3, "q8_0": 0.03}[kv_type])
    # However it came about, and whatever became of it.
    parts, fork = model.session(kv_type=kv_type), session.fork(40)
    for token in ids:
        parts.append([token])
    assert fork.kv_type == kv_type
    fork.append(ids[40:])
    session.rollback(20)
    session.append(ids[20:])
    assert parts.logits() == fork.logits() == session.logits()
    model.kv_type = kv_type
    assert model.session().kv_type == model.hooked().kv_type == kv_type
    # What the lens sees is what the text is written with.
    assert model.run_with_hooks(ids, last_only=True)[0].tobytes() == session.logits().tobytes()


def test_a_whole_context_takes_what_it_should() -> None:
    """Of SmolLM2-135M: 30 layers of 3 key heads of 64, 8,192 positions."""
    model = load(make(SPECS["f32"]))
    smol = replace(model.config, n_layers=30, n_heads=9, n_kv_heads=3, head_dim=64)
    sizes = {kv: state_bytes(model.kernel, smol, 8192, kv) for kv in ("f32", "f16", "q8_0")}
    assert sizes == {"f32": 377_487_360, "f16": 188_743_680, "q8_0": 100_270_080}


def test_brought_models_keep_much_in_half_precision() -> None:
    model = load(make(SPECS["f32"]))
    assert usual_kv_type(model.kernel, model.config) == "f32"
    smol = replace(model.config, n_layers=30, n_heads=9, n_kv_heads=3, head_dim=64, n_ctx=8192)
    assert usual_kv_type(model.kernel, smol) == "f16"


def test_a_key_that_half_precision_does_not_hold_is_said() -> None:
    data = converted("qwen2", "f32")
    tensor = next(t for t in read_header(data).tensors if t.name == "blk.1.attn_k.bias")
    large = bytearray(data)
    struct.pack_into("<f", large, tensor.offset, 1e5)
    model = load(bytes(large))
    session = model.session(kv_type="f16")
    with pytest.raises(thimble.NumericError, match=r"layer 1 .* half precision .*'f32' keeps"):
        session.append([1, 2, 3])
    assert session.tokens == ()
    model.session(kv_type="q8_0").append([1, 2, 3])
    model.session().append([1, 2, 3])


@pytest.mark.parametrize("kv_type", ["q4_0", 3, None, ["f16"]])
def test_other_types_of_keys_and_values_are_refused(kv_type: Any) -> None:
    model = load(make(SPECS["f32"]))
    with pytest.raises(thimble.OptionError, match="'f32', 'f16', 'q8_0' are right"):
        model.kv_type = kv_type
    with pytest.raises(thimble.OptionError):
        thimble.ModelLoader(kv_type=kv_type)


def test_bytes_are_asked_of_the_kernel_and_counted_for_any_size() -> None:
    model = load(make(TinySpec(n_ctx=2048)))
    c = model.config
    position = 8 * c.n_layers * c.n_kv_heads * c.head_dim
    for count, there in ((1, 32), (32, 32), (33, 64), (200, 256), (257, 512), (2048, 2048)):
        assert state_bytes(model.kernel, c, count) == position * there
        state = State(model, count)
        assert state.nbytes == position * there
        assert state.capacity == there
    huge = replace(c, n_kv_heads=1 << 12, head_dim=1 << 12, n_heads=1 << 12)
    assert state_bytes(model.kernel, huge, 1 << 24) == 8 * c.n_layers << 48
