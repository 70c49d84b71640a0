"""A run trained again, and compared with its receipt.

for check in verify(receipt, text):
    print(check.step, check.agrees)
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from ..errors import OptionError
from ..kernel import Kernel, default_kernel
from .finetune import Base, trainer_for
from .receipt import Claim
from .vocabulary import vocabulary_sha256


@dataclass(frozen=True, slots=True)
class Check:
    """One place of the run at which it was compared."""

    step: int
    agrees: bool
    why: str
    """What differs there; empty where all agrees."""


def verify(
    receipt: Any,
    text: str,
    *,
    heldout: str | None = None,
    steps: int | None = None,
    kernel: Kernel | None = None,
    threads: int | None = None,
    tokenizer: dict[str, Any] | None = None,
    base: Base | None = None,
) -> Iterator[Check]:
    """Train again, for the first `steps` steps or all, and yield a check at each of the receipt's
    entries; after one that does not agree there is no more.

    A run's held-out text is not needed: it decides no bit. `tokenizer` is the metadata of one that
    the run took over and did not train, `base` the model that it began from. Raises what
    `Claim.read` and `Trainer` raise, and `OptionError` where `steps` reaches no entry of the
    receipt.
    """
    claim = Claim.read(receipt)
    kernel = kernel or default_kernel()
    last = claim.steps if steps is None else steps
    if not 1 <= last <= claim.steps:
        raise OptionError(f"steps is {last}; the receipt has 1 to {claim.steps:,}")
    entries = {entry["step"]: entry for entry in claim.curve}
    if min(entries, default=last + 1) > last:
        raise OptionError(
            f"steps is {last}; the receipt's first entry is of step {min(entries, default=0)}"
        )
    trainer = trainer_for(
        claim.recipe,
        text,
        base=base,
        heldout=heldout if claim.heldout is None or heldout else "",
        kernel=kernel,
        threads=threads,
        tokenizer=tokenizer,
    )
    try:
        yield from _compare(claim, trainer, entries, last)
    finally:
        trainer.close()


def _compare(
    claim: Claim, trainer: Any, entries: dict[int, dict[str, Any]], last: int
) -> Iterator[Check]:
    for name, ours, theirs in (
        ("text", trainer.corpus.sha256, claim.data),
        ("tokenizer", vocabulary_sha256(trainer.corpus.metadata), claim.tokenizer),
    ):
        if ours != theirs:
            yield Check(0, False, f"the {name} is {ours[:12]} here, {theirs[:12]} in the receipt")
            return
    for step in range(1, last + 1):
        trainer.step()
        entry = entries.get(step)
        if entry is None:
            continue
        found = trainer.curve[-1]
        why = [
            f"{name} is {found.get(name)} here, {entry[name]} in the receipt"
            for name in ("loss", "grad_norm", "lr", "weights")
            if name in entry and entry[name] != found.get(name)
        ]
        if step == claim.steps:
            why += _at_the_end(claim, trainer)
        yield Check(step, not why, "; ".join(why))
        if why:
            return


def _at_the_end(claim: Claim, trainer: Any) -> list[str]:
    """Return in words what differs when all is done: the weights, and the file made of them."""
    weights = trainer.weights_sha256()
    if weights != claim.weights:
        return [f"the weights are {weights[:12]} here, {claim.weights[:12]} in the receipt"]
    if claim.model is not None:
        encoding, wanted = claim.model
        found = hashlib.sha256(trainer.export(encoding)).hexdigest()
        if found != wanted:
            return [f"the {encoding} file is {found[:12]} here, {wanted[:12]} in the receipt"]
    return []
