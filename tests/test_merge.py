"""A model and an adapter as one file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.command_line import Capture
from tests.fingerprint import load
from tests.test_adapter import IDS, logits, read_ids
from tests.tiny_adapters import make_adapter
from tests.tiny_models import SPECS, make
from thimble import cli
from thimble.adapter import read_adapter
from thimble.errors import FormatError, OptionError
from thimble.gguf import read_header
from thimble.merge import merge_file
from thimble.tensor_types import F32, Q8_0

SPEC = SPECS["f32"]


@pytest.fixture
def base(tmp_path: Path) -> Path:
    path = tmp_path / "base.gguf"
    path.write_bytes(make(SPEC))
    return path


@pytest.mark.parametrize("strength", [1.0, 0.5])
def test_the_file_is_the_model_with_its_adapter(
    base: Path, tmp_path: Path, strength: float
) -> None:
    file = read_adapter(make_adapter(SPEC))
    model = load(base.read_bytes())
    alone = logits(read_ids(model, IDS))
    model.adapt(file, strength)
    wanted = logits(read_ids(model, IDS))
    merged = tmp_path / "merged.gguf"
    assert merge_file(base, file, merged, "f32", strength=strength) == len(file.pairs)
    found = logits(read_ids(load(merged.read_bytes()), IDS))
    np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-4)
    assert np.abs(wanted - alone).max() > 0.01


def test_other_tensors_keep_their_bits_and_types_change(base: Path, tmp_path: Path) -> None:
    file = read_adapter(make_adapter(SPEC, matrices=("attn_q",)))
    for type, expected in (("f32", F32), ("q8_0", Q8_0)):
        merged = tmp_path / f"{type}.gguf"
        merge_file(base, file, merged, type)
        before, after = (path.read_bytes() for path in (base, merged))
        old, new = (read_header(data, file_size=len(data)) for data in (before, after))
        types = {t.name: t.type for t in new.tensors}
        assert types["blk.0.attn_q.weight"] == expected
        if type == "f32":
            for one, other in zip(old.tensors, new.tensors, strict=True):
                same = (
                    before[one.offset : one.offset + one.nbytes]
                    == after[other.offset : other.offset + other.nbytes]
                )
                assert same == (one.name not in file.pairs), one.name
    assert new.metadata["general.architecture"] == old.metadata["general.architecture"]


def test_an_adapter_of_another_model_is_refused(base: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.gguf"
    with pytest.raises(FormatError, match="it is for another one"):
        merge_file(base, read_adapter(make_adapter(SPECS["head64"])), out, "f32")
    with pytest.raises(OptionError, match="it must be one of"):
        merge_file(base, read_adapter(make_adapter(SPEC)), out, "q9_0")
    with pytest.raises(OptionError, match="the strength is"):
        merge_file(base, read_adapter(make_adapter(SPEC)), out, "f32", strength=float("nan"))
    with pytest.raises(OptionError, match="is the file that is read"):
        merge_file(base, read_adapter(make_adapter(SPEC)), base, "f32")
    assert not out.exists()


def test_the_command_says_what_it_wrote(base: Path, tmp_path: Path, capsys: Capture) -> None:
    adapter, out = tmp_path / "a.gguf", tmp_path / "out.gguf"
    adapter.write_bytes(make_adapter(SPEC, matrices=("attn_q", "ffn_up")))
    args = ["merge", str(base), str(adapter), str(out), "--type", "q8_0"]
    assert cli.main(args) == 0
    assert "the adapter is in 5 matrices" in capsys.readouterr().out
    assert cli.main([*args, "--strength", "1e9"]) == 2
