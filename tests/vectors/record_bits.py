"""Records hashes of what every model of the tests computes, which no later version may change.

    PYTHONPATH=pyodide_pkg python -m tests.vectors.record_bits

Only models are recorded that have no hash yet. `tests/test_bits.py` compares. The hashes are of
logits, one by one and in batches (`tests/fingerprint.py`), and of every value that the lens sees.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from tests import tiny_blocks
from tests.fingerprint import load, logits_hash
from tests.tiny_folders import CONFIGS, converted
from tests.tiny_models import SPECS, make

RECORD = Path(__file__).with_name("bits.json")
SHIPPED = sorted((Path(__file__).parents[2] / "web" / "models").glob("*.gguf"))
KINDS = ("f32", "f16", "q8_0")
LOOKED_AT = 40
KEPT_SMALLER = ("tiny/f32", "tiny/head8", "tiny/head48", "tiny/head64", "gemma3/q8_0", "gpt2/f32")
"""Whose keys and values are also kept in half precision and in 8 bits."""


def files() -> Iterator[tuple[str, Callable[[], bytes]]]:
    """Yield every model's name, and what makes its file."""
    for name, spec in SPECS.items():
        yield f"tiny/{name}", partial(make, spec)
    for name in CONFIGS:
        for kind in KINDS:
            yield f"{name}/{kind}", partial(converted, name, kind)
    for name in tiny_blocks.NAMES:
        yield f"blocks/{name}", partial(tiny_blocks.make_blocks, name)
    for path in SHIPPED:
        yield f"shipped/{path.stem}", path.read_bytes


def logits(data: bytes, kv_type: str = "f32") -> str:
    """SHA-256 over the logits of a file's model."""
    model = load(data)
    model.kv_type = kv_type
    found = logits_hash(model)
    model.close()
    return found


def inside(data: bytes) -> str:
    """SHA-256 over every value of a pass, the names in their order, and over changed logits."""
    model = load(data)
    ids = [i * 11 % model.config.n_vocab for i in range(LOOKED_AT)]
    logits, cache = model.run_with_cache(ids)
    digest = hashlib.sha256(logits.tobytes())
    for name in sorted(cache):
        digest.update(name.encode() + b"\0" + cache.raw(name))

    def less(values: object, hook: object) -> None:
        values[:, ::2] *= 0.5  # type: ignore[index]

    for site in ("attn.hook_pattern", "attn.hook_result", "mlp.hook_post", "hook_resid_pre"):
        for name in [name for name in cache if name.endswith(site)][:1]:
            digest.update(model.run_with_hooks(ids, [(name, less)]).tobytes())
    model.close()
    return digest.hexdigest()


def main() -> None:
    record: dict[str, dict[str, str]] = json.loads(RECORD.read_text()) if RECORD.exists() else {}
    for name, make_file in files():
        known = record.setdefault(name, {})
        hashes: list[tuple[str, Callable[[bytes], str]]]
        hashes = [("logits", logits), ("inside", inside)]
        if name in KEPT_SMALLER:
            hashes += [(kv, partial(logits, kv_type=kv)) for kv in ("f16", "q8_0")]
        for kind, hashed in hashes:
            if kind not in known:
                known[kind] = hashed(make_file())
                print(name, kind)
    RECORD.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
