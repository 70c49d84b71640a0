"""Models with different tokenizers, mixed byte by byte: every token sequence is counted by hand."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator

import numpy as np
import pytest
from numpy.typing import NDArray

import thimble
from tests.test_ensemble import load
from tests.tiny_models import SPECS, make
from thimble.byte_level import ByteMixture, ByteSession, Lexicon
from thimble.evaluate import story_choices
from thimble.tokenizer.bytes import END, ByteTokenizer

TEXTS = ["the ", "Mia had", "caf\u00e9", "a  b", "\u201c"]


@pytest.fixture(scope="module")
def bpe() -> Iterator[thimble.Model]:
    model = load("f32", 1)
    yield model
    model.close()


@pytest.fixture(scope="module")
def spm() -> Iterator[thimble.Model]:
    model = load("spm", 2)
    yield model
    model.close()


@pytest.fixture(params=["bpe", "spm"])
def member(request: pytest.FixtureRequest) -> thimble.Model:
    found: thimble.Model = request.getfixturevalue(request.param)
    return found


def masses(model: thimble.Model, data: bytes) -> tuple[dict[int, float], float]:
    """By trying every token sequence: what those have that cover the data and a byte more, for
    each byte, and what the text's end has."""
    tokenizer, bos = model.tokenizer, model.tokenizer.bos_id
    assert bos is not None
    lexicon = Lexicon(model)
    full = lexicon.space + data
    spelled = {
        token: tokenizer.token_bytes(token)
        for token in range(tokenizer.n_vocab)
        if not tokenizer.is_special(token)
    }
    found, end = dict.fromkeys(range(256), 0.0), 0.0
    open_ends: list[tuple[list[int], bytes, float]] = [([], b"", 1.0)]
    while open_ends:
        ids, said, p = open_ends.pop()
        if ids != lexicon.encode(said):
            continue
        session = model.session()
        session.append([bos, *ids])
        logits = np.array(session.logits(), np.float64)
        session.close()
        q = np.exp(logits - logits.max())
        q /= q.sum()
        if said == full:
            end += p * sum(q[token] for token in tokenizer.eog_ids)
        for token, tail in spelled.items():
            longer = said + tail
            if not tail or token in tokenizer.eog_ids:
                continue
            if len(longer) > len(full) and longer.startswith(full):
                found[longer[len(full)]] += p * q[token]
            elif full.startswith(longer):
                open_ends.append(([*ids, token], longer, p * q[token]))
    return found, end


def opened(*members: thimble.Model, **options: object) -> ByteSession:
    session = ByteMixture(members, **options).session()  # type: ignore[arg-type]
    assert isinstance(session, ByteSession)
    return session


@pytest.mark.parametrize("text", TEXTS)
def test_the_next_byte_is_what_all_token_sequences_say(member: thimble.Model, text: str) -> None:
    data = text.encode()
    for size in range(len(data) + 1):
        session = opened(member)
        session.append([END, *data[:size]])
        found = np.exp(np.array(session.logits(), np.float64))
        by_byte, end = masses(member, data[:size])
        wanted = np.array([*by_byte.values(), end])
        np.testing.assert_allclose(found, wanted / wanted.sum(), rtol=2e-5, atol=1e-9)
        assert found.sum() == pytest.approx(1.0, rel=1e-5)
        session.close()


def test_a_tokenizers_own_tokens_end_where_they_end(member: thimble.Model) -> None:
    lexicon = Lexicon(member)
    text = "Mia\u2019s caf\u00e9 \u2014 15 sticks \U0001f986!"
    data = lexicon.space + text.encode()
    whole = lexicon.encode(data)
    assert whole == member.tokenizer.encode(text, add_special=False)
    ends = 0
    for count in range(len(whole)):
        said = b"".join(map(lexicon.bytes_of, whole[:count]))
        ends += lexicon.encode(said) == whole[:count]
        for at in range(len(data)):
            assert b"".join(map(lexicon.bytes_of, lexicon.encode(data[:at]))) == data[:at]
    assert ends == len(whole)
    broken = lexicon.encode(lexicon.space + b"a\xff\xfeb")
    assert b"".join(map(lexicon.bytes_of, broken)) == lexicon.space + b"a\xff\xfeb"


def test_two_tokenizers_are_mixed_with_their_weights(
    bpe: thimble.Model, spm: thimble.Model
) -> None:
    both = thimble.combine([bpe, spm], weights=[3, 1])
    assert isinstance(both, ByteMixture)
    session = both.session()
    assert isinstance(session, ByteSession)
    session.append(both.tokenizer.encode("Mia had a"))
    alone = []
    for index, one in enumerate((bpe, spm)):
        single = opened(one)
        single.append(both.tokenizer.encode("Mia had a"))
        alone.append(np.exp(np.array(single.logits(), np.float64)))
        assert session.member_logits(index) == single.logits()
        single.close()

    def mixed() -> NDArray[np.float64]:
        return np.exp(np.array(session.logits(), np.float64))

    np.testing.assert_allclose(mixed(), 0.75 * alone[0] + 0.25 * alone[1], rtol=1e-5, atol=1e-9)
    both.member_weights = (0.5, 0.5)
    np.testing.assert_allclose(mixed(), 0.5 * alone[0] + 0.5 * alone[1], rtol=1e-5, atol=1e-9)
    session.close()


def test_it_writes_scores_forks_and_rolls_back(bpe: thimble.Model, spm: thimble.Model) -> None:
    both = thimble.combine([bpe, spm])
    params = thimble.SamplingParams(max_tokens=24, seed=3, temperature=0.7)
    session = both.session()
    chunks = list(session.generate("Mia had", params))
    assert all(0 <= chunk.id <= END for chunk in chunks)
    told = bytes(chunk.id for chunk in chunks if chunk.id != END)
    assert "".join(chunk.text for chunk in chunks) == told.decode("utf-8", "replace")
    given = len(both.tokenizer.encode("Mia had"))
    copy = session.fork(given)
    session.rollback(given)
    for one in (session, copy):
        assert list(one.generate([], params)) == chunks
    fresh = both.session()
    fresh.append(both.tokenizer.encode("Mia had"))
    ids = [chunk.id for chunk in chunks if chunk.finish_reason is None]
    for choice, chunk in zip(fresh.score(ids), chunks, strict=False):
        assert (choice.id, choice.logprob) == (chunk.id, chunk.logprob)
    for one in (session, copy, fresh):
        one.close()


def test_bits_per_byte_of_any_tokenizers(bpe: thimble.Model, spm: thimble.Model) -> None:
    stories = ["Mia had a little red boat.", "The duck swam."]
    each = [thimble.evaluate_text(ByteMixture([one]), stories) for one in (bpe, spm)]
    both = thimble.evaluate_text(thimble.combine([bpe, spm]), stories)
    assert both.bytes == sum(len(story) for story in stories) == each[0].bytes
    assert both.nats < max(one.nats for one in each)
    weights = thimble.fit_weights([bpe, spm], stories)
    fitted = thimble.evaluate_text(thimble.combine([bpe, spm], weights=weights), stories)
    assert fitted.nats <= min(both.nats, *(one.nats for one in each)) + 1e-4


def test_a_trained_model_loses_nothing_by_bytes() -> None:
    model = thimble.load("web/models/story.gguf")
    story = "Once upon a time, there was a little girl named Lily. She loved her red ball."
    tokens = -sum(choice.logprob for choice in story_choices(model, story))
    by_bytes = -sum(choice.logprob for choice in story_choices(ByteMixture([model]), story))
    assert tokens * 0.98 < by_bytes < tokens * 1.001
    model.close()


def test_the_smallest_context_counts(bpe: thimble.Model) -> None:
    loader = thimble.ModelLoader()
    loader.feed(make(dataclasses.replace(SPECS["spm"], seed=4, n_ctx=24)))
    short = loader.finish()
    both = thimble.combine([bpe, short])
    ids = both.tokenizer.encode("Mia had a little red boat. " * 20)
    assert 20 < both.fits(ids, 512) < len(ids)
    found = thimble.evaluate_text(both, ["Mia had a little red boat. " * 20])
    assert found.bytes == both.fits(ids, 512) - 1
    session = both.session()
    ending = {END: -math.inf}
    params = thimble.SamplingParams(max_tokens=4_000, seed=1, logit_bias=ending)
    chunks = list(session.generate("Mia", params))
    assert chunks[-1].finish_reason == "length" and len(chunks) < 400
    session.rollback(5)
    assert len(list(session.generate([], dataclasses.replace(params, max_tokens=3)))) == 3
    with pytest.raises(thimble.ContextError, match="member 'tiny"):
        session.append([ord("x")] * 100)
        session.logits()
    session.close()
    short.close()


def test_what_bytes_cannot_do_is_refused(bpe: thimble.Model, spm: thimble.Model) -> None:
    for method in ("product", "vote", "confident", "contrastive"):
        with pytest.raises(thimble.OptionError, match="only the mixture can be made, by bytes"):
            thimble.combine([bpe, spm], method=method)
    both = thimble.combine([bpe, spm])
    with pytest.raises(thimble.OptionError, match="product of distributions over different tokens"):
        both.combine_by("product")
    with pytest.raises(thimble.OptionError, match="twice"):
        thimble.combine([bpe, spm, bpe])
    session = both.session()
    with pytest.raises(thimble.OptionError, match="begins and ends once"):
        session.append([END, 65, END])
    session.close()


def test_bytes_are_a_tokenizer_too() -> None:
    tokenizer = ByteTokenizer()
    text = "caf\u00e9 \u2014"
    assert tokenizer.encode(text) == [END, *text.encode()]
    assert tokenizer.decode(tokenizer.encode(text), skip_special=True) == text
