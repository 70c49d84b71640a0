"""GGUF files of every architecture and tensor type, whole and in parts, that lie: loaded and run.

The models are tiny, their shapes drawn. What the loader takes is asked for logits, so that lies
which no check sees reach the kernels.
"""

from __future__ import annotations

import base64
import functools
import math
import random
from pathlib import Path
from typing import Any

from tests.fuzz.fuzz_gguf import Seed, fields, mutate
from tests.fuzz.kinds import Case, outcome, put
from tests.random_blocks import random_blocks
from tests.tiny_models import byte_letters, random_values
from tests.tokenizer_vocabularies import unigram_record
from thimble import load
from thimble.architecture import EXPERTS, GATED, SHARED
from thimble.architectures import ARCHITECTURES, EXACT, Architecture
from thimble.errors import ThimbleError
from thimble.gguf import read_header
from thimble.gguf_writer import GGUFWriter
from thimble.loader import ModelLoader
from thimble.model import Model
from thimble.model_config import LANES
from thimble.tensor_types import BF16, BIG, F16, F32, TENSOR_TYPES, TensorType

LETTERS = "abcdefghijklmnopqr"
TEXT = "abc abca bcab"


@functools.cache
def models() -> tuple[Seed, ...]:
    """Every architecture with several types, and every type."""
    kinds = sorted(TENSOR_TYPES.values(), key=lambda kind: kind.block)
    small = [kind for kind in kinds if kind.block < BIG]
    large = [kind for kind in kinds if kind.block == BIG]
    pairs = [(name, small[(3 * i + j) % len(small)]) for i, name in enumerate(ARCHITECTURES)
             for j in range(3)]  # fmt: skip
    pairs += [(("llama", "phi3", "gemma3")[i % 3], kind) for i, kind in enumerate(large)]
    made = [
        model(ARCHITECTURES[architecture], kind, seed)
        for seed, (architecture, kind) in enumerate(pairs)
    ]
    return tuple((data, tuple(fields(data))) for data in made)


def model(arch: Architecture, kind: TensorType, seed: int) -> bytes:
    """A good model of a few thousand weights, its shape drawn."""
    rng = random.Random(f"{arch.name} {kind.name} {seed}")
    n_kv = rng.choice((1, 2))
    heads = n_kv * rng.choice((1, 2))
    head = max(kind.block // heads, rng.choice((8, 16)), LANES)
    head = -(-head * heads // kind.block) * kind.block // heads
    numbers = {
        "block_count": rng.choice((1, 2)),
        "embedding_length": max(kind.block, 32),
        "feed_forward_length": max(kind.block, rng.choice((32, 64))),
        "context_length": rng.choice((1, 5, 40)),
        "attention.head_count": heads,
        "attention.head_count_kv": n_kv,
        "attention.key_length": head,
        "attention.value_length": head,
    }
    if arch.rope and not arch.rope_whole_head:
        numbers["rope.dimension_count"] = rng.choice((head, head // 2))
    if arch.windows:
        numbers["attention.sliding_window"] = rng.choice((1, 3, 100))
    if arch.scans:
        inner = max(kind.block, 32)
        numbers |= {"ssm.inner_size": inner, "ssm.time_step_rank": LANES, "ssm.state_size": 8}
        each = inner // LANES
        if arch.delta:
            numbers["ssm.group_count"] = rng.choice((1, 2, LANES))
            numbers["full_attention_interval"] = 2
        alone = {"attention.key_length": each, "attention.value_length": each}
        numbers |= alone if arch.only_scans else {}
    if not arch.causal:
        numbers["context_length"] = max(5, numbers["context_length"])  # the whole text at once
        numbers["dense_2_feat_out"] = max(kind.block, 32)
    if arch.experts or (arch.experts_switch and seed % 2):
        numbers |= {"expert_count": rng.choice((1, 5)), "expert_used_count": 1}
        if arch.experts_shared and rng.random() < 0.5:
            numbers["expert_shared_feed_forward_length"] = max(kind.block, 32)
    if arch.taps_key:
        numbers[arch.taps_key] = rng.choice((1, 3, 5))
    headless = [bool(arch.headless_tensors) and i % 2 == 0 for i in range(numbers["block_count"])]
    writer = GGUFWriter()
    writer.add("general.architecture", arch.name)
    lists = {"attention.head_count_kv": [0 if without else n_kv for without in headless]}
    listed = 0 < sum(headless) < len(headless) and not arch.attention_interval
    for key, value in {**numbers, **(lists if listed else {})}.items():
        writer.add(f"{arch.name}.{key}", value)
    for key, must in arch.scales.items():
        if must or seed % 2:
            writer.add(f"{arch.name}.{key}", 0.5)
    norm = "layer_norm_epsilon" if arch.layer_norm else "layer_norm_rms_epsilon"
    writer.add(f"{arch.name}.attention.{norm}", 1e-5)
    pieces = "token_types.weight" in arch.tensors and seed % 3 > 0
    unigram = seed % 4 == 1
    n_vocab = _add_vocabulary(
        writer, sentencepiece=seed % 2 == 1, pieces=pieces and not unigram, unigram=unigram
    )
    widths = _widths(numbers, n_vocab)
    shapes = dict(arch.tensors)
    for i in range(numbers["block_count"]):
        without = (listed or arch.attention_interval > 0) and headless[i]
        own = dict(arch.headless_tensors if without else arch.layer_tensors)
        if arch.experts_switch and "expert_count" in numbers:
            own = {name: own[name] for name in own if name not in GATED}
            own.update(EXPERTS)
        for name in arch.first_lacks if i == 0 else ():
            own.pop(name)
        if "expert_shared_feed_forward_length" in numbers:
            own.update(SHARED)
        shapes |= {f"blk.{i}.{name}": shape for name, shape in own.items()}
    shapes |= {name: shape for name, shape in arch.optional.items() if seed % 3}
    for i, (name, words) in enumerate(shapes.items()):
        shape = tuple(widths[word] for word in words)
        exact = name.endswith((*EXACT, "token_types.weight"))
        to = kind if len(shape) > 1 and not exact else F32
        writer.add_tensor(name, shape, to, functools.partial(iter, (_values(shape, to, i),)))
    return writer.to_bytes()


def _widths(numbers: dict[str, int], n_vocab: int) -> dict[str, int]:
    head = numbers["attention.key_length"]
    q, kv = head * numbers["attention.head_count"], head * numbers["attention.head_count_kv"]
    hidden = numbers["feed_forward_length"]
    return {
        "vocab": n_vocab, "dim": numbers["embedding_length"], "hidden": hidden, "q": q, "kv": kv,
        "qkv": q + 2 * kv, "gates": 2 * hidden, "head": head, "context": numbers["context_length"],
        "pairs": numbers.get("rope.dimension_count", head) // 2,
        "projected": numbers.get("dense_2_feat_out", 0),
        **_scan_widths(numbers),
        "types": 2,
        "experts": numbers.get("expert_count", 0),
        "shared": numbers.get("expert_shared_feed_forward_length", 0),
        "taps": numbers.get("shortconv.l_cache", numbers.get("ssm.conv_kernel", 0)),
        "gated_q": 2 * q,
        "gated_taps": 3 * numbers["embedding_length"],
    }  # fmt: skip


def _scan_widths(numbers: dict[str, int]) -> dict[str, int]:
    inner, heads = numbers.get("ssm.inner_size", 0), numbers.get("ssm.time_step_rank", 0)
    conv = inner + 2 * numbers.get("ssm.group_count", 1) * numbers.get("ssm.state_size", 0)
    return {"inner": inner, "scan_heads": heads, "conv": conv, "zxbcdt": inner + conv + heads,
            "value": inner // max(heads, 1), "one": 1}  # fmt: skip


def _add_vocabulary(
    writer: GGUFWriter, *, sentencepiece: bool, pieces: bool = False, unigram: bool = False
) -> int:
    keys: dict[str, Any]
    if pieces:
        tokens = [
            "[UNK]",
            "[CLS]",
            "[SEP]",
            *LETTERS,
            *(f"\u2581{c}" for c in LETTERS),
            "\u2581abc",
        ]
        kinds = [3] * 3 + [1] * (len(tokens) - 3)
        keys = {"model": "bert", "tokens": tokens, "token_type": kinds, "unknown_token_id": 0,
                "cls_token_id": 1, "seperator_token_id": 2}  # fmt: skip
    elif sentencepiece:
        tokens = ["<unk>", "<s>", "</s>", "\u2581", *LETTERS, "ab", "\u2581abc", "<0x0A>"]
        kinds = [2, 3, 3] + [1] * (len(tokens) - 4) + [6]
        scores = [-float(i) for i in range(len(tokens))]
        keys = {"model": "llama", "tokens": tokens, "scores": scores, "token_type": kinds}
        keys |= {"bos_token_id": 1, "eos_token_id": 2, "unknown_token_id": 0}
        if unigram:
            charsmap = unigram_record()["unknown"]["charsmap"]
            keys |= {"model": "t5", "precompiled_charsmap": [*base64.b64decode(charsmap)],
                     "add_space_prefix": True, "remove_extra_whitespaces": True}  # fmt: skip
    else:
        space = byte_letters()[32]
        tokens = [*LETTERS, space, "ab", "abc", space + "abc", "<|endoftext|>"]
        kinds = [1] * (len(tokens) - 1) + [3]
        merges = ["a b", "ab c", f"{space} abc"]
        keys = {"model": "gpt2", "pre": "gpt-2", "tokens": tokens, "merges": merges,
                "token_type": kinds, "bos_token_id": len(tokens) - 1,
                "eos_token_id": len(tokens) - 1, "add_bos_token": True}  # fmt: skip
    for key, value in keys.items():
        writer.add(f"tokenizer.ggml.{key}", value)
    return len(tokens)


def _values(shape: tuple[int, ...], kind: TensorType, seed: int) -> bytes:
    if kind.block > 1:
        return random_blocks(kind, math.prod(shape[:-1]), shape[-1], seed=seed)
    floats = random_values(seed, shape, 0.5)
    if kind == F16:
        return floats.astype("<f2").tobytes()
    if kind == BF16:
        return (floats.view("<u4") >> 16).astype("<u2").tobytes()
    return floats.tobytes() if len(shape) > 1 else (floats + 1).tobytes()


def make(rng: random.Random) -> Case:
    """A model that lies, or whose weights are not what they were."""
    if rng.random() < 0.6:
        return {"": mutate(rng, models(), other_seeds=models()[:4])}
    data = bytearray(rng.choice(models())[0])
    for _ in range(rng.choice((1, 1, 2, 40))):
        at, size = rng.randrange(len(data)), rng.choice((1, 2, 4))
        data[at : at + size] = rng.choice((rng.randbytes(size), b"\xff" * size))[: len(data) - at]
    return {"": bytes(data)}


def check(case: Case, scratch: Path) -> str:
    """Feed it in pieces, as the page does, and run what came of it."""
    data = case[""]
    loader = ModelLoader(len(data))
    rng = random.Random(len(data))
    try:
        at = 0
        while at < len(data):
            end = at + rng.choice((100, 5000, 70_000))
            loader.feed(data[at:end])
            at = end
        return _run(loader.finish())
    except ThimbleError as error:
        return outcome(error)
    finally:
        loader.close()


def _run(found: Model) -> str:
    """Ask a model that has been loaded; its memory goes, whatever happens."""
    try:
        ids = found.tokenizer.encode(TEXT)[:5]
        found.tokenizer.decode(ids)
        if not found.config.features.causal:
            short = len(found.tokenizer.encode("a")) <= found.config.n_ctx
            assert not short or len(found.embed("a")) == found.config.dim
            return "ran"
        session = found.session()
        try:
            session.append(ids[: found.config.n_ctx] or [0])
            assert len(session.logits()) == found.config.n_vocab
        finally:
            session.close()
        return "ran"
    except ThimbleError as error:
        return f"loaded, then {outcome(error)}"
    finally:
        found.close()


@functools.cache
def split_seeds() -> tuple[tuple[Seed, ...], ...]:
    """Good models in three parts."""
    return tuple(_cut(data) for data, _ in models()[:12])


def _cut(data: bytes, count: int = 3) -> tuple[Seed, ...]:
    header = read_header(data)
    parts = []
    for number in range(count):
        writer = GGUFWriter()
        for key, value in header.metadata.items() if number == 0 else ():
            writer.add(key, value)
        writer.add("split.no", number, type="uint16")
        writer.add("split.count", count, type="uint16")
        writer.add("split.tensors.count", len(header.tensors), type="int32")
        for t in header.tensors[number::count]:
            raw = data[t.offset : t.offset + t.nbytes]
            writer.add_tensor(t.name, t.shape, t.type, functools.partial(iter, (raw,)))
        parts.append(writer.to_bytes())
    return tuple((part, tuple(fields(part))) for part in parts)


def make_split(rng: random.Random) -> Case:
    """Parts of which one lies, is missing, or is another's."""
    parts = rng.choice(split_seeds())
    found = [data for data, _ in parts]
    if rng.random() < 0.9:
        at = rng.randrange(len(found))
        found[at] = mutate(rng, (parts[at],), other_seeds=parts)
    else:
        at = rng.randrange(len(found))
        found[at] = rng.choice((found[at - 1], rng.choice(split_seeds())[at][0], b"GGUF"))
    case = {f"m-{i + 1:05}-of-00003.gguf": data for i, data in enumerate(found)}
    if rng.random() < 0.02:
        del case[rng.choice(list(case)[1:])]
    return case


def check_split(case: Case, scratch: Path) -> str:
    put(case, scratch)
    try:
        return _run(load(scratch / "m-00001-of-00003.gguf"))
    except ThimbleError as error:
        return outcome(error)
