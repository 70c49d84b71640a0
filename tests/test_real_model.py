"""A model that people use, against Hugging Face's tokenizers, llama.cpp and exact arithmetic.

What llama.cpp made of it is recorded by `vectors/record_real_model.py`.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from jinja2.sandbox import ImmutableSandboxedEnvironment

import thimble
from tests.exact_llama import Agreement, Array, compare, exact_logits, log_softmax
from tests.tokenizer_vocabularies import SMOLLM2_TEXTS
from thimble.evaluate import split_stories
from tools import real_model as real

RECORDED: dict[str, Any] = json.loads(
    (Path(__file__).parent / "vectors" / "real_model.json").read_text(encoding="utf-8")
)


@pytest.fixture(scope="module")
def model(real_model: Path) -> thimble.Model:
    return thimble.load(real_model)


@pytest.fixture(scope="module")
def exact(model: thimble.Model, real_model: Path) -> Array:
    return exact_logits(real_model, model.tokenizer.encode(real.TEXT))


def hugging_faces(model: thimble.Model) -> Any:
    """The tokenizer as the library `tokenizers` runs it, made of the file's lists."""
    tokenizers = pytest.importorskip("tokenizers")
    tokens = list(model.metadata["tokenizer.ggml.tokens"])
    merges = [tuple(merge.split(" ")) for merge in model.metadata["tokenizer.ggml.merges"]]
    made = tokenizers.Tokenizer(
        tokenizers.models.BPE({token: i for i, token in enumerate(tokens)}, merges)
    )
    split = tokenizers.pre_tokenizers
    made.pre_tokenizer = split.Sequence(
        [split.Digits(individual_digits=True), split.ByteLevel(add_prefix_space=False)]
    )
    types = model.metadata["tokenizer.ggml.token_type"]
    made.add_special_tokens([token for token, type in zip(tokens, types, strict=True) if type == 3])
    return made


def test_it_is_the_file_that_was_recorded(real_model: Path) -> None:
    with real_model.open("rb") as file:
        assert hashlib.file_digest(file, "sha256").hexdigest() == real.SHA256


def test_ids_are_hugging_faces_and_llamacpps(model: thimble.Model) -> None:
    theirs = hugging_faces(model)
    for text, recorded in zip(SMOLLM2_TEXTS, RECORDED["ids"], strict=True):
        ids = model.tokenizer.encode(text)
        assert ids == theirs.encode(text).ids == recorded, ascii(text[:60])
        assert model.tokenizer.decode(ids) == text


def test_a_conversation_is_written_down_as_by_jinja(model: thimble.Model) -> None:
    template = model.chat_template
    assert template is not None
    found = template.render(real.CHAT)
    plain = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True)
    whole = plain.from_string(model.metadata["tokenizer.chat_template"])
    assert found == whole.render(messages=real.CHAT, add_generation_prompt=True)
    ids = model.tokenizer.encode(found, add_special=False, parse_special=True)
    assert ids == hugging_faces(model).encode(found).ids == RECORDED["chat"]


def test_logits_are_as_near_to_exact_ones_as_llamacpps(model: thimble.Model, exact: Array) -> None:
    """Both round activations to 8 bits, which is what the difference is."""
    session, found = model.session(), []
    for token in model.tokenizer.encode(real.TEXT):
        session.append([token])
        found.append(session.logits())
    ours, theirs = compare(exact, np.array(found, np.float64)), Agreement(**RECORDED["agreement"])
    assert min(ours.top_1, theirs.top_1) > 0.95
    assert ours.mean_kl <= 1.5 * theirs.mean_kl
    assert ours.largest <= 1.5 * theirs.largest


def test_bits_per_byte_are_those_of_exact_arithmetic(model: thimble.Model, exact: Array) -> None:
    ids = model.tokenizer.encode(real.TEXT)
    wanted = -log_softmax(exact)[np.arange(len(ids) - 1), ids[1:]].sum()
    found = -sum(choice.logprob for choice in model.session().score(ids))
    bits = [nats / np.log(2) / len(real.TEXT.encode()) for nats in (found, wanted)]
    assert bits[0] == pytest.approx(bits[1], rel=0.01) and 0.5 < bits[0] < 1.5


def test_stories_cost_what_they_cost_llamacpp(model: thimble.Model, shared: Path) -> None:
    text = (shared / "data" / "tinystories-heldout.txt").read_text(encoding="utf-8")
    found = thimble.evaluate_text(model, split_stories(text)[: RECORDED["stories"]])
    assert found.tokens == RECORDED["story_tokens"]
    assert found.nats == pytest.approx(RECORDED["story_nats"], rel=0.01)
