"""The ensembles' table: its own parts, on tiny models and short texts."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest

import thimble
from bench import ensembles, ensembles_report
from bench.__main__ import main
from bench.ensembles import Score, cut, gain
from tests.tiny_models import SPECS, write
from tools.train_models import HELD_OUT_BOOKS

STORY = "Mia had a little red boat. Every day she took the boat to the pond.\n"
BREAK = "<|endoftext|>\n"


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the texts that the models are made of, in small."""
    folder = tmp_path_factory.mktemp("data")
    (folder / "tinystories-train.txt").write_text(STORY)
    stories = [STORY * 9 + f"It was day {day}.\n" for day in range(8)]
    (folder / "tinystories-heldout.txt").write_text(BREAK.join(stories))
    books = [
        "\n".join(f"Once there was a king, number {at}, on page {page}." for page in range(80))
        for at in range(max(HELD_OUT_BOOKS) + 1)
    ]
    (folder / "fairytales.txt").write_text(BREAK.join(books))
    return folder


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    for seed, name in enumerate(("a", "b", "fairy", "large"), 1):
        write(folder / f"{name}.gguf", dataclasses.replace(SPECS["f32"], seed=seed))
    (folder / "a.receipt.json").write_text(json.dumps({"core_seconds": 90.0}))
    return folder


def test_one_command_writes_numbers_and_tables(data: Path, models: Path, tmp_path: Path) -> None:
    argv = [
        "--only", "ensembles", "--models", str(models), "--data", str(data), "--members", "a,b",
        "--fairy", "fairy", "--plain", "none", "--large", "large", "--drafts", "large:a,large:none",
        "--texts", "4", "--tokens", "8", "--rounds", "2", "--out", str(tmp_path),
    ]  # fmt: skip
    assert main(argv) == 0
    found = json.loads((tmp_path / "ensembles.json").read_text())
    assert set(found) > {"stories", "mixed", "cost", "speculation"}
    by_name = {row["name"]: row for row in found["stories"]["rows"]}
    stories = thimble.split_stories((data / "tinystories-heldout.txt").read_text())[:4]
    alone = thimble.load(models / "a.gguf")
    measured = thimble.evaluate_text(alone, stories)
    assert by_name["a"]["bits_per_byte"] == pytest.approx(measured.bits_per_byte)
    assert found["stories"]["bytes"] == measured.bytes
    assert by_name["a"]["core_seconds"] == 90.0
    assert by_name["mixture of a, b"]["gain"]["low"] <= by_name["mixture of a, b"]["gain"]["high"]
    assert (
        by_name["product of a, b"]["bits_per_byte"] != by_name["mixture of a, b"]["bits_per_byte"]
    )
    fitted = found["mixed"]["rows"][-1]
    assert sum(fitted["weights"]) == pytest.approx(1.0)
    (drafted,) = found["speculation"]["rows"]
    assert len(drafted["alone"]) == 2 and drafted["told"]["drafted"] > 0
    page = (tmp_path / "ensembles.md").read_text()
    assert page == ensembles_report.page(found)
    assert "large (one model as large)" in page and "1.5" in page
    # One part alone leaves the others as they were.
    assert main([*argv, "--part", "mixed"]) == 0
    again = json.loads((tmp_path / "ensembles.json").read_text())
    assert again["cost"] == found["cost"] and again["mixed"] == found["mixed"]


def test_an_interval_holds_the_gain() -> None:
    rng = np.random.default_rng(1)
    size = np.full(200, 100.0)
    worse = Score(rng.normal(100, 10, 200), size)
    better = Score(worse.nats * 0.9 + rng.normal(0, 1, 200), size)
    found = gain(better, worse)
    assert found["low"] < found["percent"] < found["high"]
    assert found["percent"] == pytest.approx(10, abs=0.5)
    assert found["high"] - found["low"] < 2
    assert gain(worse, worse) == {"percent": 0.0, "low": 0.0, "high": 0.0}


def test_mixed_texts_are_of_both_kinds_and_never_the_same(data: Path) -> None:
    assert cut(["aaaa", "bbbb", "cccc"], 5) == ["aaaa", "bbbb"]
    learn, test = ensembles.mixed_texts(data, None)
    assert not set(learn) & set(test)
    for part in (learn, test):
        assert any("king" in one for one in part) and any("Mia" in one for one in part)


def test_what_the_command_does_not_understand(capsys: pytest.CaptureFixture[str]) -> None:
    for argv, words in ((["--drafts", "a"], "TARGET:DRAFT"), (["--rounds", "0"], "1 or more")):
        with pytest.raises(SystemExit):
            ensembles.main(argv)
        assert words in capsys.readouterr().err
