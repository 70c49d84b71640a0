"""The texts that the training panel offers."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

import pytest

from tools import corpora
from tools.corpora_stories import MEN, WOMEN
from tools.dice import Dice

DIGESTS = {
    "names": "3565e509f2b09962e9f3dcd0172c53ab23da441fe5397999916b6ada49fb9b90",
    "sums": "310c36b06d309eb491a0d3e43f87cece59c22571049541e23f63f310bfabfadc",
    "stories": "c1b8d658ede20f187b477d0971a06d76fa8b4880113335f655d8ae02e5fcd855",
}
"""Receipts of models that were trained on them name these."""


@pytest.fixture(scope="module")
def texts() -> dict[str, str]:
    return {corpus.name: corpus.text() for corpus in corpora.CORPORA}


def test_the_texts_are_the_same_for_ever(texts: dict[str, str]) -> None:
    found = {name: hashlib.sha256(text.encode()).hexdigest() for name, text in texts.items()}
    assert found == DIGESTS


def test_the_texts_are_small_enough_to_fetch_and_large_enough_to_learn(
    texts: dict[str, str],
) -> None:
    for text in texts.values():
        assert 100_000 <= len(text.encode()) <= 400_000


def test_no_line_comes_twice(texts: dict[str, str]) -> None:
    for text in texts.values():
        lines = text.splitlines()
        assert len(set(lines)) == len(lines)


def test_every_sum_is_right(texts: dict[str, str]) -> None:
    for line in texts["sums"].splitlines():
        match = re.fullmatch(r"(\d+)([-+])(\d+)=(\d+)", line)
        assert match, line
        a, b, answer = int(match[1]), int(match[3]), int(match[4])
        assert {"+": a + b, "-": a - b}[match[2]] == answer, line


def test_a_story_stays_with_its_character(texts: dict[str, str]) -> None:
    for story in texts["stories"].splitlines():
        people = {name for name in WOMEN + MEN if name in story}
        assert len(people) == 1, story
        others = r"\b(he|him|his)\b" if people <= set(WOMEN) else r"\b(she|her)\b"
        assert not re.search(others, story, re.IGNORECASE), story


def test_what_is_measured_on_was_never_learned(texts: dict[str, str], tmp_path: Path) -> None:
    measured = corpora.sample().splitlines()
    assert len(set(measured)) == corpora.N_SAMPLE
    assert not set(measured) & set(texts["stories"].splitlines())
    (tmp_path / "assets").mkdir()
    entry = corpora.add_sample(tmp_path)
    assert (tmp_path / entry["file"]).read_text(encoding="utf-8").splitlines() == measured


def test_dice_are_fair_and_shuffling_loses_nothing() -> None:
    dice = Dice(7)
    counts = [0] * 6
    for _ in range(6000):
        counts[dice.below(6)] += 1
    assert all(800 < count < 1200 for count in counts)
    assert sorted(Dice(7).shuffled(range(100))) == list(range(100))
    assert Dice(7).shuffled(range(100)) != list(range(100))


def test_the_site_lists_them_with_what_they_are(tmp_path: Path, texts: dict[str, str]) -> None:
    (tmp_path / "assets").mkdir()
    for entry in corpora.add_to_site(tmp_path):
        data = (tmp_path / entry["file"]).read_bytes()
        assert data.decode() == texts[entry["name"]]
        assert entry["bytes"] == len(data)
        assert entry["sha256"] == hashlib.sha256(data).hexdigest()
