"""Records what PEFT computes with small random adapters, and how it writes them down.

In the environment of `record_architectures.py`, with peft 0.21.2 in it:

    PYTHONPATH=pyodide_pkg build/peers/bin/python -m tests.vectors.record_peft

It writes `peft.json` (each adapter_config.json, names and shapes of its tensors) and `peft.npz`
(logits in float32 over N_IDS positions, of every STEP-th token) beside itself.
"""

from __future__ import annotations

import importlib
import json
import tempfile
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tests.tiny_folders import recorded, write_folder
from tests.tiny_peft import CASES, RECORD, write_values

N_IDS = 24
STEP = 11


def logits(name: str) -> tuple[dict[str, Any], NDArray[np.float32]]:
    """What is recorded of an adapter, and its model's logits with it."""
    torch: Any = importlib.import_module("torch")
    peft: Any = importlib.import_module("peft")
    transformers: Any = importlib.import_module("transformers")
    safetensors: Any = importlib.import_module("safetensors")
    base, options = CASES[name]
    with tempfile.TemporaryDirectory() as place:
        model_folder, folder = write_folder(Path(place) / base, base), Path(place) / "adapter"

        def load() -> Any:
            return transformers.AutoModelForCausalLM.from_pretrained(
                model_folder, dtype=torch.float32, attn_implementation="eager"
            ).eval()

        config = peft.LoraConfig(task_type="CAUSAL_LM", **options)
        peft.get_peft_model(load(), config).save_pretrained(folder)
        with safetensors.safe_open(folder / "adapter_model.safetensors", "np") as file:
            names = [key for key in file.keys() if ".base_layer." not in key]  # noqa: SIM118
            shapes = {key: list(file.get_slice(key).get_shape()) for key in names}
        said = json.loads((folder / "adapter_config.json").read_text())
        said["base_model_name_or_path"] = base
        write_values(folder, name, shapes)
        adapted = peft.PeftModel.from_pretrained(load(), folder).eval()
        ids = recorded()["models"][base]["ids"][:N_IDS]
        with torch.no_grad():
            found = adapted(torch.tensor([ids])).logits[0].numpy()
            alone = load()(torch.tensor([ids])).logits[0].numpy()
        print(name, found.std(), np.abs(found - alone).max())
    return {"config": said, "tensors": shapes}, found[:, ::STEP]


def main() -> None:
    made = {name: logits(name) for name in CASES}
    arrays: dict[str, Any] = {name: one for name, (_, one) in made.items()}
    np.savez_compressed(RECORD.with_suffix(".npz"), **arrays)
    whole = {name: version(name) for name in ("peft", "transformers", "torch")} | {
        "cases": {name: one for name, (one, _) in made.items()}
    }
    RECORD.write_text(json.dumps(whole) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
