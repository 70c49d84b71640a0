"""What is fuzzed, and which input has which number: nothing here runs any."""

from __future__ import annotations

import random

from tests.fuzz import (
    fuzz_ckpt,
    fuzz_constraint,
    fuzz_folder,
    fuzz_gguf,
    fuzz_llama2c,
    fuzz_model,
    fuzz_peft,
    fuzz_recording,
    fuzz_template,
    fuzz_training,
)
from tests.fuzz.kinds import Case, Kind

LOOK = 16
"""One input of so many is run with every allocation of Python's counted, which is slow."""

KINDS = {
    "gguf": Kind(
        lambda rng: {"": fuzz_gguf.mutate(rng, fuzz_gguf.seeds(), other_seeds=fuzz_gguf.seeds())},
        lambda case, _: fuzz_gguf.check(case[""], measure_memory=False),
        25,
    ),
    "model": Kind(fuzz_model.make, fuzz_model.check, 20),
    "split": Kind(fuzz_model.make_split, fuzz_model.check_split, 5),
    "safetensors": Kind(fuzz_folder.make_safetensors, fuzz_folder.check_safetensors, 13),
    "peft": Kind(fuzz_peft.make, fuzz_peft.check, 2),
    "tokenizer": Kind(fuzz_folder.make_tokenizer, fuzz_folder.check_tokenizer, 12),
    "folder": Kind(fuzz_folder.make_folder, fuzz_folder.check_folder, 1),
    "llama2c": Kind(fuzz_llama2c.make, fuzz_llama2c.check, 10),
    "ckpt": Kind(fuzz_ckpt.make, fuzz_ckpt.check, 8),
    "constraint": Kind(fuzz_constraint.make, fuzz_constraint.check, 5, each=1000, room=4 << 20),
    "template": Kind(fuzz_template.make, fuzz_template.check, 5, room=32 << 20),
    "recording": Kind(
        lambda rng: {"": fuzz_recording.mutated(rng.getrandbits(32))},
        lambda case, _: fuzz_recording.check(case[""]),
        2,
    ),
    "recipe": Kind(fuzz_training.make_recipe, fuzz_training.check_recipe, 3),
    "receipt": Kind(fuzz_training.make_receipt, fuzz_training.check_receipt, 3),
    "adapter": Kind(fuzz_training.make_adapter_file, fuzz_training.check_adapter, 5),
    "options": Kind(  # with a constraint in some
        fuzz_training.make_options, fuzz_training.check_options, 4, each=1000, room=4 << 20
    ),
}
"""What is fuzzed, and how much of it."""

_ORDER = [name for name, kind in KINDS.items() for _ in range(kind.share)]
random.Random(0).shuffle(_ORDER)


def case_of(number: int, seed: int, only: str | None = None) -> tuple[str, Case]:
    """An input by its number: its kind and its files."""
    name = only or _ORDER[number % len(_ORDER)]
    return name, KINDS[name].make(random.Random(f"{seed} {name} {number}"))
