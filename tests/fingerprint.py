"""What the same model must give on every machine, as one hash. Runs natively and in the page, so it
needs the package and the standard library only."""

from __future__ import annotations

import hashlib
from array import array
from typing import Any

import thimble
from thimble.kernel import Kernel

POSITIONS = 256


def load(data: bytes, kernel: Kernel | None = None) -> thimble.Model:
    loader = thimble.ModelLoader(len(data), kernel=kernel)
    loader.feed(data)
    return loader.finish()


def logits_hash(model: thimble.Model) -> str:
    """SHA-256 over the logits of 256 positions, computed one by one and in batches."""
    n = min(POSITIONS, model.config.n_ctx)
    ids = [(i * 7919 + 13) % model.config.n_vocab for i in range(n)]
    digest, session = hashlib.sha256(), model.session()
    for token in ids[: n // 2]:
        session.append([token])
        digest.update(session.logits().tobytes())
    for choice in session.score(ids[n // 2 :], top=3):
        numbers = [choice.logprob, choice.entropy, *(p for _, p in choice.top)]
        digest.update(array("f", numbers).tobytes())
    digest.update(session.logits().tobytes())
    session.close()
    return digest.hexdigest()


WAYS: tuple[dict[str, Any], ...] = (
    {"temperature": 0.9, "top_k": 200, "top_p": 0.95, "min_p": 0.001, "repetition_penalty": 1.1,
     "logit_bias": {3: 1.5}},
    {"temperature": 1.3, "dynatemp_range": 0.5, "dynatemp_exponent": 1.5, "top_n_sigma": 2.5,
     "typical_p": 0.95, "xtc_probability": 0.4, "xtc_threshold": 0.02, "presence_penalty": 0.3,
     "frequency_penalty": 0.1, "dry_multiplier": 0.8, "dry_allowed_length": 1},
    {"temperature": 1.1, "mirostat": 2, "mirostat_tau": 3.0, "repeat_last_n": -1,
     "repetition_penalty": 1.2},
)  # fmt: skip
"""Between them every stage of a draw is at work."""


def sampled(model: thimble.Model, seed: int) -> list[list[int]]:
    """The ids of texts that are drawn in all these ways."""
    texts = []
    for way in WAYS:
        session = model.session()
        params = thimble.SamplingParams(max_tokens=80, seed=seed, **way)
        texts.append([chunk.id for chunk in session.generate([1], params)])
        session.close()
    return texts


def fingerprint(data: bytes, kernel: Kernel | None = None, kv_type: str = "f32") -> str:
    """Everything above over one model file, keys and values kept as `kv_type`."""
    model = load(data, kernel)
    model.kv_type = kv_type
    words = [logits_hash(model), *(str(sampled(model, seed)) for seed in (0, 1, 2**63))]
    model.close()
    return hashlib.sha256("\n".join(words).encode()).hexdigest()
