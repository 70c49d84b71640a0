"""What `thimble convert` reads of others: safetensors, their index, tokenizer.json, whole folders.

Headers and texts change as the trees that they are, lengths and offsets get special values, and now
and then bytes are bytes.
"""

from __future__ import annotations

import functools
import json
import random
import struct
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from tests.fuzz.fuzz_gguf import NUMBERS
from tests.fuzz.kinds import Case, mutate_bytes, mutate_json, outcome, put
from tests.tiny_folders import CONFIGS, write_folder, write_safetensors
from tests.tiny_models import CHAT_TEMPLATE, byte_letters, random_values
from tests.tiny_tokenizers import write_tokenizer
from thimble.convert.folder import convert_folder
from thimble.convert.safetensors import read_folder
from thimble.convert.tokenizer_json import tokenizer_keys
from thimble.errors import ThimbleError
from thimble.gguf import read_file_header
from thimble.tokenizer import tokenizer_from_metadata

INDEX = "model.safetensors.index.json"
N_ROWS = 24
"""Of the small folders' embeddings."""


@functools.cache
def safetensors_seeds() -> tuple[Case, ...]:
    """One file of each encoding, and two with an index."""
    shapes = {"a": (3, 8), "b.weight": (5,), "c": (2, 2, 4), "empty": (0, 4), "one": ()}
    weights = {name: random_values(i, shape, 1.0) for i, (name, shape) in enumerate(shapes.items())}
    found = []
    with tempfile.TemporaryDirectory() as place:
        path = Path(place) / "model.safetensors"
        for stored in ("F32", "F16", "BF16"):
            write_safetensors(path, weights, stored)
            found.append({path.name: path.read_bytes()})
        parts: Case = {}
        names: dict[str, str] = {}
        for i, half in enumerate((list(shapes)[:2], list(shapes)[2:])):
            file = f"model-{i + 1:05}-of-00002.safetensors"
            write_safetensors(path, {name: weights[name] for name in half}, "F32")
            parts[file] = path.read_bytes()
            names |= dict.fromkeys(half, file)
        parts[INDEX] = json.dumps({"metadata": {"total_size": 1}, "weight_map": names}).encode()
    return (*found, parts)


def mutate_safetensors(rng: random.Random, data: bytes) -> bytes:
    """Change the header, the length that it claims, or bytes anywhere."""
    (n,) = struct.unpack_from("<Q", data)
    text, rest = data[8 : 8 + n], data[8 + n :]
    what = rng.random()
    if what < 0.55:
        text = mutate_json(rng, text)
    elif what < 0.7:
        header = json.loads(text)
        entry = header[rng.choice([name for name in header if name != "__metadata__"])]
        key = rng.choice(("shape", "data_offsets"))
        numbers = [*NUMBERS, -1, len(data), len(rest), 10**30]
        if entry[key]:
            entry[key][rng.randrange(len(entry[key]))] = rng.choice(numbers)
        else:
            entry[key] = [rng.choice(numbers) for _ in range(rng.randrange(10))]
        text = json.dumps(header).encode()
    elif what < 0.9:
        return mutate_bytes(rng, data)
    length = len(text)
    if rng.random() < 0.1:
        length = rng.choice((*NUMBERS, n + 1, n - 1, len(data))) % (1 << 64)
    return struct.pack("<Q", length) + text + rest


def make_safetensors(rng: random.Random) -> Case:
    case = dict(rng.choice(safetensors_seeds()))
    name = rng.choice(list(case))
    case[name] = (
        mutate_json(rng, case[name]) if name == INDEX else mutate_safetensors(rng, case[name])
    )
    if len(case) > 1 and rng.random() < 0.05:
        del case[rng.choice(list(case))]
    return case


def check_safetensors(case: Case, scratch: Path) -> str:
    """Read what is there, and every value of it."""
    put(case, scratch)
    try:
        for stored in read_folder(scratch).values():
            if stored.nbytes and stored.shape:
                values = stored.floats(stored.map())
                assert values.dtype == np.float32
                assert values.shape == stored.shape
        return "read"
    except ThimbleError as error:
        return outcome(error)


@functools.cache
def tokenizer_seeds() -> tuple[Case, ...]:
    """The tokenizers of the tests, and small ones of each way to cut words."""
    found = [_small(*kind) for kind in _KINDS for _ in range(4)]
    with tempfile.TemporaryDirectory() as place:
        for name in ("llama", "gemma", "xlm-roberta", "bert"):
            write_tokenizer(Path(place), name)
            found.append({path.name: path.read_bytes() for path in Path(place).iterdir()})
    return tuple(found)


_LEVEL: dict[str, Any] = {"type": "ByteLevel", "add_prefix_space": False, "use_regex": False}
_KINDS: tuple[tuple[str, dict[str, Any]], ...] = (
    ("bytes", {**_LEVEL, "use_regex": True}),
    ("bytes", {"type": "Sequence", "pretokenizers": [
        {"type": "Digits", "individual_digits": True}, {**_LEVEL, "use_regex": True}]}),
    ("bytes", {"type": "Sequence", "pretokenizers": [
        {"type": "Punctuation"}, {**_LEVEL, "use_regex": True}, {"type": "Digits"},
        {"type": "Split", "pattern": {"Regex": "[0-9][0-9][0-9]"}, "behavior": "Isolated"}]}),
    ("pieces", {"type": "Metaspace", "prepend_scheme": "first", "replacement": "▁"}),
)  # fmt: skip


def _small(kind: str, pre_tokenizer: dict[str, Any]) -> Case:
    """A tokenizer of a few tokens."""
    space = byte_letters()[32] if kind == "bytes" else "▁"
    tokens = ["<unk>", "<s>", "</s>", space, *"abcdefgh", "ab", "abc", f"{space}abc"]
    merges = [["a", "b"], ["ab", "c"], [space, "abc"]]
    model = {"type": "BPE", "unk_token": "<unk>", "byte_fallback": kind != "bytes",
             "ignore_merges": False, "vocab": {token: i for i, token in enumerate(tokens)},
             "merges": merges}  # fmt: skip
    template = {"type": "TemplateProcessing", "single": [
        {"SpecialToken": {"id": "<s>", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}],
        "special_tokens": {"<s>": {"id": "<s>", "ids": [1], "tokens": ["<s>"]}}}  # fmt: skip
    whole = {
        "version": "1.0", "normalizer": None if kind == "bytes" else {"type": "Prepend"},
        "added_tokens": [
            {"id": i, "content": tokens[i], "special": i < 3, "lstrip": False} for i in range(3)
        ],
        "pre_tokenizer": pre_tokenizer, "post_processor": template,
        "decoder": {"type": "ByteLevel"} if kind == "bytes" else None, "model": model,
    }  # fmt: skip
    settings = {"bos_token": "<s>", "eos_token": {"content": "</s>"}, "unk_token": "<unk>",
                "chat_template": [{"name": "default", "template": CHAT_TEMPLATE}]}  # fmt: skip
    config = {"bos_token_id": 1, "eos_token_id": [2, 1], "pad_token_id": None}
    files = {
        "tokenizer.json": whole, "tokenizer_config.json": settings, "config.json": config
    }  # fmt: skip
    return {name: json.dumps(value).encode() for name, value in files.items()}


def make_tokenizer(rng: random.Random) -> Case:
    case = dict(rng.choice(tokenizer_seeds()))
    name = "tokenizer.json" if rng.random() < 0.7 else rng.choice(list(case))
    case[name] = mutate_json(rng, case[name])
    if rng.random() < 0.03:
        case["chat_template.jinja"] = mutate_bytes(rng, CHAT_TEMPLATE.encode())
    return case


def check_tokenizer(case: Case, scratch: Path) -> str:
    """Read it, make a tokenizer of it, and give that a text."""
    put(case, scratch)
    few = len(case["tokenizer.json"]) < 2000  # a few tokens, which do not spell every text
    try:
        keys = tokenizer_keys(scratch, N_ROWS if few else 700)
    except ThimbleError as error:
        return outcome(error)
    try:
        tokenizer = tokenizer_from_metadata(keys)
        text = "abc </s> ab" if few else "abc </s> ab ﬁ e\u0301\r\n Ａ"
        tokenizer.decode(tokenizer.encode(text, parse_special=True))
        return "read"
    except ThimbleError as error:
        return f"read, then {outcome(error)}"


@functools.cache
def folder_seeds() -> tuple[Case, ...]:
    """A folder for each architecture, of the tests."""
    found = []
    with tempfile.TemporaryDirectory() as place:
        for i, name in enumerate(CONFIGS):
            stored = ("F32", "F16", "BF16")[i % 3]
            folder = write_folder(Path(place) / name, name, stored=stored, shards=1 + i % 2)
            found.append({path.name: path.read_bytes() for path in folder.iterdir()})
    return tuple(found)


def make_folder(rng: random.Random) -> Case:
    case = dict(rng.choice(folder_seeds()))
    for _ in range(rng.choice((1, 1, 2))):
        name = "config.json" if rng.random() < 0.4 else rng.choice(list(case))
        text = name.endswith(".json")
        change = mutate_json if text else mutate_safetensors
        # What was broken already may be no JSON any more; then it stays as it is.
        try:
            case[name] = change(rng, case[name])
        except (ValueError, RecursionError, struct.error, AttributeError, KeyError, TypeError,
                IndexError):  # fmt: skip
            case[name] = mutate_bytes(rng, case[name])
    return case


def check_folder(case: Case, scratch: Path) -> str:
    """Convert it, to a type that its size chooses."""
    put(case, scratch)
    kind = ("f16", "f32", "q8_0", "q4_0")[sum(map(len, case.values())) % 4]
    try:
        convert_folder(scratch, scratch / "out.gguf", kind)
        read_file_header(scratch / "out.gguf")
        return "converted"
    except ThimbleError as error:
        assert not (scratch / "out.gguf").exists(), "half a file is left"
        return outcome(error)
