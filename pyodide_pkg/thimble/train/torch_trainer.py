"""Train a model from text: the loop, for one process or many, on CPUs or CUDA GPUs.

    python -m thimble.train.torch_trainer RECIPE.json --data TEXT --heldout TEXT --out FOLDER
    torchrun --nproc-per-node 2 -m thimble.train.torch_trainer RECIPE.json ...

In the folder: `log.jsonl`, `tokenizer.json`, `checkpoint.pt` from time to time, `final.pt` at the
end. With `--resume` a run goes on from its checkpoint; SIGTERM makes it write one and stop; and
`plan.json` moves its end (`schedule.py`).

Any number of processes takes the same steps: a step's micro-batches are dealt out to them and their
gradients added up. Only the order of additions differs, and so the last bits.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import signal
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from ..errors import OptionError, ThimbleError
from . import checkpoint, schedule
from .bpe import END, end_id, load_bpe, train_bpe
from .checkpoint import Progress
from .data import NO_TARGET, Ids, Rows, cut_story, epoch, read_stories, sha256
from .evaluate import bits_per_byte
from .optim import Muon
from .processes import Processes, leave, start
from .recipe import Recipe
from .torch_model import Llama


@dataclass(frozen=True, slots=True)
class Text:
    """What a run reads: `pieces` to learn from, `heldout` stories to be measured on."""

    tokenizer: Tokenizer
    pieces: list[Ids]
    heldout: list[str]
    sha256: str


def make_optimizers(model: Llama, r: Recipe) -> list[torch.optim.Optimizer]:
    """Muon for the matrices, AdamW for the rest. Each remembers its full rate as `peak_lr`."""
    matrices: list[Tensor] = []
    rest: list[Tensor] = []
    for name, p in model.named_parameters():
        (rest if p.ndim == 1 or name == "token_embd.weight" else matrices).append(p)
    optimizers = [
        Muon(matrices, lr=r.muon_lr, momentum=r.muon_momentum, weight_decay=r.muon_weight_decay),
        torch.optim.AdamW(rest, lr=r.adam_lr, betas=(r.adam_beta1, r.adam_beta2), weight_decay=0.0),
    ]
    for optimizer in optimizers:
        for group in optimizer.param_groups:
            group["peak_lr"] = group["lr"]
    return optimizers


class Trainer:
    """One run in one process."""

    def __init__(self, recipe: Recipe, text: Text, out: Path, processes: Processes) -> None:
        """Raises `OptionError` where a step's micro-batches do not divide by the processes."""
        if recipe.micro_batches % processes.size:
            raise OptionError(
                f"micro_batches is {recipe.micro_batches}; it must be a multiple of the "
                f"{processes.size} processes"
            )
        self.recipe, self.text, self.out, self.processes = recipe, text, out, processes
        self.model = Llama(recipe).to(processes.device)
        self.optimizers = make_optimizers(self.model, recipe)
        self.progress = Progress()
        self.stop = False
        self._batches: tuple[int, list[Rows]] | None = None
        run: Any = torch.compile(self.model, dynamic=False) if recipe.compile else self.model
        self.network: nn.Module = DistributedDataParallel(run) if processes.size > 1 else run

    def resume(self) -> None:
        """Go on from the folder's checkpoint, where there is one."""
        path = self.out / "checkpoint.pt"
        if path.exists():
            self.progress = checkpoint.restore(
                checkpoint.read(path),
                self.recipe,
                self.model,
                self.optimizers,
                data_sha256=self.text.sha256,
            )

    def run(self) -> None:
        """Make steps until the plan's end, or until `stop` is set."""
        log = Log(self.out, self.processes)
        saved = time.monotonic()
        while True:
            plan, stop = self.processes.from_first(
                (schedule.Plan.read(self.recipe, self.out), self.stop)
            )
            if stop or self.progress.step >= plan.steps:
                break
            log.add(*self.step(plan))
            if self.progress.step % self.recipe.log_every == 0:
                log.write(self.progress)
            if self.progress.step % self.recipe.eval_every == 0:
                few = self.text.heldout[: self.recipe.eval_stories]
                log.note(self.progress, heldout_bpb=self.evaluate(few, self.recipe.dtype))
            if time.monotonic() - saved > self.recipe.checkpoint_seconds:
                self.save("checkpoint.pt")
                saved = time.monotonic()
        self.save("checkpoint.pt")
        if not stop:
            self.save("final.pt")
            log.note(self.progress, final_bpb=self.evaluate(self.text.heldout, "float32"))

    def step(self, plan: schedule.Plan) -> tuple[float, int, float]:
        """Make one step; return its sum of nats in this process, its tokens in all, and the
        gradient's norm before clipping."""
        group = self.next_batches()
        n_tokens = sum(int((rows.targets != NO_TARGET).sum()) for rows in group)
        mine = group[self.processes.rank :: self.processes.size]
        nats = 0.0
        for i, rows in enumerate(mine):
            # Gradients travel between processes once a step, with the last micro-batch.
            with self.silent() if i + 1 < len(mine) else contextlib.nullcontext():
                loss = self.loss(rows)
                # DistributedDataParallel takes the mean of the processes' gradients.
                (loss * (self.processes.size / n_tokens)).backward()  # type: ignore[no-untyped-call]
            nats += float(loss.detach())
        p = self.progress
        p.level = schedule.lower(p.level, p.step, plan)
        rate = p.level * schedule.warm_up(p.step, self.recipe)
        norm = nn.utils.clip_grad_norm_(self.model.parameters(), self.recipe.grad_clip)
        for optimizer in self.optimizers:
            for parameters in optimizer.param_groups:
                parameters["lr"] = parameters["peak_lr"] * rate
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
        p.step += 1
        p.tokens += n_tokens
        return nats, n_tokens, float(norm)

    def loss(self, rows: Rows) -> Tensor:
        """Return the sum of nats, ready to go backward."""
        device = self.processes.device
        inputs, targets, documents = (torch.from_numpy(a).to(device) for a in rows)
        with torch.autocast(device.type, torch.bfloat16, enabled=self.recipe.dtype == "bfloat16"):
            loss: Tensor = self.network(inputs, targets, documents)
        return loss

    def silent(self) -> contextlib.AbstractContextManager[None]:
        """Where gradients stay in their process."""
        if isinstance(self.network, DistributedDataParallel):
            quiet: contextlib.AbstractContextManager[None] = self.network.no_sync()
            return quiet
        return contextlib.nullcontext()

    def next_batches(self) -> list[Rows]:
        """Return the next step's micro-batches, of all processes."""
        p, r = self.progress, self.recipe
        if self._batches is None or self._batches[0] != p.epoch:
            self._batches = (p.epoch, self.epoch(p.epoch))
        if p.batch + r.micro_batches > len(self._batches[1]):
            if p.batch == 0:
                raise OptionError(
                    f"micro_batches is {r.micro_batches}; the text gives {len(self._batches[1])}"
                )
            p.epoch, p.batch = p.epoch + 1, 0
            return self.next_batches()
        p.batch += r.micro_batches
        return self._batches[1][p.batch - r.micro_batches : p.batch]

    def epoch(self, number: int) -> list[Rows]:
        r = self.recipe
        return epoch(
            self.text.pieces,
            context=r.context,
            micro_tokens=r.micro_tokens,
            seed=r.seed,
            number=number,
        )

    def evaluate(self, stories: list[str], dtype: str) -> float:
        """Return bits per byte."""
        tokenizer = self.text.tokenizer
        return bits_per_byte(
            self.model, tokenizer, stories, self.recipe, processes=self.processes, dtype=dtype
        )

    def save(self, name: str) -> None:
        if self.processes.first:
            checkpoint.save(
                self.out / name,
                self.recipe,
                self.model,
                self.optimizers,
                self.progress,
                data_sha256=self.text.sha256,
                tokenizer=self.text.tokenizer.to_str(),
            )


class Log:
    """Lines of JSON, printed and in `log.jsonl`."""

    def __init__(self, out: Path, processes: Processes) -> None:
        self.path, self.processes = out / "log.jsonl", processes
        self.nats, self.tokens, self.norm, self.since = 0.0, 0, 0.0, time.monotonic()

    def add(self, nats: float, tokens: int, norm: float) -> None:
        self.nats, self.tokens, self.norm = self.nats + nats, self.tokens + tokens, norm

    def write(self, progress: Progress) -> None:
        """Tell of the steps since the last line; every process must call it."""
        (nats,) = self.processes.sum(self.nats)
        seconds = time.monotonic() - self.since
        self.note(
            progress,
            loss=nats / self.tokens,
            gradient_norm=self.norm,
            level=progress.level,
            tokens_per_second=self.tokens / seconds,
        )
        self.nats, self.tokens, self.since = 0.0, 0, time.monotonic()

    def note(self, progress: Progress, **values: float) -> None:
        if not self.processes.first:
            return
        said = {"step": progress.step, "tokens": progress.tokens, "epoch": progress.epoch}
        line = json.dumps(said | {name: round(value, 5) for name, value in values.items()})
        print(line, flush=True)
        with self.path.open("a", encoding="utf-8") as file:
            file.write(line + "\n")


def read_text(recipe: Recipe, data: Path, heldout: Path, out: Path, processes: Processes) -> Text:
    """Read both files; the first process trains the tokenizer, all of them read it."""
    stories = read_stories(data)
    path = out / "tokenizer.json"
    if processes.first:
        out.mkdir(parents=True, exist_ok=True)
        train_bpe(stories, recipe.vocab_size).save(str(path))
    processes.from_first(None)  # wait for it
    tokenizer = load_bpe(path)
    end = end_id(tokenizer)
    pieces = [
        piece
        for encoding in tokenizer.encode_batch(stories)
        for piece in cut_story(encoding.ids, end, recipe.context)
    ]
    return Text(tokenizer, pieces, read_stories(heldout), sha256(data))


def parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="thimble.train.torch_trainer",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("recipe", type=Path, help="the run's choices, a JSON file")
    parser.add_argument("--data", type=Path, required=True, help=f"stories, divided by {END}")
    parser.add_argument("--heldout", type=Path, required=True, help="others, to be measured on")
    parser.add_argument("--out", type=Path, required=True, help="the run's folder")
    parser.add_argument("--resume", action="store_true", help="go on from its checkpoint")
    return parser.parse_args(arguments)


def main(arguments: list[str] | None = None) -> int:
    options = parse(arguments)
    try:
        recipe = Recipe.read(options.recipe)
        with start() as processes:
            text = read_text(recipe, options.data, options.heldout, options.out, processes)
            trainer = Trainer(recipe, text, options.out, processes)
            if options.resume:
                trainer.resume()

            def stop(*_: object) -> None:
                trainer.stop = True

            signal.signal(signal.SIGTERM, stop)
            trainer.run()
    except (ThimbleError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    leave(main())
