"""Records what llama.cpp makes of a model of nanoGPT's that `thimble convert` has written.

    build/peers/bin/pip install llama-cpp-python==0.3.36
    PYTHONPATH=pyodide_pkg build/peers/bin/python -m tests.vectors.record_nanogpt

`nanogpt.json` has its tokens of some texts, `nanogpt.npz` its logits over 64 positions, with biases
and without, in float32. The weights are drawn by `tests/nanogpt_files.py`.
"""

from __future__ import annotations

import json
import tempfile
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from tests.nanogpt_files import CHARACTERS, checkpoint, meta, weights
from tests.vectors.record_architectures import llama_cpp_logits
from thimble.convert.nanogpt import convert_nanogpt

RECORD = Path(__file__).with_name("nanogpt.json")
IDS = [i * 7 % len(CHARACTERS) for i in range(64)]
TEXTS = ("A cat!\n\n  It's “3” é", "中🐉ß中 aab", CHARACTERS)


def main() -> None:
    import llama_cpp  # type: ignore[import-not-found, unused-ignore]

    record: dict[str, Any] = {"llama_cpp_python": version("llama-cpp-python"), "texts": {}}
    arrays: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        (folder / "meta.pkl").write_bytes(meta())
        for name, bias in (("plain", False), ("biased", True)):
            (folder / "ckpt.pt").write_bytes(checkpoint(weights(bias=bias)))
            convert_nanogpt(folder / "ckpt.pt", folder / "meta.pkl", folder / "m.gguf", "f32")
            arrays[name], _ = llama_cpp_logits(folder / "m.gguf", IDS)
        model = llama_cpp.Llama(str(folder / "m.gguf"), vocab_only=True, verbose=False)
        for text in TEXTS:
            ids = model.tokenize(text.encode(), add_bos=False, special=False)
            assert model.detokenize(ids).decode() == text
            record["texts"][text] = ids
    np.savez_compressed(RECORD.with_suffix(".npz"), **arrays)
    RECORD.write_text(json.dumps(record) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
