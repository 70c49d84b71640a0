"""Sessions: the same bits however tokens come, rollback, fork, limits."""

from __future__ import annotations

import gc
import struct
from collections.abc import Iterator

import numpy as np
import pytest

import thimble
from tests.tiny_models import SPECS, TinySpec, make
from thimble.gguf import read_header
from thimble.kernel import CKernel, library_path
from thimble.reference import ReferenceModel


def load(data: bytes, step: int = 1 << 20) -> thimble.Model:
    loader = thimble.ModelLoader(len(data))
    for at in range(0, len(data), step):
        loader.feed(data[at : at + step])
    return loader.finish()


@pytest.fixture(scope="module")
def model() -> Iterator[thimble.Model]:
    model = load(make(SPECS["q8_0"]))
    yield model
    model.close()


IDS = [i * 11 % 300 for i in range(90)]


@pytest.mark.parametrize("name", SPECS)
def test_logits_agree_with_the_reference_model(name: str) -> None:
    data = make(SPECS[name])
    model, reference = load(data), ReferenceModel(data, activations="q8_0")
    ids = [i % model.config.n_vocab for i in IDS[:70]]
    expected = reference.logits(ids)
    session = model.session()
    worst = []
    for i, token in enumerate(ids):
        session.append([token])
        worst.append(np.max(np.abs(np.array(session.logits()) - expected[i])))
    quantized = SPECS[name].tensor_type in ("Q8_0", "Q4_0")
    # Where activations are rounded to 8 bits, one that lies on a half may fall to either side and
    # shift a logit by about a hundredth; without such a flip only float32 rounding is left.
    assert np.median(worst) < 2e-5
    assert max(worst) < (0.1 if quantized else 2e-5)


@pytest.mark.parametrize("name", ["f32", "f16", "bf16", "q8_0", "q4_0", "spm", "head48"])
def test_batches_and_single_tokens_give_the_same_bits(name: str) -> None:
    model = load(make(SPECS[name]))
    ids = [i % model.config.n_vocab for i in IDS]
    whole = model.session()
    whole.append(ids)
    for sizes in ([1] * 90, [3, 4, 5, 33, 45], [64, 26]):
        parts, at = model.session(), 0
        for size in sizes:
            parts.append(ids[at : at + size])
            at += size
        assert parts.logits() == whole.logits()


def test_chunks_of_the_file_do_not_matter() -> None:
    data = make(SPECS["q4_0"])
    sessions = [load(data, step).session() for step in (1, 997, 1 << 20)]
    for session in sessions:
        session.append(IDS[:20])
    assert sessions[0].logits() == sessions[1].logits() == sessions[2].logits()


def test_rollback_returns_to_the_same_bits(model: thimble.Model) -> None:
    session = model.session()
    session.append(IDS[:50])
    before = session.logits()
    session.append([9, 8, 7])
    session.rollback(50)
    assert session.tokens == tuple(IDS[:50])
    assert session.logits() == before
    session.rollback(20)
    session.append(IDS[20:50])
    assert session.logits() == before


def test_fork_is_independent(model: thimble.Model) -> None:
    session = model.session()
    session.append(IDS[:40])
    copy = session.fork()
    assert copy.logits() == session.logits()
    copy.append([1, 2, 3])
    session.append(IDS[40:60])
    straight = model.session()
    straight.append(IDS[:60])
    assert session.logits() == straight.logits()
    assert copy.tokens == (*IDS[:40], 1, 2, 3)


def test_growing_the_cache_changes_nothing() -> None:
    model = load(make(TinySpec(n_ctx=1024)))
    session, ids = model.session(), [i % 300 for i in range(700)]
    for token in ids:
        session.append([token])
    whole = model.session()
    whole.append(ids)
    assert session.logits() == whole.logits()


def test_score_says_what_generate_says(model: thimble.Model) -> None:
    params = thimble.SamplingParams(max_tokens=60, seed=3, top_logprobs=4)
    session = model.session()
    chunks = list(session.generate([5, 6], params))
    ids = [5, 6, *(p.id for p in chunks if p.finish_reason != "stop")]
    choices = model.session().score(ids, top=4)[1:]
    for choice, chunk in zip(choices, chunks, strict=False):
        assert (choice.id, choice.logprob, choice.entropy) == (
            chunk.id, chunk.logprob, chunk.entropy,
        )  # fmt: skip
        assert choice.top == chunk.top


def test_logprobs_are_those_of_the_logits(model: thimble.Model) -> None:
    session = model.session()
    session.append(IDS[:10])
    logits = np.array(session.logits(), dtype=np.float64)
    logprobs = logits - logits.max() - np.log(np.exp(logits - logits.max()).sum())
    [choice] = session.score([17], top=5)
    assert choice.logprob == pytest.approx(logprobs[17], abs=1e-6)
    assert choice.entropy == pytest.approx(-(np.exp(logprobs) * logprobs).sum(), abs=1e-5)
    best = np.argsort(-logprobs, kind="stable")[:5]
    assert [token for token, _ in choice.top] == best.tolist()
    assert [p for _, p in choice.top] == pytest.approx(logprobs[best].tolist(), abs=1e-6)


def test_context_is_a_limit_that_says_so() -> None:
    model = load(make(TinySpec(n_ctx=32)))
    session = model.session()
    with pytest.raises(thimble.ContextError, match=r"33 tokens.*holds 32.*shorten it by 1"):
        session.append([1] * 33)
    assert session.tokens == ()
    session.append([1] * 30)
    chunks = list(session.generate([], thimble.SamplingParams(max_tokens=100, seed=1)))
    assert len(session) <= 32
    assert chunks[-1].finish_reason in ("length", "stop")
    with pytest.raises(thimble.ContextError):
        list(session.generate([1, 1, 1]))
    with pytest.raises(thimble.OptionError, match="n_ctx is 33"):
        model.session(33)
    small = model.session(8)
    with pytest.raises(thimble.ContextError, match="holds 8"):
        small.append([1] * 9)


@pytest.mark.parametrize("token", [-1, 10**6, 2**40, "a", None, 1.5])
def test_ids_outside_the_vocabulary_are_refused(model: thimble.Model, token: object) -> None:
    session = model.session()
    session.append([1, 2])
    with pytest.raises(thimble.OptionError, match="not in the vocabulary"):
        session.append([3, token])  # type: ignore[list-item]
    assert session.tokens == (1, 2)


def test_an_empty_session_has_no_logits(model: thimble.Model) -> None:
    with pytest.raises(thimble.ContextError, match="no token yet"):
        model.session().logits()


def test_closed_things_say_so() -> None:
    model = load(make(SPECS["f32"]))
    session, other = model.session(), model.session()
    session.append([1])
    session.close()
    with pytest.raises(thimble.ThimbleError, match="session is closed"):
        session.append([1])
    model.close()
    with pytest.raises(thimble.ThimbleError, match="is closed"):
        other.append([1])
    with pytest.raises(thimble.ThimbleError, match="is closed"):
        model.session()


def test_forgotten_sessions_give_their_memory_back(model: thimble.Model) -> None:
    import resource

    def peak() -> int:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

    for _ in range(20):
        model.session().append(IDS)
    gc.collect()
    before = peak()
    for _ in range(300):
        model.session().append(IDS[:5])
    assert peak() - before < 20_000  # KiB; without giving back it would be over 100,000


def test_a_weight_that_is_not_finite_is_named() -> None:
    data = bytearray(make(SPECS["f32"]))
    tensor = next(t for t in read_header(bytes(data)).tensors if t.name == "blk.1.ffn_up.weight")
    struct.pack_into("<f", data, tensor.offset + 4 * (3 * tensor.shape[1] + 7), float("nan"))
    with pytest.raises(thimble.NumericError, match=r"'blk\.1\.ffn_up\.weight'.*row 3 .*column 7"):
        load(bytes(data), 1000)


def test_overflow_in_the_layers_is_an_error_that_says_where() -> None:
    data = bytearray(make(SPECS["f32"]))
    tensor = next(t for t in read_header(bytes(data)).tensors if t.name == "blk.1.ffn_down.weight")
    struct.pack_into(f"<{tensor.n_elements}f", data, tensor.offset, *[3e38] * tensor.n_elements)
    session = load(bytes(data)).session()
    with pytest.raises(thimble.NumericError, match="not finite after layer 1"):
        session.append([1, 2, 3])
    assert session.tokens == ()
    with pytest.raises(thimble.NumericError, match="not finite after layer 1"):
        session.score([1, 2, 3])
    assert session.tokens == ()


@pytest.mark.parametrize("cut", [0, 3, 24, 500, 5000, -100])
def test_a_truncated_file_is_refused(cut: int) -> None:
    data = make(SPECS["q8_0"])
    part = data[:cut]
    for total in (len(data), len(part), None):
        loader = thimble.ModelLoader(total)
        with pytest.raises(thimble.FormatError):
            loader.feed(part)
            loader.finish()


class SmallMemory(CKernel):
    """Kernels on a machine that has no room for large tensors."""

    def call(self, name: str, *args: int) -> int:
        if name in ("tensor_new", "session_new") and args[1] > 100:
            return 0
        return super().call(name, *args)


def test_a_model_too_large_for_memory_is_refused() -> None:
    data = make(SPECS["f32"])
    loader = thimble.ModelLoader(len(data), kernel=SmallMemory(library_path()))
    with pytest.raises(thimble.MemoryLimitError, match=r"'token_embd\.weight'.* bytes are needed"):
        loader.feed(data)


def test_a_context_too_large_for_memory_is_refused_and_the_text_kept(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    session = load(make(TinySpec(n_ctx=1024))).session()
    session.append(IDS)
    before, kernel = session.logits(), session.model.kernel
    real = kernel.call
    monkeypatch.setattr(
        kernel, "call", lambda name, *args: 0 if name == "session_reserve" else real(name, *args)
    )
    with pytest.raises(thimble.MemoryLimitError, match=r"a cache of \d+ tokens"):
        session.append([1] * 400)
    assert session.tokens == tuple(IDS)
    assert session.logits() == before


def test_a_header_that_promises_more_than_comes_is_refused() -> None:
    data = make(SPECS["f32"])
    part = data[: read_header(data).data_offset + 100]
    for total in (len(data), None):
        loader = thimble.ModelLoader(total)
        loader.feed(part)
        with pytest.raises(thimble.FormatError, match=r"token_embd|ends"):
            loader.finish()
