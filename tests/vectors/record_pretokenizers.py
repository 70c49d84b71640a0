"""Records llama.cpp's ids for every pre-tokenizer, so that the tests can compare without it.

    python -m venv build/llamacpp
    build/llamacpp/bin/pip install llama-cpp-python==0.3.36 gguf==0.19.0 numpy
    PYTHONPATH=pyodide_pkg build/llamacpp/bin/python -m tests.vectors.record_pretokenizers

It writes `pretokenizers.json` beside itself: for each name the ids of `HARD_TEXTS` under the
vocabulary `pairs`. With `--all` it also compares every code point below U+20000 in four contexts,
writes nothing, and fails where an id differs.
"""

from __future__ import annotations

import json
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path

import llama_cpp

from tests.tokenizer_vocabularies import HARD_TEXTS, pairs
from thimble.gguf_writer import GGUFWriter
from thimble.tokenizer import tokenizer_from_metadata
from thimble.tokenizer.pretokenizers import PRETOKENIZERS

SIZES = ("block_count", "context_length", "embedding_length", "feed_forward_length",
         "attention.head_count")  # fmt: skip


def load(pre: str) -> llama_cpp.Llama:
    writer = GGUFWriter()
    writer.add("general.architecture", "gpt2")
    for name in SIZES:
        writer.add(f"gpt2.{name}", 64)
    writer.add("gpt2.attention.layer_norm_epsilon", 1e-5)
    for key, value in pairs(pre).items():
        writer.add(key, value)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "vocabulary.gguf"
        writer.write(path)
        return llama_cpp.Llama(str(path), vocab_only=True, verbose=False)


def every_character() -> list[str]:
    texts = []
    for first in range(1, 0x20000, 32):
        codes = [c for c in range(first, first + 32) if not 0xD800 <= c <= 0xDFFF]
        if codes:
            texts.append("".join(f"a{chr(c)}b 1{chr(c)}2 {chr(c)} .{chr(c)}." for c in codes))
    return texts


def distinct() -> list[str]:
    """The first name of each pre-tokenizer."""
    names: dict[int, str] = {}
    for name, pretokenizer in PRETOKENIZERS.items():
        names.setdefault(id(pretokenizer), name)
    return list(names.values())


def main() -> None:
    everything = "--all" in sys.argv
    recorded = {}
    for pre in distinct():
        theirs, ours = load(pre), tokenizer_from_metadata(pairs(pre))
        texts = every_character() if everything else HARD_TEXTS
        ids = [theirs.tokenize(text.encode(), add_bos=False, special=False) for text in texts]
        wrong = [t for t, i in zip(texts, ids, strict=True)
                 if ours.encode(t, add_special=False) != i]  # fmt: skip
        print(f"{pre}: {len(texts)} texts, {len(wrong)} differ")
        if wrong:
            raise SystemExit(f"the first that differs: {wrong[0]!a}")
        recorded[pre] = ids
    if not everything:
        path = Path(__file__).with_name("pretokenizers.json")
        lines = (f'  "{pre}": {json.dumps(ids, separators=(",", ":"))}'
                 for pre, ids in recorded.items())  # fmt: skip
        head = f'{{\n  "llama-cpp-python": "{version("llama-cpp-python")}",\n'
        path.write_text(head + ",\n".join(lines) + "\n}\n")


if __name__ == "__main__":
    main()
