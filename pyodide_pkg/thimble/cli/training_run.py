"""One run of `thimble train` and its folder: checkpoints, log, model, receipt.

In the folder: `checkpoint.bin` from time to time, `log.jsonl`, and at the end `model.gguf` (or
`adapter.gguf`, where a base model was adapted) and `receipt.json`. A run that is stopped (ctrl-C,
SIGTERM) writes its checkpoint first, and `--resume` goes on from there to the same bits.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import signal
import time
from argparse import Namespace
from pathlib import Path
from types import FrameType
from typing import Any

from ..errors import NumericError, OptionError
from ..kernel import default_kernel
from ..train.finetune import Base, FineTuner
from ..train.recipe import Recipe, read_choices
from ..train.trainer import StepReport, Trainer
from . import inputs

CHECKPOINT, LOG, RECEIPT = "checkpoint.bin", "log.jsonl", "receipt.json"
MODEL, ADAPTER = "model.gguf", "adapter.gguf"
STOPPED = 130


class Run:
    """One run and its folder."""

    trains: type[Trainer] = Trainer
    writes = True
    """Whether this process prints, and writes the folder: of several, one does."""

    def __init__(self, recipe: Recipe, options: Namespace) -> None:
        inputs.check_threads(options.threads)
        self.folder: Path = options.out
        self.type: str = options.type or ("f32" if recipe.lora_rank else "q8_0")
        if recipe.lora_rank and self.type != "f32":
            raise OptionError(f"--type is {self.type!r}; an adapter is written as 'f32'")
        self.threads: int = options.threads
        self.stop = False
        self.trainer = self._trainer(recipe, options)

    def _trainer(self, recipe: Recipe, options: Namespace) -> Trainer:
        text = inputs.text_file(options.data)
        heldout = inputs.text_file(options.heldout) if options.heldout else None
        path, saved = self.folder / CHECKPOINT, self._saved()
        if saved is None:
            self.folder.mkdir(parents=True, exist_ok=True)
            return self.trains(
                recipe,
                text,
                heldout=heldout,
                threads=self.threads,
                tokenizer=inputs.tokenizer(options),
                **self._more(),
            )
        if not options.resume:
            raise OptionError(
                f"{path} is there: --resume goes on with that run; another one needs another --out"
            )
        trainer = self.trains.resume(
            saved, text, heldout=heldout, threads=self.threads, **self._more()
        )
        # The text's hash is there once a run has begun, whether the file has it or not.
        if trainer.recipe.to_dict() != recipe.to_dict() | {
            "data_sha256": trainer.recipe.data_sha256
        }:
            trainer.close()
            raise OptionError(f"{path} is of another recipe than {options.recipe}")
        return trainer

    def _more(self) -> dict[str, Any]:
        """Return what the trainer wants besides."""
        return {}

    def _saved(self) -> bytes | None:
        """Return the folder's checkpoint; None where there is none."""
        path = self.folder / CHECKPOINT
        return path.read_bytes() if path.exists() else None

    def go(self) -> int:
        """Train to the end, or until somebody stops it; return the exit code."""
        before = [signal.signal(s, self._stop) for s in (signal.SIGINT, signal.SIGTERM)]
        try:
            if not self._train():
                self._say(f"stopped at step {self.trainer.steps_made:,}; --resume goes on")
                return STOPPED
        finally:
            for number, handler in zip((signal.SIGINT, signal.SIGTERM), before, strict=True):
                signal.signal(number, handler)
        self._finish()
        return 0

    def _stop(self, number: int, frame: FrameType | None) -> None:
        if self.stop:  # asked twice: at once
            raise KeyboardInterrupt
        self.stop = True

    def _stopping(self) -> bool:
        return self.stop

    def _say(self, words: str) -> None:
        if self.writes:
            print(words, flush=True)

    def _train(self) -> bool:
        """Make steps; return whether all are made. A checkpoint is there either way."""
        trainer, saved = self.trainer, time.monotonic()
        while not trainer.done and not self._stopping():
            try:
                report = trainer.step()
            except NumericError:
                self._save()
                raise
            self._tell(report)
            if time.monotonic() - saved >= trainer.recipe.checkpoint_seconds:
                self._save()
                saved = time.monotonic()
        self._save()
        return trainer.done

    def _tell(self, report: StepReport) -> None:
        trainer, recipe = self.trainer, self.trainer.recipe
        entry: dict[str, Any] = {}
        if report.step % recipe.log_every == 0 or trainer.done:
            rate = report.step * report.tokens / trainer.seconds
            entry = {**trainer.curve[-1], "seconds": round(trainer.seconds, 1)}
            self._say(
                f"step {report.step:,} of {recipe.steps:,}: loss {entry['loss']:.4f}, "
                f"{rate:,.0f} tokens/s, "
                f"{(recipe.steps - report.step) * report.tokens / rate:,.0f} s left"
            )
        if report.step % recipe.eval_every == 0 and not trainer.done and trainer.corpus.heldout:
            entry |= {"step": report.step, "bits_per_byte": trainer.evaluate(recipe.eval_stories)}
            self._say(f"step {report.step:,}: {entry['bits_per_byte']:.4f} bits per byte")
        if entry and self.writes:
            with (self.folder / LOG).open("a", encoding="utf-8") as file:
                file.write(json.dumps(entry) + "\n")

    def _save(self) -> None:
        if self.writes:
            write(self.folder / CHECKPOINT, self.trainer.checkpoint())

    def _finish(self) -> None:
        """Measure, and write the model and its receipt."""
        trainer = self.trainer
        measured = trainer.evaluate() if trainer.corpus.heldout else None
        if not self.writes:
            return
        model = trainer.export(self.type)
        path = self.folder / (ADAPTER if trainer.recipe.lora_rank else MODEL)
        write(path, model)
        receipt = trainer.receipt(
            model={
                "type": self.type,
                "bytes": len(model),
                "sha256": hashlib.sha256(model).hexdigest(),
            },
            heldout_bits_per_byte=measured,
            machine=self._machine(),
            seconds=round(trainer.seconds, 3),
            core_seconds=round(trainer.seconds * self._cores(), 3),
        )
        write(self.folder / RECEIPT, (json.dumps(receipt, indent=1) + "\n").encode())
        told = "" if measured is None else f", {measured:.4f} bits per byte on held-out text"
        self._say(
            f"{path}: {trainer.n_parameters:,} parameters, {len(model):,} bytes"
            f"{told}\n{self.folder / RECEIPT}: weights {trainer.weights_sha256()}"
        )

    def _cores(self) -> int:
        return self.threads

    def _machine(self) -> dict[str, Any]:
        """What a receipt tells of the machine; nothing depends on it."""
        return {
            "system": platform.system(),
            "processor": platform.machine(),
            "python": platform.python_version(),
            "threads": default_kernel().call("threads_alive") or self.threads,
        }


class TuningRun(Run):
    """A run that begins from a model."""

    trains = FineTuner

    def __init__(self, base: Base, options: Namespace) -> None:
        self.base = base
        super().__init__(base.recipe(read_choices(options.recipe)), options)

    def _more(self) -> dict[str, Any]:
        return {"base": self.base}


def write(path: Path, data: bytes) -> None:
    """Write a file, whole or not at all."""
    unfinished = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        unfinished.write_bytes(data)
        unfinished.replace(path)
    except BaseException:
        unfinished.unlink(missing_ok=True)
        raise
