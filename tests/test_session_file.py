"""Sessions in files: what comes back goes on with the same bits; what is damaged is said."""

from __future__ import annotations

import functools
import hashlib
import json
import random
import struct
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import thimble
from tests.test_session import load
from tests.test_state import ids_for, with_keys
from tests.tiny_folders import converted
from tests.tiny_models import SPECS, make
from thimble import session_file

KINDS = ("q8_0-tied", "gemma3", "lfm2", "mamba2", "qwen35")
"""Rows for each position; rings; fixed sizes beside rows; fixed sizes alone."""


@functools.cache
def model_of(kind: str) -> thimble.Model:
    if kind in SPECS:
        return load(make(SPECS[kind]))
    return load(with_keys(converted(kind, "q8_0"), context_length=1024))


@pytest.fixture(scope="module", autouse=True)
def loaded() -> Iterator[None]:
    yield
    model_of.cache_clear()


@functools.cache
def saved(kind: str) -> bytes:
    """A file of a short text."""
    session = model_of(kind).session()
    session.append(ids_for(model_of(kind), 40))
    return written(session)


def written(session: thimble.Session) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        session.save(Path(folder) / "a.kv")
        assert [one.name for one in Path(folder).iterdir()] == ["a.kv"]
        return (Path(folder) / "a.kv").read_bytes()


def sealed(data: bytes) -> bytes:
    """A file with the digest of what it has become."""
    return data[:-32] + hashlib.sha256(data[:-32]).digest()


def with_header(data: bytes, **changes: Any) -> bytes:
    magic, form, length = struct.unpack_from("<4sII", data)
    header = json.loads(data[12 : 12 + length]) | changes
    said = json.dumps(header).encode()
    return sealed(struct.pack("<4sII", magic, form, len(said)) + said + data[12 + length :])


@pytest.mark.parametrize("kv_type", ["f32", "f16", "q8_0"])
@pytest.mark.parametrize("kind", KINDS)
def test_what_comes_back_computes_nothing_and_goes_on_with_the_same_bits(
    kind: str, kv_type: str, tmp_path: Path
) -> None:
    model = model_of(kind)
    count = min(model.config.n_ctx - 40, 700)
    ids = ids_for(model, count + 20)
    session = model.session(kv_type=kv_type)
    session.append(ids[:count])
    session.save(tmp_path / "a.kv")
    back = model.load_session(tmp_path / "a.kv")
    assert (back.tokens, back.n_ctx, back.kv_type) == (session.tokens, session.n_ctx, kv_type)
    assert back.settled() == count
    for one in (session, back):
        one.append(ids[count:])
    assert back.logits().tobytes() == session.logits().tobytes()
    # It can be cut, copied and saved again as any other.
    for one in (session, back):
        one.rollback(count - 9)
        one.append(ids[:3])
    assert back.fork().logits().tobytes() == session.logits().tobytes()
    back.save(tmp_path / "a.kv")
    again = model.load_session(tmp_path / "a.kv")
    assert again.logits().tobytes() == session.logits().tobytes()


def test_an_empty_session_and_tokens_that_nobody_has_computed(tmp_path: Path) -> None:
    model = model_of("q8_0-tied")
    empty = model.session(n_ctx=30)
    empty.save(tmp_path / "a.kv")
    assert (len(model.load_session(tmp_path / "a.kv")), empty.n_ctx) == (0, 30)
    empty.append([1, 2, 3])
    empty.accept(4)
    empty.save(tmp_path / "a.kv")
    back = model.load_session(tmp_path / "a.kv")
    assert (back.tokens, back.settled()) == ((1, 2, 3, 4), 3)
    assert back.logits().tobytes() == empty.logits().tobytes()


def test_whoever_cannot_be_saved_or_go_on_is_told_why(tmp_path: Path) -> None:
    path = tmp_path / "a.kv"
    path.write_bytes(saved("q8_0-tied"))
    with pytest.raises(thimble.OptionError, match="mean nothing to other weights"):
        model_of("gemma3").load_session(path)
    hooked = model_of("q8_0-tied").hooked([("blocks.0.hook_resid_post", lambda value, hook: None)])
    with pytest.raises(thimble.UnsupportedError, match="adapter or hooks on it"):
        hooked.session().save(path)
    with pytest.raises(thimble.UnsupportedError, match="adapter or hooks on it"):
        hooked.load_session(path)
    pair = thimble.Ensemble([model_of("q8_0-tied"), load(make(SPECS["q8_0-tied"]))])
    with pytest.raises(thimble.UnsupportedError, match="no insides of its own"):
        pair.session().save(path)
    assert path.read_bytes() == saved("q8_0-tied")


def test_a_file_is_written_whole_or_stays_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.kv"
    path.write_bytes(b"before")
    session = model_of("q8_0-tied").session()
    session.append([1, 2, 3])

    def full(*_: object) -> None:
        raise OSError("no space left")

    monkeypatch.setattr(session_file, "_write_segments", full)
    with pytest.raises(OSError, match="no space"):
        session.save(path)
    assert path.read_bytes() == b"before"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"tokens": 41}, "is not in the vocabulary"),
        ({"tokens": 10**9}, "tokens is 1000000000"),
        ({"computed": 41}, "computed is 41"),
        ({"computed": True}, "computed is True"),
        ({"n_ctx": 0}, "n_ctx is 0"),
        ({"kv_type": "f64"}, "keys and values are 'f64'"),
        ({"kv_type": "f16"}, "segment_bytes of state 0"),
        ({"states": []}, "does not have the"),
        ({"states": {"a": 1}}, "does not have the"),
    ],
)
def test_a_header_that_does_not_fit_the_model_is_refused(
    changes: dict[str, Any], words: str, tmp_path: Path
) -> None:
    path = tmp_path / "a.kv"
    path.write_bytes(with_header(saved("q8_0-tied"), **changes))
    with pytest.raises(thimble.FormatError, match=words):
        model_of("q8_0-tied").load_session(path)


@pytest.mark.parametrize("kind", KINDS)
def test_damage_anywhere_is_told_and_no_bytes_crash(kind: str, tmp_path: Path) -> None:
    """Each with its digest as it was, and again with the right one for what it has become."""
    model, data, draw = model_of(kind), saved(kind), random.Random(kind)
    path = tmp_path / "a.kv"
    header_end = 12 + struct.unpack_from("<I", data, 8)[0]
    for round_ in range(150):
        bad = bytearray(data)
        if round_ % 3 == 0:
            del bad[draw.randrange(len(bad)) :]
        for _ in range(draw.choice((1, 1, 5))):
            if bad:
                top = len(bad) if round_ % 2 else min(header_end, len(bad))
                bad[draw.randrange(top)] ^= 1 << draw.randrange(8)
        path.write_bytes(bad)
        with pytest.raises((thimble.FormatError, thimble.OptionError)):
            model.load_session(path).close()
        if len(bad) < 44:
            continue
        path.write_bytes(sealed(bytes(bad)))
        try:
            back = model.load_session(path)
            back.append([1])
            back.logits()
            back.close()
        except thimble.ThimbleError:
            pass
