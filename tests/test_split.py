"""A model in several files loads as the one that it was cut from."""

from __future__ import annotations

import functools
import struct
from pathlib import Path

import pytest

import thimble
from tests.command_line import Capture, run_json
from tests.tiny_models import SPECS, make
from thimble.errors import FormatError
from thimble.gguf import read_header
from thimble.gguf_writer import GGUFWriter
from thimble.hosting.models import read_folder
from thimble.quantize import quantize_file
from thimble.split import joined, joined_header


def cut(folder: Path, count: int = 3) -> list[Path]:
    """The parts of a tiny model, as llama.cpp's gguf-split names and marks them."""
    data = make(SPECS["q8_0"])
    header = read_header(data, file_size=len(data))
    paths = []
    for number in range(count):
        writer = GGUFWriter()
        if number == 0:
            for key in header.metadata:
                writer.copy(key, header, data)
            writer.add("large", 7, type="uint64")
        writer.add("split.no", number, type="uint16")
        writer.add("split.count", count, type="uint16")
        writer.add("split.tensors.count", len(header.tensors), type="int32")
        for t in header.tensors[number::count]:
            raw = data[t.offset : t.offset + t.nbytes]
            writer.add_tensor(t.name, t.shape, t.type, functools.partial(iter, (raw,)))
        paths.append(folder / f"m-{number + 1:05}-of-{count:05}.gguf")
        writer.write(paths[-1])
    return paths


def test_parts_are_the_whole_model(tmp_path: Path) -> None:
    parts = cut(tmp_path)
    (tmp_path / "m.gguf").write_bytes(make(SPECS["q8_0"]))
    steps: list[tuple[int, int]] = []
    found = thimble.load(parts[0], progress=lambda done, of: steps.append((done, of))).session()
    whole = thimble.load(tmp_path / "m.gguf").session()
    for session in (found, whole):
        session.append([1, 2, 3])
    assert found.logits() == whole.logits()
    assert steps and all(done <= of for done, of in steps)


def test_a_header_before_the_parts_makes_the_file_that_they_are(tmp_path: Path) -> None:
    parts = cut(tmp_path)
    data = [part.read_bytes() for part in parts]
    headers = [read_header(one, file_size=len(one)) for one in data]
    names, sizes = [part.name for part in parts], [len(one) for one in data]
    pieces = [one[header.data_offset :] for one, header in zip(data, headers, strict=True)]
    whole = joined(parts).to_bytes()
    assert b"".join([joined_header(names, headers, data[0], sizes), *pieces]) == whole
    with pytest.raises(FormatError, match=r"not just its tensors.*llama-gguf-split --merge"):
        joined_header(names, headers, data[0], [*sizes[:2], sizes[2] + 32])
    with pytest.raises(FormatError, match="says it is part 1 of 3"):
        joined_header(names, headers[1:] + headers[:1], data[1], sizes)


def test_what_is_wrong_with_parts_is_said(tmp_path: Path) -> None:
    parts = cut(tmp_path)
    with pytest.raises(thimble.FormatError, match=r"not the first part; load 'm-00001-of-00003"):
        thimble.load(parts[1])
    second = parts[1].read_bytes()
    parts[1].write_bytes(parts[2].read_bytes())
    with pytest.raises(
        thimble.FormatError, match=r"'m-00002-of-00003\.gguf' says it is part 2 of 3"
    ):
        thimble.load(parts[0])
    parts[1].write_bytes(second[:-64])
    with pytest.raises(thimble.FormatError, match="ends at byte"):
        thimble.load(parts[0])
    parts[1].unlink()
    with pytest.raises(thimble.FormatError, match=r"'m-00002-of-00003\.gguf' is missing"):
        thimble.load(parts[0])
    with pytest.raises(FileNotFoundError):
        thimble.load(tmp_path / "none-00001-of-00002.gguf")


def test_parts_are_quantized_as_the_whole_model(tmp_path: Path) -> None:
    parts = cut(tmp_path)
    (tmp_path / "whole.gguf").write_bytes(joined(parts).to_bytes())
    seen: list[tuple[int, int]] = []
    done = quantize_file(parts[0], tmp_path / "a.gguf", "q4_0", lambda *now: seen.append(now))
    quantize_file(tmp_path / "whole.gguf", tmp_path / "b.gguf", "q4_0")
    assert (tmp_path / "a.gguf").read_bytes() == (tmp_path / "b.gguf").read_bytes()
    assert done.source_bytes == sum(part.stat().st_size for part in parts)
    assert seen[-1][0] == seen[-1][1]
    session = thimble.load(tmp_path / "a.gguf").session()
    session.append([1, 2, 3])
    assert len(session.logits())


def test_values_keep_their_types_when_parts_become_one(tmp_path: Path) -> None:
    data = joined(cut(tmp_path)).to_bytes()
    header = read_header(data)
    begin, end = header.spans["large"]
    assert data[begin:end] == struct.pack("<IQ", 10, 7)


def test_all_parts_together_are_told_of(tmp_path: Path, capsys: Capture) -> None:
    parts = cut(tmp_path)
    facts = run_json(capsys, "info", str(parts[0]), "--json")
    assert facts["problem"] is None and facts["memory"]["weights"] > 0
    assert facts["file_bytes"] == sum(part.stat().st_size for part in parts)
    assert sum(kind["tensors"] for kind in facts["tensor_types"].values()) == sum(
        len(read_header(part.read_bytes()).tensors) for part in parts
    )


def test_a_part_under_another_name_is_not_taken_for_the_model(
    tmp_path: Path, capsys: Capture
) -> None:
    alone = cut(tmp_path)[0].rename(tmp_path / "model.gguf")
    words = "is one of 3 parts of a model; all of them are needed"
    with pytest.raises(FormatError, match=words):
        quantize_file(alone, tmp_path / "out.gguf", "q4_0")
    assert not (tmp_path / "out.gguf").exists()
    with pytest.raises(FormatError, match=words):
        thimble.load(alone)
    assert words in run_json(capsys, "info", str(alone), "--json")["problem"]
    _, problems = read_folder(tmp_path)
    assert any(words in line for line in problems)
