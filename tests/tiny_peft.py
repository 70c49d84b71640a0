"""Small random adapters as PEFT's folders, for models of `tests/tiny_folders.py`.

    folder = write_adapter(tmp_path / "adapter", "rank-stabilised")

Their adapter_config.json, and the names and shapes of their tensors, are as PEFT's own
`save_pretrained` wrote them, recorded by `tests/vectors/record_peft.py`; the values are drawn here.
"""

from __future__ import annotations

import functools
import json
from pathlib import Path
from typing import Any

from tests.tiny_folders import write_safetensors
from tests.tiny_models import random_values

RECORD = Path(__file__).parent / "vectors" / "peft.json"
_ALL = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]

CASES: dict[str, tuple[str, dict[str, Any]]] = {
    "plain": ("smollm", {"r": 4, "lora_alpha": 6, "target_modules": _ALL}),
    "rank-stabilised": ("llama", {
        "r": 8, "lora_alpha": 5, "use_rslora": True, "target_modules": [*_ALL, "lm_head"]}),
    "patterns": ("qwen2", {
        "r": 3, "lora_alpha": 4, "target_modules": ["q_proj", "v_proj", "down_proj"],
        "rank_pattern": {"q_proj": 5},
        "alpha_pattern": {"^model.layers.1.mlp.down_proj": 9, "q_proj": 2}}),
    "gemma": ("gemma2", {"r": 2, "lora_alpha": 3, "target_modules": ["k_proj", "up_proj"]}),
}  # fmt: skip
"""A model, and what PEFT's LoraConfig is made of."""


@functools.cache
def recorded() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(RECORD.read_text(encoding="utf-8"))
    return found


def write_adapter(folder: Path, name: str, *, stored: str = "F32") -> Path:
    """Write an adapter's folder and return it."""
    record = recorded()["cases"][name]
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "adapter_config.json").write_text(json.dumps(record["config"]))
    write_values(folder, name, record["tensors"], stored)
    return folder


def write_values(folder: Path, name: str, shapes: dict[str, Any], stored: str = "F32") -> None:
    """The random values of an adapter's tensors, the same on every machine."""
    seed = 900_000 + 1000 * list(CASES).index(name)
    values = {
        tensor: random_values(seed + i, tuple(shape), shape[1] ** -0.5 * 1.2)
        for i, (tensor, shape) in enumerate(sorted(shapes.items()))
    }
    write_safetensors(folder / "adapter_model.safetensors", values, stored)
