"""Quantizing: the same bytes as the PyPI package `gguf` makes, and a file that is kept whole."""

from __future__ import annotations

import struct
from pathlib import Path

import gguf
import numpy as np
import pytest
from numpy.typing import NDArray

import thimble
import thimble.quantize
from tests.tiny_models import SPECS, TinySpec, make, random_values, write
from thimble.gguf import TensorInfo, read_header
from thimble.gguf_writer import GGUFWriter
from thimble.kernel import default_kernel
from thimble.quantize import quantize_file
from thimble.tensor_types import F32, Q4_0, Q8_0, TENSOR_TYPES, TensorType

ENCODINGS = ["F32", "F16", "BF16", "Q8_0", "Q4_0"]


def quantize(values: NDArray[np.float32], to: TensorType) -> bytes:
    """What the kernel makes of values."""
    kernel = default_kernel()
    source, target = kernel.alloc(values.nbytes, "values"), kernel.alloc(values.nbytes, "bytes")
    kernel.write(source, values.tobytes())
    assert kernel.call("quantize", to.ggml_id, source, target, values.size) == 0
    data = kernel.read(target, to.size(values.size))
    kernel.free(source)
    kernel.free(target)
    return data


def dequantize(data: bytes, of: TensorType, n: int) -> NDArray[np.float32]:
    """What the kernel reads in bytes."""
    kernel = default_kernel()
    source, target = kernel.alloc(len(data), "bytes"), kernel.alloc(4 * n, "values")
    kernel.write(source, data)
    assert kernel.call("decode", of.ggml_id, source, target, n) == 0
    values = np.frombuffer(kernel.read(target, 4 * n), np.float32)
    kernel.free(source)
    kernel.free(target)
    return values


def samples() -> NDArray[np.float32]:
    """Blocks of many kinds: smooth, on a grid (where ties are), tiny, large, zero, one-sided."""
    smooth = random_values(1, (60_000, 32), 3.0)
    # Thirds of eighths: products with a scale's reciprocal then often fall just beside a half,
    # where rounding after each step and rounding once differ.
    grid = np.round(random_values(2, (60_000, 32), 16.0)) / np.float32(3)
    exponents = np.ldexp(np.float32(1), np.arange(-29, 15, dtype=np.int32)).astype(np.float32)
    scaled = random_values(3, (44, 32), 1.0) * exponents[:, None]
    edges = np.zeros((5, 32), np.float32)
    edges[1, 7], edges[2, 7] = 1.5, -1.5
    edges[3] = np.arange(-16, 16)
    edges[4, ::2] = -2.0
    return np.concatenate([smooth, grid, scaled, edges]).astype(np.float32)


@pytest.mark.parametrize("name", ENCODINGS)
def test_bytes_are_those_of_the_gguf_package(name: str) -> None:
    values, kind = samples(), gguf.GGMLQuantizationType[name]
    expected = gguf.quants.quantize(values, kind)
    assert quantize(values, TENSOR_TYPES[kind]) == expected.tobytes()
    read = dequantize(expected.tobytes(), TENSOR_TYPES[kind], values.size)
    assert read.tobytes() == gguf.quants.dequantize(expected, kind).tobytes()


@pytest.mark.parametrize("to", [Q8_0, Q4_0])
def test_blocks_of_subnormal_values_become_zero(to: TensorType) -> None:
    # The reciprocal of their scale is infinite, and what infinity becomes as an integer would be
    # the machine's choice.
    values = np.full(64, 1e-40, np.float32)
    values[5] = 0.0
    assert not dequantize(quantize(values, to), to, 64).any()


@pytest.mark.parametrize("of", [Q8_0, Q4_0])
def test_an_infinite_scale_is_read_as_one(of: TensorType) -> None:
    data = struct.pack("<e", float("inf")) + bytes([0x11]) * (of.nbytes - 2)
    assert not np.isfinite(dequantize(data, of, 32)).any()


def tensors_of(path: Path) -> dict[str, tuple[TensorInfo, bytes]]:
    data = path.read_bytes()
    header = read_header(data, file_size=len(data))
    return {t.name: (t, data[t.offset : t.offset + t.nbytes]) for t in header.tensors}


@pytest.mark.parametrize("name", ENCODINGS[1:])
def test_a_file_is_what_gguf_would_have_written(name: str, tmp_path: Path) -> None:
    source = write(tmp_path / "f32.gguf", TinySpec(seed=3))
    report = quantize_file(source, tmp_path / "out.gguf", name.lower())
    direct = tensors_of(write(tmp_path / "direct.gguf", TinySpec(tensor_type=name, seed=3)))
    made = tensors_of(tmp_path / "out.gguf")
    assert made.keys() == direct.keys()
    for tensor, (info, data) in made.items():
        assert (info.type, info.shape) == (direct[tensor][0].type, direct[tensor][0].shape)
        assert data == direct[tensor][1], tensor
    assert report.converted == sum(len(info.shape) == 2 for info, _ in made.values())
    assert report.target_bytes == (tmp_path / "out.gguf").stat().st_size
    assert (report.misfits, report.warning) == ((), None)


def test_the_result_runs(tmp_path: Path) -> None:
    source = write(tmp_path / "f32.gguf", SPECS["spm"])
    quantize_file(source, tmp_path / "q8.gguf", "q8_0")
    before, after = thimble.load(source), thimble.load(tmp_path / "q8.gguf")
    logits = []
    for model in (before, after):
        session = model.session()
        session.append([1, 300, 301])
        logits.append(np.array(session.logits()))
    assert np.corrcoef(logits[0], logits[1])[0, 1] > 0.999
    assert after.nbytes < before.nbytes / 3


def test_all_metadata_is_kept_with_its_types(tmp_path: Path) -> None:
    writer = GGUFWriter()
    writer.add("general.architecture", "any")
    writer.add("general.alignment", 64, type="uint32")
    writer.add("general.file_type", 0, type="uint32")
    kinds = ["uint8", "int8", "uint16", "int16", "uint32", "int32", "uint64", "int64"]
    for kind in kinds:
        writer.add(f"x.{kind}", 7, type=kind)
        writer.add(f"x.list.{kind}", [7, 8], type=kind)
    writer.add("x.float64", 0.1, type="float64")
    writer.add("x.floats", [0.5, 1.5], type="float32")
    writer.add("x.bools", [True, False])
    writer.add("x.texts", ["a", "", "ü"])
    writer.add("x.none", [], type="string")
    writer.add_tensor("m", (2, 64), F32, random_values(1, (2, 64), 1.0))
    writer.write(tmp_path / "in.gguf")
    quantize_file(tmp_path / "in.gguf", tmp_path / "out.gguf", "q4_0")
    before, after = gguf.GGUFReader(tmp_path / "in.gguf"), gguf.GGUFReader(tmp_path / "out.gguf")
    new = {"general.file_type": 2, "general.quantization_version": 2}
    for name, field in before.fields.items():
        if name in new or name == "GGUF.kv_count":
            continue
        assert after.fields[name].types == field.types, name
        assert after.fields[name].contents() == field.contents(), name
    for name, value in new.items():
        assert after.fields[name].contents() == value
    assert after.alignment == 64


def test_rows_that_do_not_fill_blocks_stay(tmp_path: Path) -> None:
    writer = GGUFWriter()
    narrow, wide = random_values(1, (3, 48), 1.0), random_values(2, (3, 64), 1.0)
    writer.add_tensor("narrow", (3, 48), F32, narrow)
    writer.add_tensor("wide", (3, 64), F32, wide)
    writer.write(tmp_path / "in.gguf")
    report = quantize_file(tmp_path / "in.gguf", tmp_path / "out.gguf", "Q8_0")
    made = tensors_of(tmp_path / "out.gguf")
    assert report.misfits == ("narrow",)
    assert made["narrow"][0].type == F32 and made["narrow"][1] == narrow.tobytes()
    assert made["wide"][0].type == Q8_0


def test_large_tensors_go_in_pieces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(thimble.quantize, "PIECE", 100)
    source = write(tmp_path / "f32.gguf", TinySpec(seed=3))
    steps: list[tuple[int, int]] = []
    quantize_file(source, tmp_path / "out.gguf", "q4_0", lambda *step: steps.append(step))
    monkeypatch.undo()
    quantize_file(source, tmp_path / "whole.gguf", "q4_0")
    assert (tmp_path / "out.gguf").read_bytes() == (tmp_path / "whole.gguf").read_bytes()
    assert len(steps) > 100
    assert steps == sorted(steps) and steps[-1][0] == steps[-1][1]


@pytest.mark.parametrize(("to", "words"), [("q4_0", "rounded to Q8_0"), ("f16", "does not come")])
def test_rounding_twice_is_warned_of(to: str, words: str, tmp_path: Path) -> None:
    source = write(tmp_path / "q8.gguf", SPECS["q8_0"])
    report = quantize_file(source, tmp_path / "out.gguf", to)
    assert report.warning is not None and words in report.warning


def patched(tmp_path: Path, value: float, tensor: str, spec: TinySpec) -> Path:
    """A model in whose tensor the value at row 2, column 5 is another one."""
    data = bytearray(make(spec))
    info = next(t for t in read_header(data, file_size=len(data)).tensors if t.name == tensor)
    at = 2 * info.shape[-1] + 5 if len(info.shape) > 1 else 5
    struct.pack_into("<f", data, info.offset + 4 * at, value)
    (tmp_path / "patched.gguf").write_bytes(data)
    return tmp_path / "patched.gguf"


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
@pytest.mark.parametrize("tensor", ["blk.1.ffn_up.weight", "blk.1.ffn_norm.weight"])
def test_weights_that_are_not_finite_are_refused(value: float, tensor: str, tmp_path: Path) -> None:
    source = patched(tmp_path, value, tensor, SPECS["f32"])
    with pytest.raises(thimble.NumericError, match=rf"'{tensor}'.*column 5.*not finite"):
        quantize_file(source, tmp_path / "out.gguf", "q8_0")
    assert [p.name for p in tmp_path.iterdir()] == ["patched.gguf"], "nothing half-written is left"


@pytest.mark.parametrize("to", ["f16", "q8_0", "q4_0"])
def test_weights_that_are_too_large_are_refused(to: str, tmp_path: Path) -> None:
    source = patched(tmp_path, 1e20, "output.weight", SPECS["f32"])
    with pytest.raises(thimble.NumericError, match=r"'output.weight'.*row 2.*too large for"):
        quantize_file(source, tmp_path / "out.gguf", to)
    assert not (tmp_path / "out.gguf").exists()


def test_what_would_change_nothing_is_refused(tmp_path: Path) -> None:
    source = write(tmp_path / "q8.gguf", SPECS["q8_0"])
    with pytest.raises(thimble.OptionError, match="are that already"):
        quantize_file(source, tmp_path / "out.gguf", "q8_0")
    with pytest.raises(thimble.OptionError, match="'q2_k'; it must be one of f32"):
        quantize_file(source, tmp_path / "out.gguf", "q2_k")


def test_the_input_is_never_overwritten(tmp_path: Path) -> None:
    source = write(tmp_path / "m.gguf", SPECS["f32"])
    (tmp_path / "link.gguf").symlink_to(source)
    for name in ("m.gguf", "link.gguf"):
        with pytest.raises(thimble.OptionError, match="is the file that is read"):
            quantize_file(source, tmp_path / name, "q8_0")
    with pytest.raises(IsADirectoryError):
        quantize_file(source, tmp_path, "q8_0")
    with pytest.raises(FileNotFoundError, match="nowhere"):
        quantize_file(source, tmp_path / "nowhere" / "out.gguf", "q8_0")
    assert source.read_bytes() == make(SPECS["f32"])


def test_stories260k_becomes_q8_0(shared: Path, tmp_path: Path) -> None:
    report = quantize_file(shared / "models/stories260K.gguf", tmp_path / "q8.gguf", "q8_0")
    # Its hidden layer is 172 wide, which is no multiple of 32.
    assert report.misfits == tuple(f"blk.{i}.ffn_down.weight" for i in range(5))
    model = thimble.load(tmp_path / "q8.gguf")
    pieces = model.session().generate(
        "Once upon a time", thimble.SamplingParams(temperature=0, max_tokens=8)
    )
    assert "".join(piece.text for piece in pieces).startswith(", there was")
