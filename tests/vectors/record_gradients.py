"""Records hashes of gradients that no later version may change.

    PYTHONPATH=pyodide_pkg python -m tests.vectors.record_gradients

Only models are recorded that have no hash yet (`tests/gradient_fingerprint.py`).
`tests/test_backward.py` compares.
"""

from __future__ import annotations

import json
from pathlib import Path

from tests.gradient_fingerprint import fingerprint
from tests.tiny_blocks import make_blocks
from tests.tiny_folders import converted

RECORD = Path(__file__).with_name("gradients.json")
NAMES = (
    "smollm/f32", "llama/q4_0", "phi3/q8_0", "gemma2/q8_0", "gemma3/f16", "gptneox/q8_0",
    "gpt2/q8_0", "olmo2/q4_0", "blocks/UD", "lfm2/q8_0", "olmoe/q8_0",
    "mamba2/q8_0", "gemma-embedding-dense/q8_0", "granite/q8_0", "qwen35/q8_0", "llama4/q8_0",
)  # fmt: skip
"""Between them every kind of operation, and every way that weights lie."""


def made(name: str) -> bytes:
    """The file of a name's model."""
    model, _, kind = name.partition("/")
    return make_blocks(kind) if model == "blocks" else converted(model, kind)


def main() -> None:
    record: dict[str, str] = json.loads(RECORD.read_text()) if RECORD.exists() else {}
    for name in NAMES:
        if name not in record:
            record[name] = fingerprint(made(name))
            print(name, record[name])
    RECORD.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
