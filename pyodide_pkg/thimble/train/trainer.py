"""One trainer over our kernels, natively and in the page, and to the same bits in both.

    recipe = Recipe.from_dict({"size": 0.37, "steps": 600})
    trainer = Trainer(recipe, text)
    while not trainer.done:
        report = trainer.step()
    print(trainer.evaluate(), trainer.sample("Once", 80))
    data = trainer.export("q8_0")

A recipe and a text decide every bit of the weights; the number of threads, the machine and where a
run was stopped and resumed do not. The trainer knows nothing of files, and of clocks only how long
a step took: who calls it writes checkpoints and receipts (`cli/train.py`, `browser/train.py`).
NumPy is not needed.
"""

from __future__ import annotations

import dataclasses
import time
from dataclasses import dataclass
from typing import Any

from ..errors import FormatError, NumericError, OptionError
from ..kernel import Kernel, default_kernel
from ..loader import ModelLoader
from ..sampling import SamplingParams
from . import receipt, state
from .corpus import Corpus, read_corpus, sha256
from .counter import draw, key
from .model_file import model_file
from .network import FIRST, SECOND, WEIGHTS, Batch, Network, Rates, tensors
from .recipe import Recipe
from .rows import Piece, Rows, batch_of
from .schedule import rate

LN2 = 0.6931471805599453
PASSES = 1 << 24
"""Micro-batches of one step, at most: their noise has keys of its own."""


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
        tokenizer: dict[str, Any] | None = None,
    ) -> None:
        """Get ready: the tokenizer is trained, the text encoded, the first weights drawn.

        Without `heldout`, `recipe.eval_fraction` of the text is held out; "" holds nothing out.
        `threads` sets how many the kernel computes with; None leaves it as it is. `tokenizer` is
        the metadata of one that is not to be trained. Raises `OptionError` for a text that is too
        short, has no variety, or is not the recipe's; `MemoryLimitError`.
        """
        if heldout == "":
            recipe = dataclasses.replace(recipe, eval_fraction=0.0)
        self.kernel = kernel or default_kernel()
        if threads is not None:
            self.kernel.call("threads", threads)
        self.corpus: Corpus = read_corpus(recipe, text, heldout, tokenizer)
        if len(self.corpus.metadata["tokenizer.ggml.tokens"]) != recipe.vocab_size:
            raise OptionError(f"the tokenizer has not the recipe's {recipe.vocab_size} tokens")
        self.recipe = dataclasses.replace(recipe, data_sha256=self.corpus.sha256)
        self.network = self._network()
        self.network.start(key(recipe.seed, 2), recipe.embedding_std)
        self.seconds = 0.0
        """What all steps took, on all machines."""
        whole = bool(recipe.completion)
        self._rows = Rows(self.corpus.pieces, recipe.context, recipe.seed, whole=whole)
        self._step = 0
        self._settled = False
        self._curve: list[dict[str, Any]] = []
        self._nats, self._since = 0.0, 0

    @property
    def n_parameters(self) -> int:
        """Weights that are trained."""
        return self.network.n_weights

    @property
    def steps_made(self) -> int:
        """Steps so far."""
        return self._step

    @property
    def done(self) -> bool:
        """Whether all of the recipe's steps are made."""
        return self._step >= self.recipe.steps

    @property
    def tokens_per_step(self) -> int:
        """Tokens that every step predicts."""
        return self.recipe.micro_tokens * self.recipe.micro_batches

    @property
    def curve(self) -> list[dict[str, Any]]:
        """The run so far, an entry every `recipe.log_every` steps: `step`, `loss` (the mean since
        the last), `grad_norm`, `lr`, and `weights` (SHA-256) every `recipe.hash_every` steps and
        at the end."""
        return [dict(entry) for entry in self._curve]

    def step(self) -> StepReport:
        """Make one step: `recipe.micro_batches` times forward and backward, and one update.

        Raises `NumericError` naming the step where the loss or a gradient is not finite, with the
        run as it was before the step; `OptionError` where it is done.
        """
        if self.done:
            raise OptionError(f"all {self.recipe.steps} steps are made")
        began = time.perf_counter()
        place = self._rows.state()
        share = rate(self.recipe, self._step)
        try:
            nats, norm, tokens = self._move(share)
        except NumericError as error:
            self.network.forget()
            self._rows.restore(place)
            raise NumericError(
                f"{error} in step {self._step + 1}: the weights are those of step {self._step}; "
                "a lower learning rate may help"
            ) from None
        self._step += 1
        seconds = time.perf_counter() - began
        self.seconds += seconds
        report = StepReport(self._step, nats / tokens, norm, share, tokens, seconds)
        self._note(report, nats)
        return report

    def _network(self) -> Network:
        """Make what computes; `torch_trainer.py` has another, and `finetune.py` two."""
        if self.recipe.tunes:
            raise OptionError(
                "the recipe begins from a model (base_sha256, lora_rank): give the base model"
            )
        if self.recipe.backend != "thimble":
            raise OptionError(
                f"the recipe's backend is {self.recipe.backend!r}; our kernels train those with "
                "'thimble'"
            )
        return Network(self.recipe, self.kernel)

    @property
    def _unit(self) -> int:
        """In what a checkpoint counts what came since the last entry: steps, or tokens where steps
        are not equal."""
        return 1 if self.recipe.completion else self.tokens_per_step

    def _move(self, share: float) -> tuple[float, float, int]:
        """Make the step; return its nats, its gradients' norm and how many tokens it predicted."""
        r = self.recipe
        self._settle()
        nats, tokens = 0.0, self.tokens_per_step
        batches = [self._take() for _ in range(r.micro_batches)]
        if r.completion:
            tokens = sum(target >= 0 for batch in batches for target in batch.targets)
        for micro, batch in enumerate(batches):
            noise = draw(key(r.seed, 3), self._step * PASSES + micro)
            nats += self.network.learn(batch, 1.0 / tokens, noise)
        norm = self.network.update(self._rates(share))
        self._settled = False
        return nats, norm, tokens

    def _take(self) -> Batch:
        """Return the next rows."""
        pieces = self._rows.take(self.recipe.micro_tokens // self.recipe.context)
        return batch_of(self.corpus.ids, pieces, self.corpus.given)

    def _rates(self, share: float) -> Rates:
        r, step = self.recipe, self._step + 1
        return Rates(
            clip=float(r.grad_clip),
            adam_rate=r.adam_lr * share,
            adam_beta1=float(r.adam_beta1),
            adam_beta2=float(r.adam_beta2),
            adam_grow1=1.0 / (1.0 - _power(r.adam_beta1, step)),
            adam_grow2=1.0 / (1.0 - _power(r.adam_beta2, step)),
            adam_decay=float(r.adam_weight_decay),
            muon_rate=r.muon_lr * share,
            muon_momentum=float(r.muon_momentum),
            muon_decay=float(r.muon_weight_decay),
        )

    def _settle(self) -> None:
        """Let products read the weights as the recipe wants them in the coming step."""
        if not self._settled:
            self.network.settle(exact=self._step < self.recipe.quantize_start)
            self._settled = True

    def _note(self, report: StepReport, nats: float) -> None:
        r = self.recipe
        self._nats, self._since = self._nats + nats, self._since + report.tokens
        hashed = self._step % r.hash_every == 0 or self.done
        if self._step % r.log_every and not hashed:
            return
        loss = self._nats / self._since
        entry: dict[str, Any] = {
            "step": self._step, "loss": loss, "grad_norm": report.grad_norm, "lr": report.lr,
        }  # fmt: skip
        if hashed:
            entry["weights"] = self.weights_sha256()
        self._curve.append(entry)
        self._nats, self._since = 0.0, 0

    def evaluate(self, stories: int | None = None) -> float:
        """Return bits per byte on the held-out text, of its first `stories` stories (None: all).

        Weights are used as the recipe lets them be used: rounded, where it says `quantize`.
        """
        pieces = self.corpus.heldout[:stories]
        size = self.corpus.heldout_bytes(pieces)
        if not size:
            raise OptionError("nothing is held out to be measured on")
        self._settle()
        return self._measure(self._batches(pieces)) / LN2 / size

    def _measure(self, batches: list[Batch]) -> float:
        """Return the sum of the batches' nats."""
        return sum(self.network.measure(batch) for batch in batches)

    def _batches(self, pieces: list[Piece]) -> list[Batch]:
        """Return pieces in as few batches as they come."""
        groups: list[list[Piece]] = [[]]
        left = self.recipe.micro_tokens
        for piece in pieces:
            if piece[1] > left:
                groups.append([])
                left = self.recipe.micro_tokens
            groups[-1].append(piece)
            left -= piece[1]
        return [batch_of(self.corpus.ids, group, self.corpus.given) for group in groups]

    def sample(self, prompt: str, n: int, *, temperature: float = 0.8, seed: int = 0) -> str:
        """Return what the model now writes after `prompt`, at most `n` tokens."""
        loader = ModelLoader(kernel=self.kernel)
        loader.feed(self.whole())
        model = loader.finish()
        session = model.session()
        try:
            params = SamplingParams(max_tokens=n, temperature=temperature, seed=seed)
            return "".join(piece.text for piece in session.generate(prompt, params))
        finally:
            session.close()
            model.close()

    def export(self, type: str = "f32") -> bytes:
        """Return what was trained as a GGUF file, its matrices as `f32`, `q8_0` or `q4_0`."""
        return self.whole(type)

    def whole(self, type: str = "f32") -> bytes:
        """Return the model that writes as this one does now, as a GGUF file."""

        def read(first: int, count: int) -> bytes:
            return self.network.read(WEIGHTS, first, count)

        writer = model_file(self.recipe, self.corpus.metadata, read, type, self.kernel)
        return writer.to_bytes()

    def weights_sha256(self) -> str:
        """Return the hash of all float32 weights, little-endian, in the order of the file's
        tensors."""
        return self.network.sha256()

    def checkpoint(self) -> bytes:
        """Return everything that `resume` needs beside the text."""
        header = {
            "recipe": self.recipe.to_dict(),
            "tokenizer": self.corpus.metadata,
            "heldout_sha256": self.corpus.heldout_sha256,
            "step": self._step,
            "rows": self._rows.state(),
            "curve": self._curve,
            "since": [self._nats, self._since // self._unit],
            "seconds": self.seconds,
        }
        parts = [
            self.network.read(which, first, count)
            for which, first, count in _saved_buffers(self.recipe, self.network.n_weights)
        ]
        return state.pack(header, parts)

    @classmethod
    def resume(
        cls,
        data: bytes,
        text: str,
        *,
        heldout: str | None = None,
        kernel: Kernel | None = None,
        threads: int | None = None,
        **more: Any,
    ) -> Trainer:
        """Return the trainer whose `checkpoint` this is; it goes on to the same bits. `more` is
        what a class of one's own wants besides.

        Raises `FormatError` for bytes that are no checkpoint, or a damaged one; `OptionError` for
        another text.
        """
        header, floats = state.unpack(data)
        try:
            recipe = Recipe.from_dict(header["recipe"])
            metadata = header["tokenizer"]
            if (sha256(heldout) if heldout else None) != header["heldout_sha256"]:
                raise OptionError("the checkpoint has another held-out text")
            trainer = cls(
                recipe, text, heldout=heldout, kernel=kernel, threads=threads, tokenizer=metadata,
                **more,
            )  # fmt: skip
            trainer._restore(header, floats)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            if isinstance(error, OptionError):
                raise
            raise FormatError(f"the checkpoint's header lies: {error!r}") from None
        return trainer

    def restore(self, data: bytes) -> None:
        """Go back to where a `checkpoint` of this run was."""
        header, floats = state.unpack(data)
        try:
            self._restore(header, floats)
        except (KeyError, TypeError, ValueError) as error:
            raise FormatError(f"the checkpoint's header lies: {error!r}") from None

    def _restore(self, header: dict[str, Any], floats: memoryview) -> None:
        buffers = _saved_buffers(self.recipe, self.network.n_weights)
        wanted = 4 * sum(count for _, _, count in buffers)
        if len(floats) != wanted:
            raise FormatError(f"the checkpoint holds {len(floats)} bytes of numbers, not {wanted}")
        at = 0
        for which, first, count in buffers:
            self.network.write(which, floats[at : at + 4 * count], first)
            at += 4 * count
        self._rows.restore(header["rows"])
        self._step = int(header["step"])
        if not 0 <= self._step <= self.recipe.steps:
            raise FormatError(f"the checkpoint is of step {self._step} of {self.recipe.steps}")
        self._curve = [dict(entry) for entry in header["curve"]]
        self._nats, self._since = float(header["since"][0]), int(header["since"][1]) * self._unit
        self.seconds = float(header["seconds"])
        self._settled = False

    def receipt(self, **facts: Any) -> dict[str, Any]:
        """Return what proves the run so far, ready for JSON (`receipt.py`); `facts` (machine,
        seconds and the like) are added as they are."""
        return receipt.make(
            self.recipe,
            corpus=self.corpus,
            kernel=self.kernel,
            curve=self.curve,
            step=self._step,
            weights=self.weights_sha256(),
            n_weights=self.n_parameters,
            facts=facts,
        )

    def close(self) -> None:
        """Give the kernel's memory back."""
        self.network.close()


def _saved_buffers(recipe: Recipe, n: int) -> list[tuple[int, int, int]]:
    """Return which numbers a checkpoint holds: what, from where, how many. Muon has no second
    average, so its matrices have none there."""
    buffers = [(WEIGHTS, 0, n), (FIRST, 0, n)]
    if recipe.optimizer != "muon":
        return [*buffers, (SECOND, 0, n)]
    at = 0
    for name, shape in tensors(recipe):
        count = shape[0] * (shape[1] if len(shape) == 2 else 1)
        if len(shape) == 1 or name == "token_embd.weight":
            buffers.append((SECOND, at, count))
        at += count
    return buffers


def _power(base: float, exponent: int) -> float:
    """Return base to a whole power, by products alone: `**` asks the C library, whose last bit is
    its own affair."""
    result = 1.0
    while exponent:
        if exponent & 1:
            result *= base
        base *= base
        exponent >>= 1
    return result
