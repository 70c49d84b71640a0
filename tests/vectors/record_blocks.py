"""Records what llama.cpp computes of models whose matrices are blocks with scales.

As `record_llamacpp.py`, in whose environment it runs:

    PYTHONPATH=pyodide_pkg build/llamacpp/bin/python -m tests.vectors.record_blocks

It writes `blocks.json` (each model's SHA-256, ids) and `blocks.npz` (logits) beside itself.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np

from tests.tiny_blocks import KINDS, make_blocks
from tests.vectors.record_llamacpp import logits

HERE = Path(__file__).parent
POSITIONS = (0, 7, 63)


def main() -> None:
    record: dict[str, Any] = {}
    arrays: dict[str, Any] = {}
    ids = [int(i) for i in np.random.PCG64(5).random_raw(64) % np.uint64(300)]
    for name, kind in KINDS.items():
        data = make_blocks(kind)
        record[name] = {"sha256": hashlib.sha256(data).hexdigest()}
        arrays[name] = logits(data, ids)[list(POSITIONS)]
        print(name, arrays[name].std())
    np.savez_compressed(HERE / "blocks.npz", **arrays)
    whole = {"ids": ids, "positions": POSITIONS, "models": record}
    (HERE / "blocks.json").write_text(json.dumps(whole) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
