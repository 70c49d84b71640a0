"""What the same recipes must train to on every machine, as one hash. Runs natively and in the page,
so it needs the package and the standard library only."""

from __future__ import annotations

import hashlib

from thimble.kernel import Kernel
from thimble.train.counter import draw
from thimble.train.recipe import Recipe
from thimble.train.trainer import Trainer

SMALL = {
    "size": 0.05, "context": 48, "micro_tokens": 192, "steps": 200, "warmup_steps": 10,
    "hash_every": 40, "separator": "\n",
}  # fmt: skip
RECIPES = (
    SMALL,
    SMALL | {"optimizer": "adamw", "dropout": 0.1, "schedule": "cosine", "steps": 20,
             "micro_batches": 2},
    SMALL | {"quantize": "q4_0", "vocab_size": 300, "n_kv_heads": 1, "n_heads": 2, "dim": 64,
             "n_layers": 1, "hidden": 96, "size": 0, "steps": 20},
)  # fmt: skip


def made_up_text() -> str:
    """Lines with something to learn, drawn from our own generator."""
    starts, ends = ("mara", "teo", "lin", "oso", "kubé", "zan"), ("ra", "lo", "mi", "nen", "s", "")
    lines = []
    for i in range(400):
        number = draw(7, i)
        name = starts[number % 6] + ends[number // 6 % 6] + ends[number // 36 % 6]
        lines.append(f"{name} went to {starts[number // 216 % 6]}{ends[number // 1296 % 6]}.")
    return "\n".join(lines)


def train_fingerprint(kernel: Kernel | None = None) -> str:
    """A hash over weights along the way, losses and files."""
    digest = hashlib.sha256()
    for choices in RECIPES:
        trainer = Trainer(Recipe.from_dict(choices), made_up_text(), kernel=kernel)
        while not trainer.done:
            trainer.step()
        for entry in trainer.curve:
            digest.update(repr(sorted(entry.items())).encode())
        digest.update(repr(trainer.evaluate(5)).encode())
        digest.update(trainer.export("q4_0"))
        trainer.close()
    return digest.hexdigest()
