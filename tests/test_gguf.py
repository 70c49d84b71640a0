"""The GGUF reader and writer: against each other, against the PyPI package `gguf`, against lies."""

from __future__ import annotations

import struct
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.fuzz.hostile import (
    HOSTILE,
    array,
    build,
    good,
    metadata_of_good,
    pair,
    tensor,
    truncated,
)
from tests.tiny_models import SPECS, make
from thimble.errors import FormatError, OptionError, ThimbleError, UnsupportedError
from thimble.gguf import (
    ARRAY,
    GGUFHeader,
    NeedMoreData,
    read_file_header,
    read_header,
)
from thimble.gguf_writer import GGUFWriter
from thimble.tensor_types import BF16, F16, F32, Q4_0, Q8_0, TENSOR_TYPES

SHARED = Path(__file__).parents[2] / "shared"
needs_shared = pytest.mark.skipif(not SHARED.is_dir(), reason=f"there is no folder {SHARED}")
SHARED_FILES = sorted(SHARED.glob("*/*.gguf"))


def peer(data: bytes, tmp_path: Path) -> gguf.GGUFReader:
    """Read a file with the PyPI package."""
    path = tmp_path / "peer.gguf"
    path.write_bytes(data)
    return gguf.GGUFReader(path)


def assert_reads_as(header: GGUFHeader, reader: gguf.GGUFReader) -> None:
    keys = [key for key in reader.fields if not key.startswith("GGUF.")]
    assert list(header.metadata) == keys
    for key in keys:
        assert header.metadata[key] == reader.fields[key].contents(), key
    assert len(header.tensors) == len(reader.tensors)
    theirs = {t.name: t for t in reader.tensors}
    for t in header.tensors:
        assert t.shape == tuple(int(n) for n in theirs[t.name].shape)[::-1]
        assert t.type.ggml_id == theirs[t.name].tensor_type
        assert t.offset == theirs[t.name].data_offset
        assert t.nbytes == theirs[t.name].n_bytes
        assert t.n_elements == theirs[t.name].n_elements


# Reading


@pytest.mark.parametrize("name", SPECS)
def test_models_of_the_peer_read_as_the_peer_reads_them(name: str, tmp_path: Path) -> None:
    data = make(SPECS[name])
    header = read_header(data, file_size=len(data))
    assert header.version == SPECS[name].version
    assert header.file_end <= len(data) < header.file_end + header.alignment
    assert_reads_as(header, peer(data, tmp_path))


@needs_shared
@pytest.mark.parametrize("path", SHARED_FILES, ids=lambda path: path.stem)
def test_real_files_read_as_the_peer_reads_them(path: Path) -> None:
    header = read_file_header(path)
    assert header == read_header(path.read_bytes())
    if path.stat().st_size < 1_500_000:  # the peer takes seconds for a large vocabulary
        assert_reads_as(header, gguf.GGUFReader(path))


@needs_shared
def test_a_large_vocabulary_is_read_quickly() -> None:
    data = (SHARED / "models" / "llama-2-tiny-random.gguf").read_bytes()
    best = min(_seconds(lambda: read_header(data)) for _ in range(5))
    assert best < 0.25, f"{best * 1000:.0f} ms; 10 to 20 are usual"


def _seconds(function: Callable[[], object]) -> float:
    began = time.perf_counter()
    function()
    return time.perf_counter() - began


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_every_kind_of_buffer_is_read(kind: Callable[[bytes], Any]) -> None:
    header = read_header(kind(good()))
    assert header.metadata == metadata_of_good()
    assert [type(v) for v in header.metadata["many.bool"]] == [bool, bool]
    assert [(t.name, t.shape, t.type, t.nbytes) for t in header.tensors] == [
        ("a.weight", (2, 32), F32, 256),
        ("b.weight", (3, 32), Q8_0, 102),
    ]


def test_tensors_come_in_the_order_of_their_bytes() -> None:
    data = build([], [tensor("late", (8,), 0, 64), tensor("early", (8,), 0, 0)])
    header = read_header(data)
    assert [t.name for t in header.tensors] == ["early", "late"]
    assert [t.offset - header.data_offset for t in header.tensors] == [0, 64]


def test_a_file_without_tensors_need_not_be_padded() -> None:
    data = build([pair("k", 4, bytes(4))], data=0)[:41]
    header = read_header(data, file_size=len(data))
    assert (header.data_offset, header.file_end) == (64, 41)


def test_nested_arrays_are_read() -> None:
    inner = array(0, 2, b"\1\2") + array(8, 1, struct.pack("<Q", 1) + b"x")
    header = read_header(build([pair("k", ARRAY, array(ARRAY, 2, inner))]))
    assert header.metadata["k"] == [[1, 2], ["x"]]


def test_the_alignment_of_the_file_counts() -> None:
    for alignment in (8, 64, 65536):
        writer = GGUFWriter()
        writer.add("general.alignment", alignment)
        writer.add_tensor("a", (3,), F32, bytes(12))
        writer.add_tensor("b", (3,), F32, bytes(12))
        data = writer.to_bytes()
        header = read_header(data, file_size=len(data))
        assert header.alignment == alignment
        assert [t.offset % alignment for t in header.tensors] == [0, 0]
        assert header.tensors[1].offset - header.tensors[0].offset == max(alignment, 16)


# Reading in pieces


def test_a_prefix_asks_for_more_until_it_is_enough() -> None:
    data = make(SPECS["spm"])
    whole = read_header(data)
    have, calls = 1, 0
    while True:
        calls += 1
        try:
            header = read_header(data[:have], file_size=len(data))
            break
        except NeedMoreData as more:
            assert have < more.at_least <= len(data)
            have = more.at_least
    assert header == whole
    assert calls < 20
    assert have < 2 * whole.data_offset + 64


def test_without_the_files_size_the_end_is_not_checked() -> None:
    data = make(SPECS["f32"])
    header = read_header(data)
    assert read_header(data[: header.data_offset]) == header
    with pytest.raises(FormatError, match="truncated"):
        read_header(data[: header.data_offset], file_size=header.file_end - 1)


def test_more_bytes_than_the_file_has_are_a_mistake() -> None:
    with pytest.raises(OptionError, match="file_size is 10"):
        read_header(good(), file_size=10)


def test_a_file_cut_anywhere_is_refused() -> None:
    whole = read_header(good())
    for n, data in truncated():
        if n >= whole.file_end:
            continue
        with pytest.raises(FormatError, match="truncated") as caught:
            read_header(data, file_size=n)
        assert not isinstance(caught.value, NeedMoreData)
        if n < whole.data_offset - 32:
            with pytest.raises(NeedMoreData):
                read_header(data)


# Lies


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_files_are_refused_by_name(name: str) -> None:
    data, error, words = HOSTILE[name]
    began = time.perf_counter()
    with pytest.raises(ThimbleError) as caught:
        read_header(data, file_size=len(data))
    assert type(caught.value) is error
    assert words in str(caught.value)
    assert len(str(caught.value)) < 500
    assert time.perf_counter() - began < 1


def test_a_billion_keys_are_refused_without_knowing_the_files_size() -> None:
    for name in ("a billion keys", "a billion tensors", "an array of a billion strings"):
        with pytest.raises(FormatError) as caught:
            read_header(HOSTILE[name][0][:64])
        assert not isinstance(caught.value, NeedMoreData)


def test_every_encoding_that_does_not_run_is_refused_with_those_that_do() -> None:
    for kind in set(range(64)) - set(TENSOR_TYPES):
        data = build([], [tensor("some.weight", (256, 2), kind, 0)])
        with pytest.raises(UnsupportedError, match=r"'some\.weight'.*BF16, F16, F32, IQ1_M, IQ1_S"):
            read_header(data)


# Writing


def test_the_peer_reads_what_we_write(tmp_path: Path) -> None:
    data = good()
    reader = peer(data, tmp_path)
    assert_reads_as(read_header(data), reader)
    types = {key: field.types for key, field in reader.fields.items()}
    assert types["one.float64"] == [gguf.GGUFValueType.FLOAT64]
    assert types["many.uint16"] == [gguf.GGUFValueType.ARRAY, gguf.GGUFValueType.UINT16]


@pytest.mark.parametrize("name", ["f32", "q4_0-tied", "spm-q8_0"])
def test_a_model_written_again_is_the_same_to_the_peer(name: str, tmp_path: Path) -> None:
    data = make(SPECS[name])
    header = read_header(data)
    writer = GGUFWriter()
    for key, value in header.metadata.items():
        writer.add(key, value)
    for t in header.tensors:
        writer.add_tensor(t.name, t.shape, t.type, data[t.offset : t.offset + t.nbytes])
    ours, theirs = peer(writer.to_bytes(), tmp_path), peer(data, tmp_path)
    keys = [key for key in theirs.fields if not key.startswith("GGUF.")]
    for key in keys:
        assert ours.fields[key].types == theirs.fields[key].types, key
        assert ours.fields[key].contents() == theirs.fields[key].contents(), key
    for mine, other in zip(ours.tensors, theirs.tensors, strict=True):
        assert mine.name == other.name
        assert np.array_equal(mine.data, other.data)


def test_types_are_inferred() -> None:
    writer = GGUFWriter()
    cases = {"u": (1, 4), "u64": (1 << 32, 10), "i": (-1, 5), "i64": (-(1 << 31) - 1, 11),
             "f": (0.5, 6), "b": (True, 7), "s": ("x", 8)}  # fmt: skip
    lists = {"li": ([1, 2], 5), "lu64": ([1, 1 << 31], 10), "li64": ([-1, 1 << 40], 11),
             "lf": ([1, 0.5], 6), "lb": ([True], 7), "ls": (["x", ""], 8)}  # fmt: skip
    for key, (value, _) in (cases | lists).items():
        writer.add(key, value)
    data = writer.to_bytes()
    assert read_header(data).metadata == {k: v for k, (v, _) in (cases | lists).items()}
    for key, (_, kind) in cases.items():
        assert data[data.index(_name(key)) + len(_name(key))] == kind, key
    for key, (_, kind) in lists.items():
        assert data[data.index(_name(key)) + len(_name(key)) + 4] == kind, key


def _name(key: str) -> bytes:
    return struct.pack("<Q", len(key)) + key.encode()


@pytest.mark.parametrize(
    ("value", "kind"),
    [(256, "uint8"), (-1, "uint32"), (1 << 64, None), (1e39, "float32"), ("x", "int32"),
     (1, "string"), (1, "bool"), ([], None), ([1, "x"], None), ([True, 2], None), (None, None),
     ({}, None), (b"x", None), ("\ud800", None), (1, "array"), (1, "int"), ([[1]], None),
     (0.5, "int32"), (["x", None], "string")],
)  # fmt: skip
def test_values_that_no_type_holds_are_refused(value: Any, kind: str | None) -> None:
    with pytest.raises(OptionError):
        GGUFWriter().add("key", value, type=kind)


def test_what_we_would_not_read_we_do_not_write() -> None:
    writer = GGUFWriter()
    writer.add("k", 1)
    with pytest.raises(OptionError, match="added before"):
        writer.add("k", 2)
    writer.add_tensor("t", (2, 32), Q8_0, bytes(68))
    with pytest.raises(OptionError, match="added before"):
        writer.add_tensor("t", (2, 32), Q8_0, bytes(68))
    with pytest.raises(OptionError, match=r"68 bytes.*takes 34"):
        writer.add_tensor("u", (1, 32), Q8_0, bytes(68))
    for name, shape in (("n" * 65, (32,)), ("", (32,)), ("t5", (1,) * 5), ("t0", (0, 32))):
        writer = GGUFWriter()
        writer.add_tensor(name, shape, F32, bytes(4 * int(np.prod(shape))))
        with pytest.raises(FormatError):
            writer.to_bytes()
    with pytest.raises(FormatError, match="alignment is 0"):
        GGUFWriter().add("general.alignment", 0)


def test_chunks_arrays_and_buffers_write_the_same_bytes() -> None:
    values = np.arange(64, dtype=np.float32).reshape(2, 32)
    raw = values.tobytes()
    files = set()
    for data in (
        raw,
        memoryview(raw),
        values,
        lambda: (raw[:7], bytearray(raw[7:])),
        lambda: iter(values),
    ):
        writer = GGUFWriter()
        writer.add_tensor("t", (2, 32), F32, data)
        files |= {writer.to_bytes(), writer.to_bytes()}
    assert len(files) == 1


def test_chunks_of_another_size_are_refused() -> None:
    writer = GGUFWriter()
    writer.add_tensor("t", (2, 32), F32, lambda: [bytes(255)])
    with pytest.raises(OptionError, match=r"255 bytes.*takes 256"):
        writer.to_bytes()


def test_a_file_is_written_whole_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "model.gguf"
    writer = GGUFWriter()
    writer.add_tensor("t", (32,), F16, bytes(64))
    writer.write(path)
    assert path.read_bytes() == writer.to_bytes()
    before = path.read_bytes()

    def fails() -> Any:
        yield bytes(64)
        raise KeyboardInterrupt

    writer.add_tensor("u", (64,), BF16, fails)
    with pytest.raises(KeyboardInterrupt):
        writer.write(path)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


# Both, with everything that the format allows

_f32 = st.floats(width=32, allow_nan=False)
_text = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
_numbers = {
    **{f"uint{n}": st.integers(0, (1 << n) - 1) for n in (8, 16, 32, 64)},
    **{f"int{n}": st.integers(-(1 << n - 1), (1 << n - 1) - 1) for n in (8, 16, 32, 64)},
    "float32": _f32, "float64": st.floats(allow_nan=False), "bool": st.booleans(), "string": _text,
}  # fmt: skip
_pair = st.sampled_from(sorted(_numbers)).flatmap(
    lambda kind: st.tuples(st.just(kind), _numbers[kind] | st.lists(_numbers[kind], max_size=5))
)
_key = _text.filter(lambda key: key not in ("", "general.alignment"))
_tensor = st.tuples(
    st.sampled_from([F32, F16, BF16, Q8_0, Q4_0]),
    st.lists(st.integers(1, 3), max_size=3),
    st.integers(1, 2),
    st.randoms(use_true_random=False),
)
_names = st.text(min_size=1, max_size=16)


@settings(max_examples=150, deadline=None)
@given(
    pairs=st.dictionaries(_key, _pair, max_size=8),
    tensors=st.dictionaries(
        _names.filter(lambda name: _encodable(name) and len(name.encode()) <= 64),
        _tensor,
        max_size=5,
    ),
    alignment=st.sampled_from([None, 8, 32, 256]),
)
@pytest.mark.slow
def test_what_is_written_is_read(
    pairs: dict[str, Any], tensors: dict[str, Any], alignment: int | None
) -> None:
    writer = GGUFWriter()
    wanted: dict[str, Any] = {key: value for key, (_, value) in pairs.items()}
    for key, (kind, value) in pairs.items():
        writer.add(key, value, type=kind)
    if alignment:
        writer.add("general.alignment", alignment)
        wanted["general.alignment"] = alignment
    contents: dict[str, tuple[Any, tuple[int, ...], bytes]] = {}
    for name, (kind, rows, blocks, rng) in tensors.items():
        shape = (*rows, blocks * kind.block)
        raw = rng.randbytes(kind.size(int(np.prod(shape))))
        contents[name] = (kind, shape, raw)
        writer.add_tensor(name, shape, kind, raw)
    data = writer.to_bytes()
    assert data == writer.to_bytes()
    header = read_header(data, file_size=len(data))
    assert header.metadata == wanted
    assert header.alignment == (alignment or 32)
    assert [t.name for t in header.tensors] == list(tensors)
    for t in header.tensors:
        assert (t.type, t.shape, data[t.offset : t.offset + t.nbytes]) == contents[t.name]
    with tempfile.TemporaryDirectory() as folder:
        writer.write(Path(folder) / "m.gguf")
        assert read_file_header(Path(folder) / "m.gguf") == header


def _encodable(text: str) -> bool:
    return not any(0xD800 <= ord(letter) <= 0xDFFF for letter in text)
