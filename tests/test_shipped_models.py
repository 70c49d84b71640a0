"""The models in web/models: each has a receipt, and begins again to the same bits by it.

`make models ARGS=--verify` does it from the first step to the last; each card says when that was.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from tools import train_models
from tools.fingerprint import ROOT
from tools.train_models import MODELS, SHIPPED

DATA = ROOT.parent / "shared" / "data"
STEPS = 10
"""Up to the first entry of every receipt's curve."""
MOST_BYTES = {"names": 100_000, "story-small": 1_000_000}

SHIPPED_NAMES = sorted(path.name.split(".")[0] for path in SHIPPED.glob("*.receipt.json"))

shipped = pytest.mark.parametrize("name", SHIPPED_NAMES)


def test_what_has_a_receipt_is_what_can_be_made_again() -> None:
    assert {"names", "member-1", "member-4", "member-fairy"} <= set(SHIPPED_NAMES) <= set(MODELS)


@shipped
def test_a_shipped_file_is_the_one_of_its_receipt(name: str) -> None:
    data = (SHIPPED / f"{name}.gguf").read_bytes()
    receipt = json.loads((SHIPPED / f"{name}.receipt.json").read_text(encoding="utf-8"))
    recipe = json.loads((SHIPPED / f"{name}.recipe.json").read_text(encoding="utf-8"))
    assert hashlib.sha256(data).hexdigest() == receipt["model"]["sha256"]
    assert recipe.items() <= receipt["recipe"].items()
    assert len(data) <= MOST_BYTES.get(name, len(data))
    card = (SHIPPED / f"{name}.md").read_text(encoding="utf-8")
    assert receipt["model"]["sha256"] in card and f"{len(data):,} bytes" in card


@shipped
@pytest.mark.slow
def test_a_shipped_model_trains_again_to_the_same_bits(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    if not DATA.is_dir():
        pytest.skip("the texts are not beside this checkout")
    asked = ["--data", str(DATA), "--out", str(tmp_path), "--verify", "--steps", str(STEPS), name]
    assert train_models.main(asked) == 0
    assert f"every bit agrees up to step {STEPS}" in capsys.readouterr().out


def test_a_model_that_there_is_not_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        train_models.main(["--data", "there", "storie"])
    assert "there is no model 'storie'; there are names, " in capsys.readouterr().err
