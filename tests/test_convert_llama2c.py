"""Models of llama2.c become GGUF files with the same weights and the same tokens."""

from __future__ import annotations

import random
import struct
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

import thimble
from tests.conftest import SHARED
from thimble.cli import main
from thimble.convert.llama2c import (
    HEADER,
    MAGIC,
    Shape,
    _order,
    convert_llama2c,
    read_shape,
    tokenizer_keys,
)
from thimble.dequantize import dequantize
from thimble.errors import FormatError, OptionError, ThimbleError, UnsupportedError
from thimble.gguf import GGUFHeader, read_header

MODEL, TOKENIZER = SHARED / "models" / "stories260K.bin", SHARED / "models" / "tok512.bin"
PEER = SHARED / "models" / "stories260K.gguf"
SMALL = {"dim": 32, "hidden": 64, "n_layers": 2, "n_heads": 4, "n_kv_heads": 2, "n_vocab": 300}
TEXT = "Once upon a time, Zoë saw 3 dragons.\n\n“Hello!” 🐉"


def tensors(path: Path) -> tuple[GGUFHeader, dict[str, NDArray[np.float32]]]:
    data = path.read_bytes()
    header = read_header(data)
    return header, {
        t.name: dequantize(data[t.offset : t.offset + t.nbytes], t.type, t.shape)
        for t in header.tensors
    }


def small_model(version: int, *, tied: bool = True, group: int = 16) -> tuple[bytes, Shape]:
    """Random weights in one of llama2.c's layouts."""
    shape = Shape(version, **SMALL, n_ctx=24, tied=tied, group=group if version == 2 else 0)
    n_vocab = -shape.n_vocab if version == 0 and not tied else shape.n_vocab
    head = struct.pack(
        "<7i", shape.dim, shape.hidden, shape.n_layers, shape.n_heads, shape.n_kv_heads, n_vocab, 24
    )
    if version:
        head = struct.pack("<Ii", MAGIC, version) + head + bytes([tied])
        head += struct.pack("<i", group) if version == 2 else b""
        head = head.ljust(HEADER, b"\0")
    rng = np.random.default_rng(1)
    parts = [head]
    for _, height, width, layers, quantized in _order(shape):
        for _ in range(max(layers, 1)):
            n = height * width
            if quantized:
                parts.append(rng.integers(-127, 128, n, dtype=np.int8).tobytes())
                n //= group
            parts.append(rng.normal(0, 0.05, n).astype("<f4").tobytes())
    return b"".join(parts), shape


def small_tokenizer(n_vocab: int) -> bytes:
    words = ["<unk>", "\n<s>\n", "\n</s>\n", *(f"<0x{byte:02X}>" for byte in range(256))]
    words += [" " + chr(97 + i) if i < 26 else chr(71 + i) for i in range(n_vocab - len(words))]
    coded = (word.encode() for word in words)
    return struct.pack("<i", 6) + b"".join(
        struct.pack("<fi", -float(i), len(word)) + word for i, word in enumerate(coded)
    )


def write_small(folder: Path, version: int, **options: bool) -> tuple[Path, Path]:
    data, shape = small_model(version, **options)
    (folder / "model.bin").write_bytes(data)
    (folder / "tok.bin").write_bytes(small_tokenizer(shape.n_vocab))
    return folder / "model.bin", folder / "tok.bin"


def test_a_published_model_has_the_weights_and_tokens_of_its_gguf(tmp_path: Path) -> None:
    done = convert_llama2c(MODEL, TOKENIZER, tmp_path / "out.gguf", "f32")
    (ours, made), (_, peer) = tensors(tmp_path / "out.gguf"), tensors(PEER)
    assert done.n_tensors == len(made)
    assert made.keys() == peer.keys() - {"output.weight"}  # the peer's file holds it twice
    assert all(np.array_equal(made[name], peer[name]) for name in made)
    assert ours.metadata["llama.context_length"] == 512
    models = [thimble.load(path) for path in (tmp_path / "out.gguf", PEER)]
    mine, theirs = (model.tokenizer for model in models)
    ids = mine.encode(TEXT)
    assert ids == theirs.encode(TEXT)
    assert mine.decode(ids) == theirs.decode(ids)
    logits = []
    for model in models:
        session = model.session()
        session.append(ids)
        logits.append(session.logits())
        session.close()
        model.close()
    assert logits[0] == logits[1]


@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize("version", [0, 1, 2])
def test_every_version_keeps_every_weight(version: int, tied: bool, tmp_path: Path) -> None:
    model, tokenizer = write_small(tmp_path, version, tied=tied)
    convert_llama2c(model, tokenizer, tmp_path / "out.gguf", "f32")
    _, made = tensors(tmp_path / "out.gguf")
    data, shape = small_model(version, tied=tied)
    at = HEADER if version else 28
    for key, height, width, layers, quantized in _order(shape):
        for layer in range(max(layers, 1)):
            n = height * width
            if quantized:
                q = np.frombuffer(data, np.int8, n, at).astype(np.float32).reshape(-1, 16)
                scales = np.frombuffer(data, "<f4", n // 16, at + n)
                values, at = (q * scales[:, None]).reshape(height, width), at + n + n // 4
            else:
                values, at = np.frombuffer(data, "<f4", n, at).reshape(height, width), at + 4 * n
            if key:
                found = made[f"blk.{layer}.{key}" if layers else key]
                assert np.array_equal(found.reshape(height, width), values)
    assert at == len(data)
    assert ("output.weight" in made) is not tied


def test_the_command_converts(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model, tokenizer = write_small(tmp_path, 1)
    out = str(tmp_path / "out.gguf")
    command = ["convert", str(model), out, "--type", "q8_0"]
    assert main(command) == 2
    assert "give --tokenizer as well" in capsys.readouterr().err
    assert main([*command, "--tokenizer", str(tokenizer)]) == 0
    assert "a llama model of 20 tensors, matrices as Q8_0" in capsys.readouterr().out
    assert main(["generate", out, "--prompt", "a", "--max-tokens", "4"]) == 0


def test_what_is_wrong_is_said(tmp_path: Path) -> None:
    model, tokenizer = write_small(tmp_path, 2)
    out = tmp_path / "out.gguf"
    whole = model.read_bytes()
    with pytest.raises(OptionError, match=r"'q9_9'.*f16"):
        convert_llama2c(model, tokenizer, out, "q9_9")
    with pytest.raises(UnsupportedError, match=r"version 7 .* 0, 1 and 2"):
        read_shape(struct.pack("<Ii", MAGIC, 7) + bytes(HEADER))
    with pytest.raises(FormatError, match="20 bytes are no model"):
        read_shape(bytes(20))
    with pytest.raises(FormatError, match="vocab_size is 0"):
        read_shape(struct.pack("<7i", 32, 64, 2, 4, 2, 0, 24))
    model.write_bytes(whole[:-1])
    with pytest.raises(FormatError, match=r"inside 'ffn_up\.weight'"):
        convert_llama2c(model, tokenizer, out)
    data = tokenizer.read_bytes()
    for broken, words in (
        (data[:-1], "token 299 has"),
        (data[:100], "ends after .* tokens; the model has 300"),
        (data + b"more", "tokens behind the 300"),
    ):
        with pytest.raises(FormatError, match=words):
            tokenizer_keys(broken, 300)
    assert not out.exists()


@pytest.mark.parametrize("version", [0, 1, 2])
def test_mutated_files_are_converted_or_refused(version: int, tmp_path: Path) -> None:
    model, tokenizer = write_small(tmp_path, version)
    files = {path: path.read_bytes() for path in (model, tokenizer)}
    dice = random.Random(version)
    refused = 0
    for _ in range(150):
        for path, whole in files.items():
            data = bytearray(whole)
            for _ in range(dice.randrange(1, 4)):
                data[dice.randrange(min(len(data), 400))] = dice.randrange(256)
            path.write_bytes(data[: dice.choice([len(data), dice.randrange(len(data))])])
        try:
            convert_llama2c(model, tokenizer, tmp_path / "out.gguf", "f32")
        except ThimbleError:
            refused += 1
    assert refused > 50
