"""A receipt: what a training run was, so that anyone can run it again and compare every bit.

    receipt = trainer.receipt(machine="…", seconds=…)     # a JSON object

`verifying.py` trains again and compares. A receipt promises what the recipe, the text, the
tokenizer and the kernels decide: the loss to its last bit, and the weights. Machine and times are
told, not promised. A run by PyTorch promises no bits, and its receipts say so.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from .. import __version__
from ..errors import FormatError
from ..kernel import Kernel
from .recipe import Recipe
from .vocabulary import vocabulary_sha256

if TYPE_CHECKING:
    from .corpus import Corpus

FORMAT = 1
"""`receipt` in every receipt: the meaning of its keys."""
ENCODINGS = ("f32", "q8_0", "q4_0")
"""Of the files that trained weights become."""
MOST_ENTRIES = 1_000_000
MOST_NUMBER = 1e38
"""Of a curve; what trains is single precision."""
_HASH = re.compile(r"[0-9a-f]{64}\Z")


def kernels_sha256(kernel: Kernel) -> str:
    """Return the hash of the sources that the kernels' training was compiled from."""
    return kernel.read(kernel.call("train_sources"), 64).decode("ascii", "replace")


def make(
    recipe: Recipe,
    *,
    corpus: Corpus,
    kernel: Kernel,
    curve: list[dict[str, Any]],
    step: int,
    weights: str,
    n_weights: int,
    facts: dict[str, Any],
) -> dict[str, Any]:
    """Return the receipt of a run."""
    heldout = corpus.heldout_sha256
    return {
        "receipt": FORMAT,
        "promise": "bits" if recipe.backend == "thimble" else "none",
        "thimble": __version__,
        "recipe": recipe.to_dict(),
        "data": {"sha256": corpus.sha256, "bytes": corpus.n_bytes},
        "heldout": {"sha256": heldout} if heldout else None,
        "tokenizer": {
            "sha256": vocabulary_sha256(corpus.metadata),
            "tokens": recipe.vocab_size,
        },
        "kernels": {"sha256": kernels_sha256(kernel)},
        "steps": step,
        "tokens": step * recipe.micro_tokens * recipe.micro_batches,
        "weights": {"sha256": weights, "count": n_weights},
        "curve": curve,
        **facts,
    }


def low_rank_sha256(kernel: Kernel) -> str:
    """Return the hash of what training of low rank needs besides."""
    return kernel.read(kernel.call("lora_sources"), 64).decode("ascii", "replace")


def plan_sha256(kernel: Kernel) -> str:
    """Return the hash of what adapters that learn through a model's plan need instead."""
    return kernel.read(kernel.call("learn_sources"), 64).decode("ascii", "replace")


@dataclass(frozen=True, slots=True)
class Claim:
    """A receipt that was read: the parts that can be checked."""

    recipe: Recipe
    version: str
    data: str
    heldout: str | None
    tokenizer: str
    kernels: str
    steps: int
    weights: str
    curve: list[dict[str, Any]]
    low_rank: str | None
    """Of the sources that a run of low rank needs besides."""
    plan: str | None
    """Of those that one through a model's plan needs instead."""
    model: tuple[str, str] | None
    """Of the file that came of it, where the receipt tells of one: encoding, and SHA-256."""

    @classmethod
    def read(cls, receipt: Any) -> Claim:
        """Check a receipt's shape. Raises `FormatError` for what is none, or of another format,
        and `OptionError` for its recipe."""
        if not isinstance(receipt, dict):
            raise FormatError(f"a receipt is an object, not a {type(receipt).__name__}")
        if receipt.get("receipt") != FORMAT:
            raise FormatError(
                f"the receipt's format is {receipt.get('receipt')!r:.40}; this version reads "
                f"{FORMAT}"
            )
        if receipt.get("promise") != "bits":
            raise FormatError(
                "the receipt promises no bits, as runs by PyTorch do not: there is nothing to "
                "verify"
            )
        recipe, curve = receipt.get("recipe"), receipt.get("curve")
        if not isinstance(recipe, dict) or not isinstance(curve, list):
            raise FormatError("a receipt has a recipe, an object, and a curve, a list")
        made = Recipe.from_dict(recipe)
        kernels = receipt.get("kernels")
        plan = made.lora_rank and isinstance(kernels, dict) and "plan" in kernels
        heldout = receipt.get("heldout")
        steps = receipt.get("steps")
        if not isinstance(steps, int) or isinstance(steps, bool) or not 0 < steps <= made.steps:
            raise FormatError(f"steps is {steps!r:.40}; it must be from 1 to {made.steps:,}")
        return cls(
            recipe=made,
            version=str(receipt.get("thimble")),
            data=_hash(receipt, "data"),
            heldout=None if heldout is None else _hash(receipt, "heldout"),
            tokenizer=_hash(receipt, "tokenizer"),
            kernels=_hash(receipt, "kernels"),
            low_rank=_hash(receipt, "kernels", "low_rank") if made.lora_rank and not plan else None,
            plan=_hash(receipt, "kernels", "plan") if plan else None,
            steps=steps,
            weights=_hash(receipt, "weights"),
            curve=_curve(curve, steps),
            model=_model(receipt),
        )

    def differences(self, kernel: Kernel) -> list[str]:
        """Return what this engine has that the run's had not, in words: none where all is equal.

        Bits may agree all the same; where they do not, this is why.
        """
        found = []
        if self.version != __version__:
            found.append(f"thimble is {__version__} here, {self.version:.40} in the receipt")
        here = kernels_sha256(kernel)
        if self.kernels != here:
            found.append(f"the training kernels are {here[:12]} here, {self.kernels[:12]} there")
        here = low_rank_sha256(kernel)
        if self.low_rank not in (None, here):
            found.append(f"the low-rank kernels are {here[:12]} here, {self.low_rank:.12} there")
        here = plan_sha256(kernel)
        if self.plan not in (None, here):
            found.append(f"the plan's kernels are {here[:12]} here, {self.plan:.12} there")
        return found


def _model(receipt: dict[str, Any]) -> tuple[str, str] | None:
    """Return the encoding and hash of the receipt's file; None where it tells of none."""
    model = receipt.get("model")
    if model is None:
        return None
    sha256 = _hash(receipt, "model")
    if model.get("type") not in ENCODINGS:
        raise FormatError(
            f"the receipt's model has the type {model.get('type')!r:.40}; it must be one of "
            f"{', '.join(ENCODINGS)}"
        )
    return model["type"], sha256


def _hash(receipt: dict[str, Any], part: str, name: str = "sha256") -> str:
    """Return the hash of a part; raises `FormatError` where it has none."""
    value = receipt.get(part)
    found = value.get(name) if isinstance(value, dict) else None
    if not isinstance(found, str) or not _HASH.match(found):
        raise FormatError(f"the receipt's {part} has the {name} {found!r:.40}, which is none")
    return found


def _curve(curve: list[Any], steps: int) -> list[dict[str, Any]]:
    """Check the entries: steps that grow, numbers, hashes."""
    if len(curve) > MOST_ENTRIES:
        raise FormatError(f"the receipt's curve has {len(curve):,} entries")
    last = 0
    for entry in curve:
        step = entry.get("step") if isinstance(entry, dict) else None
        if not isinstance(step, int) or isinstance(step, bool) or not last < step <= steps:
            raise FormatError(f"the receipt's curve has a step {step!r:.40} after step {last}")
        for name in ("loss", "grad_norm", "lr"):
            value = entry.get(name)
            number = isinstance(value, int | float) and not isinstance(value, bool)
            if not number or not -MOST_NUMBER <= value <= MOST_NUMBER:
                raise FormatError(f"the receipt's step {step} has the {name} {value!r:.40}")
        weights = entry.get("weights", "")
        if not isinstance(weights, str) or len(weights) > 64:
            raise FormatError(f"the receipt's step {step} has weights {entry['weights']!r:.40}")
        last = step
    return curve
