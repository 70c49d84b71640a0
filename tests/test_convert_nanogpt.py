"""Checkpoints of nanoGPT become GGUF files with the same logits and tokens; none of them is run."""

from __future__ import annotations

import importlib
import json
import os
import pickle
import struct
import tracemalloc
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import thimble
from tests.nanogpt_files import (
    CHARACTERS,
    SIZES,
    Placed,
    Weights,
    archive,
    checkpoint,
    dumped,
    meta,
    patched,
    weights,
)
from tests.test_architectures_peers import away, logits, typical
from tests.tiny_folders import write_folder
from tests.tiny_tokenizers import n_vocab
from tests.vectors.record_nanogpt import IDS, RECORD
from thimble.cli import main
from thimble.convert.nanogpt import character_keys, convert_nanogpt
from thimble.convert.pickled import LONGEST, read_pickle
from thimble.convert.torch_file import TorchFile
from thimble.errors import FormatError, OptionError, ThimbleError, UnsupportedError
from thimble.reference import ReferenceModel

TEXT = "A cat!\n\n  It's “3” é, 中🐉"


def files(folder: Path, arrays: Weights | None = None, **changes: Any) -> tuple[Path, Path, Path]:
    """A checkpoint and its vocabulary, and where a model may go."""
    folder.mkdir(exist_ok=True)
    source, vocabulary = folder / "ckpt.pt", folder / "meta.pkl"
    source.write_bytes(checkpoint(weights(bias=False) if arrays is None else arrays, **changes))
    vocabulary.write_bytes(meta())
    return source, vocabulary, folder / "out.gguf"


def converted(folder: Path, arrays: Weights | None = None, kind: str = "f32") -> Path:
    source, vocabulary, out = files(folder, arrays)
    convert_nanogpt(source, vocabulary, out, kind)
    return out


def exact(arrays: Weights, ids: list[int]) -> NDArray[np.float64]:
    """What nanoGPT's forward computes, in double precision."""
    import math

    w = {name: a.astype(np.float64) for name, a in arrays.items()}
    n, heads = len(ids), SIZES["n_head"]
    erf = np.vectorize(math.erf)

    def linear(x: Any, name: str) -> Any:
        return x @ w[f"{name}.weight"].T + w.get(f"{name}.bias", 0.0)

    def norm(x: Any, name: str) -> Any:
        x = x - x.mean(-1, keepdims=True)
        scaled = x / np.sqrt((x * x).mean(-1, keepdims=True) + 1e-5)
        return scaled * w[f"{name}.weight"] + w.get(f"{name}.bias", 0.0)

    x = w["transformer.wte.weight"][ids] + w["transformer.wpe.weight"][:n]
    for i in range(SIZES["n_layer"]):
        layer = f"transformer.h.{i}"
        q, k, v = np.split(linear(norm(x, f"{layer}.ln_1"), f"{layer}.attn.c_attn"), 3, axis=-1)
        q, k, v = (t.reshape(n, heads, -1).transpose(1, 0, 2) for t in (q, k, v))
        scores = q @ k.transpose(0, 2, 1) / math.sqrt(q.shape[-1])
        scores[:, ~np.tri(n, dtype=bool)] = -np.inf
        p = np.exp(scores - scores.max(-1, keepdims=True))
        mixed = (p / p.sum(-1, keepdims=True) @ v).transpose(1, 0, 2).reshape(n, -1)
        x = x + linear(mixed, f"{layer}.attn.c_proj")
        h = linear(norm(x, f"{layer}.ln_2"), f"{layer}.mlp.c_fc")
        x = x + linear(h * (1 + erf(h / math.sqrt(2))) / 2, f"{layer}.mlp.c_proj")
    return norm(x, "transformer.ln_f") @ w["lm_head.weight"].T


@pytest.mark.parametrize("bias", [False, True])
def test_logits_are_nanogpts_and_nearly_llamacpps(tmp_path: Path, bias: bool) -> None:
    arrays = weights(bias=bias)
    out = converted(tmp_path, arrays)
    model = thimble.load(out)
    found = logits(model, IDS)
    model.close()
    wanted = exact(arrays, IDS)
    assert np.abs(wanted).max() > 3
    assert away(found, wanted) < 1e-4
    assert away(found, ReferenceModel(out.read_bytes()).logits(IDS)) < 1e-4
    with np.load(RECORD.with_suffix(".npz")) as peer:
        other = peer["biased" if bias else "plain"]
    assert 1e-5 < away(other, wanted) < 2e-2  # its GELU is by tanh, from a table of halves


def test_characters_are_nanogpts_and_llamacpps(tmp_path: Path) -> None:
    model = thimble.load(converted(tmp_path))
    tokenizer = model.tokenizer
    for text, ids in json.loads(RECORD.read_text())["texts"].items():
        assert tokenizer.encode(text) == ids == [CHARACTERS.index(c) for c in text]
        assert tokenizer.decode(ids) == text
    assert tokenizer.eos_id is None and not tokenizer.eog_ids
    with pytest.raises(OptionError, match="no token for the byte 0x5A of 'Z'"):
        tokenizer.encode("Z")
    model.close()


@pytest.mark.parametrize("protocol", range(2, 6))
def test_a_space_is_no_letter_of_malta(tmp_path: Path, protocol: int) -> None:
    """In which alphabet GPT-2's tokens spell it so."""
    path = tmp_path / "meta.pkl"
    path.write_bytes(meta("Ġa \nĊ", protocol))
    tokenizer = thimble.tokenizer.tokenizer_from_metadata(character_keys(path, 8))
    assert tokenizer.encode("a Ġ\nĊ a") == [1, 2, 0, 3, 4, 2, 1]
    assert tokenizer.decode([0, 2, 4, 3, 1]) == "Ġ Ċ\na"


@pytest.mark.parametrize("kind", ["F16", "BF16", "F64"])
def test_any_float_is_read_and_a_compiled_model_too(tmp_path: Path, kind: str) -> None:
    arrays = weights(bias=True, prefix="_orig_mod.")
    plain = converted(tmp_path / "plain", weights(bias=True), "q8_0")
    assert (
        converted(tmp_path / "compiled", arrays, "q8_0").read_bytes()[-4096:]
        == (plain.read_bytes()[-4096:])
    )
    storage = {"F16": "Half", "BF16": "BFloat16", "F64": "Double"}[kind]
    dtype = {"F16": "<f2", "BF16": "<u2", "F64": "<f8"}[kind]
    values = np.arange(12, dtype=np.float32).reshape(3, 4)
    raw = values.view(np.uint32) >> 16 if kind == "BF16" else values
    placed = Placed(f"{storage}Storage", "0", 12, (2, 4), 4)
    data = archive(dumped({"a": placed}), {"0": raw.astype(dtype).tobytes()})
    (tmp_path / "a.pt").write_bytes(data)
    file = TorchFile(tmp_path / "a.pt")
    stored = file.stored("a", file.tree["a"])
    assert np.array_equal(stored.floats(stored.map()), values[1:])


def test_gpt2s_tokens_come_along_and_the_rows_that_fill_up_stay(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "gpt2", "gpt2")
    (folder / "tokenizer_config.json").unlink()
    n = n_vocab("gpt2")
    source, _, out = files(tmp_path, weights(bias=True, n_vocab=n + 5))
    for vocabulary in (folder, folder / "tokenizer.json"):
        convert_nanogpt(source, vocabulary, out, "f16")
        model = thimble.load(out)
        assert model.config.n_vocab == n + 5
        assert model.tokenizer.token_text(n) == f"[PAD{n}]"
        assert (
            model.tokenizer.eos_id == model.tokenizer.encode("<|endoftext|>", parse_special=True)[0]
        )
        model.close()


def test_an_output_matrix_of_its_own_is_kept(tmp_path: Path) -> None:
    arrays = weights(bias=False)
    arrays["lm_head.weight"] = arrays["lm_head.weight"][::-1].copy()
    model = thimble.load(converted(tmp_path, arrays))
    assert not model.config.tied_output
    assert away(logits(model, IDS), exact(arrays, IDS)) < 1e-4
    model.close()


def test_the_command_converts(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source, vocabulary, out = files(tmp_path / "out-mine")
    command = ["convert", str(source), str(out), "--type", "q4_k"]
    assert main(command) == 2
    assert "nanoGPT's, give --tokenizer as well, its meta.pkl or GPT-2's" in capsys.readouterr().err
    assert main([*command, "--tokenizer", str(vocabulary)]) == 0
    said = capsys.readouterr()
    assert "a gpt2 model of 15 tensors, matrices as Q4_K or Q5_0" in said.out
    assert main(["generate", str(out), "--prompt", "\n", "--max-tokens", "9", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["model"] == "out-mine"
    assert main([*command, "--tokenizer", str(source)]) == 2
    assert "a meta.pkl, a tokenizer.json or its folder is right" in capsys.readouterr().err


def test_memory_does_not_grow_with_a_tensor(tmp_path: Path) -> None:
    wide = np.zeros((4096, 1024), np.float32)
    arrays = {"transformer.wte.weight": wide, "transformer.wpe.weight": wide}
    source, _, _ = files(tmp_path, arrays)
    tracemalloc.start()
    file = TorchFile(source)
    for name, tensor in file.tree["model"].items():
        assert file.stored(name, tensor).map().shape == wide.shape
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 1 << 20


# With torch.


def module(bias: bool) -> Any:
    """A network of nanoGPT's shape, with its names."""
    torch: Any = pytest.importorskip("torch", reason="PyTorch is not installed")
    nn: Any = importlib.import_module("torch.nn")
    dim, heads = SIZES["n_embd"], SIZES["n_head"]

    def layer() -> Any:
        parts = {
            "ln_1": nn.LayerNorm(dim, bias=bias), "ln_2": nn.LayerNorm(dim, bias=bias),
            "attn": nn.ModuleDict({"c_attn": nn.Linear(dim, 3 * dim, bias=bias),
                                   "c_proj": nn.Linear(dim, dim, bias=bias)}),
            "mlp": nn.ModuleDict({"c_fc": nn.Linear(dim, 4 * dim, bias=bias),
                                  "c_proj": nn.Linear(4 * dim, dim, bias=bias)}),
        }  # fmt: skip
        made = nn.ModuleDict(parts)
        made["attn"].register_buffer("bias", torch.ones(1, 1, 8, 8).tril())
        return made

    class Net(nn.Module):  # type: ignore[misc, unused-ignore]
        def __init__(self) -> None:
            super().__init__()
            self.transformer = nn.ModuleDict({
                "wte": nn.Embedding(len(CHARACTERS), dim),
                "wpe": nn.Embedding(SIZES["block_size"], dim),
                "h": nn.ModuleList([layer() for _ in range(SIZES["n_layer"])]),
                "ln_f": nn.LayerNorm(dim, bias=bias),
            })  # fmt: skip
            self.lm_head = nn.Linear(dim, len(CHARACTERS), bias=False)
            self.transformer["wte"].weight = self.lm_head.weight

        def forward(self, ids: Any) -> Any:
            t = self.transformer
            n = ids.shape[0]
            x = t["wte"](ids) + t["wpe"](torch.arange(n))
            for part in t["h"]:
                qkv = part["attn"]["c_attn"](part["ln_1"](x)).split(dim, dim=1)
                q, k, v = (a.view(n, heads, dim // heads).transpose(0, 1) for a in qkv)
                y = nn.functional.scaled_dot_product_attention(q, k, v, is_causal=True)
                x = x + part["attn"]["c_proj"](y.transpose(0, 1).reshape(n, dim))
                hidden = nn.functional.gelu(part["mlp"]["c_fc"](part["ln_2"](x)))
                x = x + part["mlp"]["c_proj"](hidden)
            return self.lm_head(t["ln_f"](x))

    torch.manual_seed(5)
    net = Net()
    with torch.no_grad():
        for name, parameter in net.named_parameters():
            embeds = "wte" in name or "wpe" in name
            parameter.mul_(0.5 if embeds else 2.0).add_(torch.randn_like(parameter), alpha=0.05)
    return net


@pytest.mark.slow
@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("kind", ["f32", "q8_0"])
def test_what_torch_saves_gives_torchs_logits(tmp_path: Path, bias: bool, kind: str) -> None:
    net = module(bias)
    torch: Any = importlib.import_module("torch")
    optimizer = torch.optim.AdamW(net.parameters(), lr=0.0)
    net(torch.tensor(IDS)).sum().backward()
    optimizer.step()
    source, vocabulary, out = files(tmp_path)
    checkpoint = {
        "model": net.state_dict(), "optimizer": optimizer.state_dict(),
        "model_args": {**SIZES, "bias": bias, "vocab_size": len(CHARACTERS), "dropout": 0.2},
        "iter_num": 5, "best_val_loss": torch.tensor(1.5), "config": {"compile": False},
    }  # fmt: skip
    torch.save(checkpoint, source)
    convert_nanogpt(source, vocabulary, out, kind)
    with torch.no_grad():
        wanted = net(torch.tensor(IDS)).numpy()
    model = thimble.load(out)
    found = logits(model, IDS)
    model.close()
    assert wanted.std() > 0.5
    assert away(found, wanted) < {"f32": 1e-4, "q8_0": 0.3}[kind]
    assert typical(found, wanted) < {"f32": 1e-5, "q8_0": 6e-2}[kind]


def test_torch_reads_what_these_tests_write(tmp_path: Path) -> None:
    torch: Any = pytest.importorskip("torch", reason="PyTorch is not installed")
    arrays = weights(bias=True)
    source, _, _ = files(tmp_path, arrays)
    read = torch.load(source, weights_only=True)
    assert all(np.array_equal(read["model"][name].numpy(), a) for name, a in arrays.items())


# What is wrong is said, and nothing is run.


class Bomb:
    """What runs when an ordinary reader reads it."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return os.mkdir, (str(self.path),)


@pytest.mark.parametrize("protocol", range(2, 6))
def test_a_pickle_that_calls_something_is_refused_by_its_name(
    tmp_path: Path, protocol: int
) -> None:
    source, vocabulary, out = files(tmp_path)
    bad = pickle.dumps({"itos": Bomb(tmp_path / "boom")}, protocol)
    vocabulary.write_bytes(bad)
    with pytest.raises(UnsupportedError, match=r"wants to call posix\.mkdir.*nothing may be"):
        convert_nanogpt(source, vocabulary, out)
    source.write_bytes(archive(bad, {}))
    with pytest.raises(UnsupportedError, match=r"wants to call posix\.mkdir.*OrderedDict"):
        convert_nanogpt(source, vocabulary, out)
    assert not (tmp_path / "boom").exists() and not out.exists()


BAD_PICKLES = {
    "empty": (b"", "no pickle, or is damaged"),
    "cut": (dumped({"a": [1, 2, 3]})[:-4], "no pickle, or is damaged"),
    "two": (b"\x80\x02NN.", "less or more than one value"),
    "mark": (b"\x80\x02(.", "less or more than one value"),
    "group": (b"\x80\x02]e.", "a group without a beginning"),
    "memo": (b"\x80\x02h\x07.", "no pickle, or is damaged"),
    "call": (b"\x80\x02])R.", "a call of nothing"),
    "build": (b"\x80\x02K\x01}b.", "a dict was promised"),
    "key": (b"\x80\x02}))s.", "neither a text nor a small number"),
    "float key": (dumped({0.5: 1}), "neither a text nor a small number"),
    "frozen": (pickle.dumps(frozenset({1}), 4), "has the instruction FROZENSET"),
    "bytes": (pickle.dumps({"a": b"b"}, 4), "has the instruction SHORT_BINBYTES"),
    "long": (b"\x80\x02N0" + b"N0" * (LONGEST // 2) + b"N.", "up to 1,048,576 are read"),
    "instance": (b"\x80\x02(ios\nsystem\n.", "has the instruction INST"),
    "module": (b"\x80\x04\x8c\x02os]\x93.", "no pickle, or is damaged"),
}


@pytest.mark.parametrize("name", BAD_PICKLES)
def test_what_is_no_plain_pickle_is_refused(name: str) -> None:
    data, message = BAD_PICKLES[name]
    with pytest.raises(ThimbleError, match=message):
        read_pickle(data, "it", {})


def one_tensor(**changes: Any) -> bytes:
    """A checkpoint with one wrong tensor."""
    good: dict[str, Any] = {"kind": "FloatStorage", "key": "0", "count": 64, "shape": (8, 8)}
    placed = Placed(**(good | changes))
    return archive(dumped({"model": {"a": placed}, "model_args": SIZES}), {"0": bytes(256)})


GOOD = one_tensor()
BAD_FILES = {
    "nothing": (b"", "does not end as a file of torch.save does"),
    "older": (b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19.", "before 1.6; save it again"),
    "cut": (GOOD[:-1], "does not end as"),
    "no tree": (archive(dumped({}), {}).replace(b"data.pkl", b"data.pki"), "0 trees data.pkl"),
    "compressed": (
        archive(dumped({}), {}, zipfile.ZIP_DEFLATED), "compressed or encrypted; torch.save does"
    ),
    "encrypted": (patched(GOOD, b"ckpt/data/0", 8, "<H", 1), "is compressed or encrypted"),
    "huge": (patched(GOOD, b"ckpt/data.pkl", 20, "<2I", 1 << 30, 1 << 30), "up to 1,048,576 are"),
    "elsewhere": (patched(GOOD, b"ckpt/data/0", 42, "<I", 9), "is not where"),
    "beyond": (patched(GOOD, b"ckpt/data/0", 42, "<I", 1 << 30), "is not where"),
    "list": (GOOD[:-10] + struct.pack("<I", 1 << 30) + GOOD[-6:], "list of entries should have"),
    "strides": (one_tensor(strides=(1, 8)), r"the strides \(1, 8\); rows that follow"),
    "broadcast": (one_tensor(shape=(1 << 20, 8), strides=(0, 1)), "rows that follow one another"),
    "offset": (one_tensor(offset=1), "ends at value 65 of a storage of 64"),
    "count": (one_tensor(count=1 << 40, shape=(1 << 20, 1 << 20)), "which has 256 bytes"),
    "shape": (one_tensor(shape=(-1, 8)), "whole numbers, at most 8"),
    "sides": (one_tensor(shape=(1,) * 9), "whole numbers, at most 8"),
    "rank": (one_tensor(strides=(1,)), "2 sides and 1 strides"),
    "begin": (one_tensor(offset=-1), "begins at -1 of a Storage"),
    "numbers": (one_tensor(kind="LongStorage", count=32, shape=(4, 8)), "is a LongStorage; Float"),
    "unknown": (one_tensor(kind="OddStorage"), "wants to call torch.OddStorage"),
    "key": (one_tensor(key="../1"), r"the key '\.\./1'"),
    "missing": (one_tensor(key="7"), "no entry 'ckpt/data/7'"),
    "big end": (GOOD.replace(b"little", b"\0\0\0big"), "the byte order"),
    "called": (archive(b"\x80\x02ctorch\nFloatStorage\n)R.", {}),
               "is called, which is only named"),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD_FILES)
def test_what_is_no_file_of_torchs_is_refused(tmp_path: Path, name: str) -> None:
    _, vocabulary, out = files(tmp_path)
    data, message = BAD_FILES[name]
    (tmp_path / "ckpt.pt").write_bytes(data)
    with pytest.raises(ThimbleError, match=message):
        convert_nanogpt(tmp_path / "ckpt.pt", vocabulary, out)


def test_entries_that_are_there_twice_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.pt"
    with zipfile.ZipFile(path, "w") as file, pytest.warns(UserWarning, match="Duplicate"):
        file.writestr("a/data.pkl", dumped(1))
        file.writestr("a/data.pkl", dumped(2))
    with pytest.raises(FormatError, match=r"has the entry 'a/data\.pkl' twice"):
        TorchFile(path)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model": [1]}, "is no checkpoint of nanoGPT's"),
        ({"model_args": {}}, "n_layer in model_args of 'ckpt.pt' is None"),
        ({"model_args": {**SIZES, "n_embd": 1 << 70}}, "n_embd in .* is a number of 71 bits"),
        ({"model_args": {**SIZES, "n_layer": 3}}, "no tensor 'blk.2"),
        ({"model_args": {**SIZES, "n_layer": 1}}, "has the tensor 'blk.1"),
        ({"model_args": {**SIZES, "n_embd": 64}}, "has the shape"),
        ({"model": {"a": 1}}, "has 'a', which is 1; names and tensors"),
    ],
)
def test_what_is_no_checkpoint_is_refused(
    tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    source, vocabulary, out = files(tmp_path, **changes)
    with pytest.raises(ThimbleError, match=message):
        convert_nanogpt(source, vocabulary, out)
    assert not out.exists()


def test_a_tensor_that_nanogpt_lacks_is_named(tmp_path: Path) -> None:
    arrays = weights(bias=False) | {"transformer.extra.weight": np.ones((4, 4), np.float32)}
    source, vocabulary, out = files(tmp_path, arrays)
    with pytest.raises(UnsupportedError, match=r"'transformer\.extra\.weight' is not known in nan"):
        convert_nanogpt(source, vocabulary, out)


@pytest.mark.parametrize(
    ("vocabulary", "message"),
    [
        ({"vocab_size": 3}, r"no characters by number \(itos\)"),
        ({"itos": {0: "ab"}}, "has 'ab' for number 0; single characters"),
        ({"itos": {9: "a"}}, "has the number 9; 0 to 3 are right"),
        ({"itos": {"a": "a"}}, "has the number 'a'"),
        ({"itos": dict(enumerate("abcde"))}, "has 5 characters; the embedding has 4 rows"),
        ({"itos": {0: "a", 1: "a"}}, "has a character twice"),
        ({"itos": {0: "\ud83d"}}, "half a surrogate pair, U.D83D"),
        ({"itos": {0: 7}}, "has 7 for number 0"),
    ],
)
def test_a_vocabulary_that_is_none_is_refused(
    tmp_path: Path, vocabulary: dict[str, Any], message: str
) -> None:
    path = tmp_path / "meta.pkl"
    path.write_bytes(pickle.dumps(vocabulary))
    with pytest.raises(ThimbleError, match=message):
        character_keys(path, 4)


def test_another_activation_is_refused(tmp_path: Path) -> None:
    from thimble.gguf import read_header
    from thimble.model_config import config_from_header

    header = read_header(converted(tmp_path).read_bytes())
    assert header.metadata["gpt2.hidden_activation"] == "gelu"
    header.metadata["gpt2.hidden_activation"] = "relu"
    with pytest.raises(UnsupportedError, match="hidden_activation is 'relu'; 'gelu_new' or 'gelu'"):
        config_from_header(header)
