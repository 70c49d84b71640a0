"""Adapters on a model: against llama.cpp and NumPy, at any strength, in all sessions; and files
that are none, or are for another model."""

from __future__ import annotations

import hashlib
import json
import random
import struct
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest
from numpy.typing import NDArray

import thimble
from tests.fuzz.fuzz_gguf import Field, fields
from tests.test_llamacpp import TOLERANCE, load
from tests.tiny_adapters import factors, make_adapter
from tests.tiny_models import SPECS, TinySpec, make
from thimble.adapter import AdapterFile, adapter_file, read_adapter
from thimble.errors import FormatError, NumericError, OptionError, ThimbleError, UnsupportedError
from thimble.gguf import read_header
from thimble.gguf_writer import GGUFWriter
from thimble.kernel import default_kernel
from thimble.reference import ReferenceModel
from thimble.tensor_types import F32

HERE = Path(__file__).parent / "vectors"
RECORDED: dict[str, Any] = json.loads((HERE / "adapters.json").read_text())
LOGITS = np.load(HERE / "adapters.npz")
SPEC = SPECS["f32"]
IDS = [5, 90, 311, 4, 222, 17, 64]


def logits(session: thimble.Session) -> NDArray[np.float32]:
    return np.array(session.logits(), dtype=np.float32)


def read_ids(model: thimble.LanguageModel, ids: list[int]) -> thimble.Session:
    session = model.session()
    session.append(ids)
    return session


def merged(spec: TinySpec, adapter: bytes, strength: float) -> bytes:
    """The model as a file whose matrices have the adapter in them."""
    data = make(spec)
    header, file = read_header(data), read_adapter(adapter)
    writer = GGUFWriter()
    for key, value in header.metadata.items():
        writer.add(key, value)
    pairs = factors(spec, file.rank)
    for t in header.tensors:
        raw = data[t.offset : t.offset + t.nbytes]
        if t.name in pairs:
            down, up = (values.astype(np.float64) for values in pairs[t.name])
            change = strength * file.alpha / file.rank * (up @ down)
            values = np.frombuffer(raw, np.float32).reshape(t.shape) + change
            raw = values.astype(np.float32).tobytes()
        writer.add_tensor(t.name, t.shape, F32, raw)
    return writer.to_bytes()


@pytest.mark.parametrize("at", range(len(RECORDED["cases"])))
def test_logits_are_those_of_llamacpp(at: int) -> None:
    case = RECORDED["cases"][at]
    spec, rank, alpha = SPECS[case["model"]], RECORDED["rank"], RECORDED["alpha"]
    data = make(spec), make_adapter(spec, rank=rank, alpha=alpha, type=case["type"])
    assert [hashlib.sha256(one).hexdigest() for one in data] == case["sha256"], (
        "not what was recorded"
    )
    model = load(data[0])
    session = model.session()
    model.adapt(data[1], case["strength"])
    found = []
    for token in RECORDED["ids"]:
        session.append([token])
        found.append(logits(session))
    ours = np.array(found)[RECORDED["positions"]]
    # An adapter of 16 bits rounds what llama.cpp multiplies it with, to 16 bits as well.
    tolerance = 5e-2 if case["type"] == "F16" else TOLERANCE[spec.tensor_type]
    assert np.abs(ours - LOGITS[str(at)]).max() < tolerance


@pytest.mark.parametrize("strength", [1.0, 0.4, -1.5])
def test_it_is_the_model_with_the_change_in_its_matrices(strength: float) -> None:
    adapter = make_adapter(SPEC, rank=7, alpha=3.5)
    exact = ReferenceModel(merged(SPEC, adapter, strength)).logits(IDS)[-1]
    model = load(make(SPEC))
    before = logits(read_ids(model, IDS))
    model.adapt(adapter, strength)
    found = logits(read_ids(model, IDS))
    assert np.abs(found - exact).max() < 2e-4
    assert np.abs(before - exact).max() > 0.5


def test_open_sessions_follow_the_strength_and_compute_again() -> None:
    model, adapter = load(make(SPEC)), make_adapter(SPEC)
    alone = logits(read_ids(model, IDS))
    first, second = read_ids(model, IDS), read_ids(model, IDS[:3])
    put = model.adapt(adapter, 0.5)
    half = logits(read_ids(model, IDS))
    assert np.array_equal(logits(first), half)
    second.append(IDS[3:])  # its first tokens were computed without the adapter
    assert np.array_equal(logits(second), half)
    put.strength = 1.25
    more = logits(read_ids(model, IDS))
    assert not np.array_equal(more, half)
    assert [c.logprob for c in second.score([9, 8])] == [
        c.logprob for c in read_ids(model, IDS).score([9, 8])
    ]
    second.rollback(len(IDS))
    assert np.array_equal(logits(second), more)
    put.strength = 0  # products have the bits of the model alone
    copy = first.fork(5)
    assert np.array_equal(logits(first), alone)
    copy.append(IDS[5:])
    assert np.array_equal(logits(copy), alone)
    put.strength = 1.25
    put.close()
    assert model.adapter is None
    assert np.array_equal(logits(first), alone)
    put.strength = 3  # it is off: nothing happens
    assert np.array_equal(logits(first), alone)


def test_a_text_goes_on_at_another_strength() -> None:
    model = load(make(SPEC))
    put = model.adapt(make_adapter(SPEC), 0.0)
    params = thimble.SamplingParams(temperature=0, max_tokens=12)
    chunks, session = [], model.session()
    for chunk in session.generate("One day", params):
        chunks.append(chunk.id)
        if len(chunks) == 6:
            put.strength = 1.0
    again = model.session()
    again.append(session.tokens[: -len(chunks[6:])])
    assert [chunk.id for chunk in again.generate([], params)][:6] == chunks[6:]


def test_one_adapter_takes_the_place_of_another() -> None:
    model = load(make(SPEC))
    some = make_adapter(SPEC, matrices=("attn_q", "ffn_down"))
    model.adapt(some)
    wanted = logits(read_ids(model, IDS))
    model.adapt(make_adapter(SPEC))
    with pytest.raises(FormatError):
        model.adapt(make_adapter(SPECS["head64"]))
    assert model.adapter is not None, "the one that was on stays on"
    other = model.adapt(read_adapter(some), 1)
    assert model.adapter is other
    assert np.array_equal(logits(read_ids(model, IDS)), wanted)
    assert 0 < other.nbytes < model.nbytes
    model.close()
    assert other.closed


def test_prepared_adapters_take_turns_and_sleeping_sessions_keep_what_they_computed() -> None:
    model = load(make(SPEC))
    alone = read_ids(model, IDS)
    wanted = logits(alone)
    one = model.prepare_adapter(make_adapter(SPEC, matrices=("attn_q", "ffn_down")))
    two = model.prepare_adapter(make_adapter(SPEC), 0.5)
    assert model.adapter is None and alone.settled() == len(IDS)
    with one.on():
        inside = read_ids(model, IDS)
        first = logits(inside)
        with two.on():
            assert model.adapter is two
            second = logits(read_ids(model, IDS))
        assert model.adapter is one and inside.settled() == len(IDS)
    assert model.adapter is None and alone.settled() == len(IDS)
    assert len({data.tobytes() for data in (wanted, first, second)}) == 3
    kept = model.adapt(make_adapter(SPEC, matrices=("attn_q", "ffn_down")))
    assert np.array_equal(logits(read_ids(model, IDS)), first)
    two.put_on()
    assert np.array_equal(logits(read_ids(model, IDS)), second)
    two.strength = 1.0
    assert not np.array_equal(logits(read_ids(model, IDS)), second)
    two.close()
    assert model.adapter is None and not kept.closed
    with pytest.raises(thimble.ThimbleError, match="is closed"):
        two.put_on()
    with pytest.raises(thimble.OptionError, match="prepared for another model"):
        load(make(SPEC)).wear(one)
    assert np.array_equal(logits(alone), wanted)
    model.close()
    assert one.closed and kept.closed


def test_members_of_an_ensemble_can_be_adapted() -> None:
    one, two = load(make(SPEC)), load(make(SPECS["f16"]))
    both = thimble.Ensemble([one, two])
    session = read_ids(both, IDS)
    before = logits(session)
    one.adapt(make_adapter(SPEC), 0.8)
    assert np.array_equal(logits(session), logits(read_ids(both, IDS)))
    assert not np.array_equal(logits(session), before)


@pytest.mark.parametrize("name", ["f32", "q8_0", "q4_0-tied", "head48"])
def test_neither_threads_nor_batches_change_a_bit(name: str) -> None:
    spec = SPECS[name]
    model = load(make(spec))
    model.adapt(make_adapter(spec, rank=9), 0.9)
    ids = [(7 * i) % 350 for i in range(39)]
    whole = logits(read_ids(model, ids))
    single = model.session()
    for token in ids:
        single.append([token])
    assert np.array_equal(logits(single), whole)
    try:
        for threads in (2, 3):
            default_kernel().call("threads", threads)
            assert np.array_equal(logits(read_ids(model, ids)), whole), threads
    finally:
        default_kernel().call("threads", 1)


def test_what_we_write_the_gguf_package_reads(tmp_path: Path) -> None:
    path = tmp_path / "a.gguf"
    pairs = factors(SPEC, 3, ("attn_v",))
    written = adapter_file(
        {
            name: ((up.shape[0], down.shape[1], 3), down.tobytes(), up.tobytes())
            for name, (down, up) in pairs.items()
        },
        alpha=6.0,
        metadata={"general.name": "small"},
    )
    written.write(path)
    reader = gguf.GGUFReader(path)
    assert {
        key: reader.fields[key].contents()
        for key in ("general.type", "general.architecture", "adapter.type", "adapter.lora.alpha")
    } == {
        "general.type": "adapter",
        "general.architecture": "llama",
        "adapter.type": "lora",
        "adapter.lora.alpha": 6.0,
    }
    assert len(reader.tensors) == 2 * len(pairs)
    for tensor in reader.tensors:
        name, _, end = tensor.name.rpartition(".")
        assert np.array_equal(tensor.data, pairs[name][end == "lora_b"])
    file = read_adapter(path)
    assert (file.name, file.alpha, file.rank) == ("small", 6.0, 3)
    assert file.n_params == sum(down.size + up.size for down, up in pairs.values())


def changed(**changes: Any) -> bytes:
    """A small adapter for SPEC with other keys (None: left out), or other tensors."""
    tensors: dict[str, tuple[tuple[int, ...], bytes]] = changes.pop("tensors", None) or {
        "blk.0.attn_q.weight.lora_a": ((2, 64), bytes(512)),
        "blk.0.attn_q.weight.lora_b": ((64, 2), bytes(512)),
    }
    keys = {
        "general.architecture": "llama",
        "general.type": "adapter",
        "adapter.type": "lora",
        "adapter.lora.alpha": 2.0,
    } | {key.replace("__", "."): value for key, value in changes.items()}
    writer = GGUFWriter()
    for key, value in keys.items():
        if value is not None:
            writer.add(key, value)
    for name, (shape, data) in tensors.items():
        writer.add_tensor(name, shape, F32, data)
    return writer.to_bytes()


def pair(
    name: str, rows: int, cols: int, rank: int = 2
) -> dict[str, tuple[tuple[int, ...], bytes]]:
    return {
        f"{name}.lora_a": ((rank, cols), bytes(4 * rank * cols)),
        f"{name}.lora_b": ((rows, rank), bytes(4 * rows * rank)),
    }


Q = "blk.0.attn_q.weight"
INFINITE = struct.pack("<64f", *[0.0] * 5, float("inf"), *[0.0] * 58)
BAD: list[tuple[bytes, type[ThimbleError], str]] = [
    (make(SPEC), FormatError, "this file is no adapter: its general.type is 'a model'"),
    (changed(general__type="mmproj"), FormatError, "its general.type is 'mmproj'"),
    (changed(adapter__type="ia3"), UnsupportedError, "of type 'ia3'; 'lora' runs here"),
    (changed(adapter__lora__alpha=float("nan")), FormatError, "adapter.lora.alpha is nan"),
    (changed(adapter__lora__alpha=-1.0), FormatError, "adapter.lora.alpha is -1.0"),
    (changed(adapter__alora__invocation_tokens=[1, 2]), UnsupportedError, "waits for certain"),
    (changed(general__architecture="gemma"), FormatError, "for the architecture 'gemma'"),
    (changed(tensors={"x.weight": ((4,), bytes(16))}), FormatError, "a tensor 'x.weight'; all"),
    (changed(tensors=dict(list(pair(Q, 64, 64).items())[:1])), FormatError, f"no {Q}.lora_b"),
    (changed(tensors=pair(Q, 64, 64) | {f"{Q}.lora_b": ((64, 3), bytes(768))}), FormatError,
     "lora_a is 2 x 64 and blk.0.attn_q.weight.lora_b is 64 x 3"),
    (changed(tensors=pair(Q, 64, 64) | {f"{Q}.lora_b": ((128,), bytes(512))}), FormatError,
     "they must be rank x columns and rows x rank"),
    (changed(tensors=pair(Q, 64, 64, 257)), UnsupportedError, "by rank 257; at most 256"),
    (changed(tensors=pair("blk.9.attn_q.weight", 64, 64)), FormatError, "for another model"),
    (changed(tensors=pair("token_embd.weight", 353, 64)), UnsupportedError, "changes 'token_embd"),
    (changed(tensors=pair(Q, 96, 64)), FormatError, "of 96 x 64; model 'tiny-f32-1' has"),
    (changed(tensors=pair(Q, 64, 64, 1) | {f"{Q}.lora_a": ((1, 64), INFINITE)}), NumericError,
     "'blk.0.attn_q.weight.lora_a' holds a number that is not finite, in row 0, column 5"),
    (make_adapter(SPEC)[:-99], FormatError, "ends"),
]  # fmt: skip


@pytest.mark.parametrize(("data", "error", "words"), BAD, ids=lambda v: str(v)[:30])
def test_a_file_that_does_not_fit_is_refused_in_words(
    data: bytes, error: type[ThimbleError], words: str
) -> None:
    model = load(make(SPEC))
    alone = logits(read_ids(model, IDS))
    with pytest.raises(error, match=words.replace(".", r"\.")):
        model.adapt(data)
    assert model.adapter is None
    assert np.array_equal(logits(read_ids(model, IDS)), alone)


@pytest.mark.parametrize("strength", [float("nan"), 101, "much", True])
def test_a_strength_that_is_none_is_refused(strength: Any) -> None:
    model = load(make(SPEC))
    with pytest.raises(OptionError, match="the strength is"):
        model.adapt(changed(), strength)
    put = model.adapt(changed())
    with pytest.raises(OptionError, match="it must be a number"):
        put.strength = strength
    assert put.strength == 1


def mutated(run: int, seed: bytes, places: list[Field]) -> bytes:
    """A good file with some numbers that lie, bits that are turned, or its end cut off."""
    rng, data = random.Random(run), bytearray(seed)
    for _ in range(rng.choice((1, 1, 2, 4))):
        pos, width = rng.choice(places)
        kind = rng.random()
        if kind < 0.6:
            old = int.from_bytes(data[pos : pos + width], "little")
            new = rng.choice(
                (0, 1, 2, old + 1, old - 1, old * 2, 1 << 31, rng.getrandbits(8 * width))
            )
            data[pos : pos + width] = (new % (1 << 8 * width)).to_bytes(width, "little")
        elif kind < 0.9:
            data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
        else:
            del data[rng.randrange(200, len(data)) :]
            break
    return bytes(data)


def test_mutated_files_are_taken_or_refused() -> None:
    seed = make_adapter(SPEC, rank=2, matrices=("attn_q", "ffn_up"))
    places, model = fields(seed), load(make(SPEC))
    session, outcomes = read_ids(model, IDS), Counter[str]()

    def outcome(work: Callable[[], object]) -> str:
        try:
            work()
        except ThimbleError as error:
            return type(error).__name__
        return "taken"

    for run in range(600):
        data = mutated(run, seed, places)
        found: list[AdapterFile] = []
        said = outcome(lambda data=data, found=found: found.append(read_adapter(data)))  # type: ignore[misc]
        if found:
            said = "read, " + outcome(lambda file=found[0]: model.adapt(file, 0.1))  # type: ignore[misc]
            outcome(session.logits)  # maybe not finite, but told
        outcomes[said] += 1
    assert {"FormatError", "UnsupportedError", "read, taken", "read, FormatError"} <= set(outcomes)
