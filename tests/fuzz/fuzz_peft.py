"""Adapters of PEFT's that lie: their settings, their tensors; converted, and taken back."""

from __future__ import annotations

import functools
import json
import random
import tempfile
from pathlib import Path

from tests.fuzz.fuzz_folder import mutate_safetensors
from tests.fuzz.kinds import Case, mutate_json, outcome, put
from tests.tiny_folders import recorded
from tests.tiny_peft import CASES, write_adapter
from thimble.convert.peft import convert_peft, write_peft
from thimble.errors import ThimbleError

CONFIG, WEIGHTS = "adapter_config.json", "adapter_model.safetensors"


@functools.cache
def seeds() -> tuple[Case, ...]:
    """An adapter of each kind, with the config.json of its model."""
    found = []
    with tempfile.TemporaryDirectory() as place:
        for i, (name, (base, _)) in enumerate(CASES.items()):
            folder = write_adapter(Path(place) / name, name, stored=("F32", "F16", "BF16")[i % 3])
            case = {path.name: path.read_bytes() for path in folder.iterdir()}
            case["config.json"] = json.dumps(recorded()["models"][base]["config"]).encode()
            found.append(case)
    return tuple(found)


def make(rng: random.Random) -> Case:
    case = dict(rng.choice(seeds()))
    name = rng.choice((CONFIG, CONFIG, WEIGHTS, WEIGHTS, "config.json"))
    change = mutate_safetensors if name == WEIGHTS else mutate_json
    case[name] = change(rng, case[name])
    return case


def check(case: Case, scratch: Path) -> str:
    """Convert it, and what comes of that."""
    put(case, scratch)
    target = scratch / "out.gguf"
    try:
        convert_peft(scratch, target)
    except ThimbleError as error:
        assert not target.exists(), "half a file is left"
        return outcome(error)
    with tempfile.TemporaryDirectory() as place:
        write_peft(target, place, scratch)
    return "converted, and back"
