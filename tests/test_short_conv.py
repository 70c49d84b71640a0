"""Models some of whose layers have a short convolution in the place of attention."""

from __future__ import annotations

from dataclasses import replace

import pytest

import thimble
from tests.test_session import load
from tests.test_state import ids_for, with_keys
from tests.tiny_folders import converted
from thimble import lens
from thimble.errors import FormatError, UnsupportedError
from thimble.gguf import read_header
from thimble.model_config import config_from_header
from thimble.plan import compile_plan
from thimble.program import KEYS_VALUES, ROWS, state_forms
from thimble.state import state_bytes
from thimble.tensor_types import F16

LONG = 1100


@pytest.fixture(scope="module")
def model() -> thimble.Model:
    return load(with_keys(converted("lfm2", "q8_0"), context_length=4096))


def test_layers_are_told_apart_by_their_heads(model: thimble.Model) -> None:
    plan = compile_plan(model.config)
    kinds = [
        [op.kind for op in layer if op.kind in ("attend", "short_conv")] for layer in plan.layers
    ]
    assert kinds == [["short_conv"], ["short_conv"], ["attend"], ["short_conv"]]
    assert plan.layers[0] is plan.layers[3]
    assert [form.kind for form in state_forms(model.config)] == [ROWS, ROWS, KEYS_VALUES, ROWS]


def test_what_is_kept_of_a_convolution_is_bounded_and_changes_no_bit(model: thimble.Model) -> None:
    ids = ids_for(model, LONG)
    expected = model.run_with_hooks(ids, last_only=True).tobytes()
    session = model.session()
    session.append(ids)
    assert session.logits().tobytes() == expected
    session.rollback(LONG - 100)  # what these need is still there
    assert session._computed == LONG - 100
    session.append(ids[LONG - 100 :])
    assert session.logits().tobytes() == expected
    fork = session.fork(500)  # and what those need is not: it is computed again
    assert fork._computed == 0
    fork.append(ids[500:])
    assert fork.logits().tobytes() == expected
    sizes = [state_bytes(model.kernel, model.config, n) for n in (1024, 2048, 4096)]
    assert sizes[2] - sizes[1] == 2 * (sizes[1] - sizes[0])
    one = replace(model.config, features=replace(model.config.features, headless=(False,) * 4))
    assert sizes[2] < 0.4 * state_bytes(model.kernel, one, 4096)


def test_the_lens_sees_convolutions_beside_attention(model: thimble.Model) -> None:
    ids = ids_for(model, 12)
    names = lens.site_names(model.config)
    assert "blocks.0.conv.hook_in" in names and "blocks.2.attn.hook_pattern" in names
    assert "blocks.0.attn.hook_pattern" not in names
    parts = lens.logit_attribution(model, ids).parts
    assert [part.label for part in parts if part.kind == "conv"] == ["CONV0", "CONV1", "CONV3"]
    scores = lens.detect_heads(model, length=5, samples=1)
    assert any(scores.previous_token[2]) and not any(scores.previous_token[0])
    with pytest.raises(thimble.OptionError, match=r"no value called 'blocks\.0\.attn\.hook_z'"):
        model.run_with_hooks(ids, lens.ablate_heads(model, [(0, 0)]))


@pytest.mark.parametrize(("key", "value", "error", "words"), [
    ("attention.head_count_kv", [0, 0, 2], FormatError, r"has 3 numbers for 4 layers"),
    ("attention.head_count_kv", [0, 1, 2, 0], UnsupportedError, "differs between layers"),
    ("attention.head_count_kv", [0, 0, 0, 0], FormatError, "head_count_kv is"),
    ("attention.head_count_kv", [0, 0, 0, 2], FormatError, r"no tensor 'blk\.2\.shortconv"),
    ("shortconv.l_cache", 65, UnsupportedError, "l_cache is 65; at most 64 runs here"),
    ("shortconv.l_cache", 4, FormatError, r"'blk\.0\.shortconv\.conv\.weight' has the shape "
     r"\(64, 3\); \(64, 4\) is right"),
    ("shortconv.l_cache", 0, FormatError, "l_cache is 0; a whole number"),
])  # fmt: skip
def test_a_file_that_does_not_fit_is_refused(
    key: str, value: object, error: type[Exception], words: str
) -> None:
    header = read_header(converted("lfm2", "f32"))
    with pytest.raises(error, match=words):
        config_from_header(replace(header, metadata={**header.metadata, f"lfm2.{key}": value}))


def test_a_convolution_in_half_precision_is_refused() -> None:
    header = read_header(converted("lfm2", "f32"))
    tensors = tuple(
        replace(t, type=F16) if t.name == "blk.1.shortconv.conv.weight" else t
        for t in header.tensors
    )
    with pytest.raises(UnsupportedError, match=r"blk\.1\.shortconv.* stored as F16; F32 runs"):
        config_from_header(replace(header, tensors=tensors))
