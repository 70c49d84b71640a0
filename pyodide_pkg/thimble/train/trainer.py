"""One trainer over our kernels, natively and in the page, and to the same bits in both.

    recipe = Recipe.from_dict({"size": 0.37, "steps": 600})
    trainer = Trainer(recipe, text)
    while not trainer.done:
        report = trainer.step()
    print(trainer.evaluate(), trainer.sample("Once", 80))
    data = trainer.export("q8_0")

A recipe and a text decide every bit of the weights; the number of threads, the machine and where a
run was stopped and resumed do not. The trainer knows nothing of files, clocks apart: who calls it
writes checkpoints and receipts (`cli/train.py`, `browser/train.py`). NumPy is not needed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ..kernel import Kernel
from .recipe import Recipe


@dataclass(frozen=True, slots=True)
class StepReport:
    """What one step was."""

    step: int
    """Steps that were made, this one included: the first report says 1."""
    loss: float
    """The mean negative log-likelihood of the step's tokens before it, in nats per token."""
    grad_norm: float
    """Of all gradients together, before they were clipped."""
    lr: float
    """The share of the full learning rate, 0 to 1."""
    tokens: int
    """Tokens that this step predicted."""
    seconds: float
    """What it took on this machine."""


class Trainer:
    """One run. Close it to give its memory back."""

    recipe: Recipe
    """As given, with `data_sha256` filled in."""

    def __init__(
        self,
        recipe: Recipe,
        text: str,
        *,
        heldout: str | None = None,
        kernel: Kernel | None = None,
        threads: int | None = None,
    ) -> None:
        """Get ready: the tokenizer is trained, the text encoded, the first weights drawn.

        Without `heldout`, `recipe.eval_fraction` of the text is held out. `threads` sets how many
        the kernel computes with; None leaves it as it is. Raises `OptionError` for a text that is
        too short, has no variety, or is not the recipe's; `MemoryLimitError`.
        """
        raise NotImplementedError

    @property
    def n_parameters(self) -> int:
        """Weights in all."""
        raise NotImplementedError

    @property
    def steps_made(self) -> int:
        """Steps so far."""
        raise NotImplementedError

    @property
    def done(self) -> bool:
        """Whether all of the recipe's steps are made."""
        raise NotImplementedError

    @property
    def epochs(self) -> float:
        """Passes through the text so far."""
        raise NotImplementedError

    @property
    def curve(self) -> list[dict[str, Any]]:
        """The run so far, an entry every `recipe.log_every` steps: `step`, `loss` (the mean since
        the last), `grad_norm`, `lr`, and `weights` (SHA-256) every `recipe.hash_every` steps."""
        raise NotImplementedError

    def step(self) -> StepReport:
        """Make one step: `recipe.micro_batches` times forward and backward, and one update.

        Raises `NumericError` naming the step where the loss or a gradient is not finite, with the
        weights as they were before the step; `OptionError` where the run is done.
        """
        raise NotImplementedError

    def evaluate(self, stories: int | None = None) -> float:
        """Return bits per byte on the held-out text, of its first `stories` stories (None: all)."""
        raise NotImplementedError

    def sample(self, prompt: str, n: int, *, temperature: float = 0.8, seed: int = 0) -> str:
        """Return what the model now writes after `prompt`, at most `n` tokens."""
        raise NotImplementedError

    def export(self, type: str = "f32") -> bytes:
        """Return a GGUF file, its matrices as `f32`, `q8_0` or `q4_0`."""
        raise NotImplementedError

    def weights_sha256(self) -> str:
        """Return the hash of all float32 weights, little-endian, in the order of the file's
        tensors."""
        raise NotImplementedError

    def checkpoint(self) -> bytes:
        """Return everything that `resume` needs beside the text."""
        raise NotImplementedError

    @classmethod
    def resume(
        cls,
        data: bytes,
        text: str,
        *,
        heldout: str | None = None,
        kernel: Kernel | None = None,
        threads: int | None = None,
    ) -> Trainer:
        """Return the trainer whose `checkpoint` this is; it goes on to the same bits.

        Raises `FormatError` for bytes that are no checkpoint, or a damaged one; `OptionError` for
        another text.
        """
        raise NotImplementedError

    def receipt(self, **facts: Any) -> dict[str, Any]:
        """Return what proves the run so far, ready for JSON (`receipt.py`); `facts` (machine,
        seconds and the like) are added as they are."""
        raise NotImplementedError

    def close(self) -> None:
        """Give the kernel's memory back."""
        raise NotImplementedError
