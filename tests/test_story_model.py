"""The model that ships: its card says what the file is, and it is as good as the card says."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

import pytest

import thimble

MODELS = Path(__file__).parent.parent / "web" / "models"
FILE, CARD = MODELS / "story.gguf", MODELS / "story.md"


def test_card_names_the_file_that_is_there() -> None:
    data, card = FILE.read_bytes(), CARD.read_text(encoding="utf-8")
    assert len(data) <= 4_000_000
    assert f"{len(data):,} bytes" in card
    assert hashlib.sha256(data).hexdigest() in card
    assert f"{thimble.load(FILE).n_params:,} parameters" in card


def test_sample_on_the_card_comes_out_again() -> None:
    card = CARD.read_text(encoding="utf-8")
    (sample,) = re.findall(r"^> (.*(?:\n>.*)*)", card, re.MULTILINE)
    told = " ".join(re.sub(r"^> ?", "", sample, flags=re.MULTILINE).split())
    session = thimble.load(FILE).session()
    params = thimble.SamplingParams(temperature=0.8, seed=1, max_tokens=200)
    text = "Once upon a time"
    text += "".join(chunk.text for chunk in session.generate(text, params))
    assert " ".join(text.split()) == told


@pytest.mark.slow
def test_heldout_stories_are_predicted_better_than_by_stories260k(shared: Path) -> None:
    text = (shared / "data" / "tinystories-heldout.txt").read_text(encoding="utf-8")
    stories = thimble.split_stories(text)[:40]
    ours, theirs = (
        thimble.evaluate_text(thimble.load(path), stories).bits_per_byte
        for path in (FILE, shared / "models" / "stories260K.gguf")
    )
    assert ours < theirs - 0.05
