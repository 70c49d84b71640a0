"""Training in the page: begun, run in slices, saved, exported as a file.

One run at a time. What is long goes to a `Sink` instead of an answer. Clocks and what the visitor
sees of a run (curves, samples) are here; the trainer knows weights and steps only.
"""

from __future__ import annotations

import json
import struct
import time
from collections.abc import Generator, Iterator
from dataclasses import asdict, dataclass, field
from typing import Any

from ..errors import FormatError, NumericError, OptionError
from ..json_text import parse_json
from ..kernel import Kernel, default_kernel
from ..loader import load
from ..model import Model
from ..sampling import SamplingParams
from ..train.cost import FEWEST_STEPS, USUAL_SECONDS
from ..train.finetune import Base, FineTuner, resume, trainer_for
from ..train.receipt import Claim
from ..train.recipe import Recipe
from ..train.sizes import SIZES
from ..train.trainer import StepReport, Trainer
from ..train.verifying import Check, verify
from .engine import Engine
from .options import asked
from .pool import JsBuffer, bytes_of

POINTS = 200
"""Points that a curve of losses has at the end of a run, about; each is a mean."""
SAMPLES = 20
"""Samples in a run, at most, beside the ones before the first step and after the last."""
ROUND = (1, 2, 5, 10, 20, 25, 50, 100, 200, 250, 500)
"""Steps from one sample to the next, where a run is short enough for one of them."""
TEMPERATURE = 0.8
THREADS_FROM = 200_000
"""Parameters from which threads gain more than meeting costs them."""
MEASURED_TEXT = 20_000
"""Characters that a step is measured on; the time does not depend on which."""
MOST_STEPS = 200
"""Steps of a fine-tuning whose recipe does not say how many."""
MOST_RECEIPT = 1 << 24
"""Characters of a receipt that is read here."""

HEAD = struct.Struct("<4sI")
MAGIC = b"TRUN"


@dataclass(frozen=True, slots=True)
class Sampling:
    """What a sample is: so many texts, each after a prompt."""

    prompts: tuple[str, ...] = ("",)
    tokens: int = 160


@dataclass(slots=True)
class History:
    """What the visitor sees of a run, from its beginning."""

    loss: list[tuple[int, float]] = field(default_factory=list)
    """Step, and the mean loss of the steps since the last entry, in nats per token."""
    heldout: list[tuple[int, float]] = field(default_factory=list)
    """Step, and bits per byte."""
    samples: list[tuple[int, str]] = field(default_factory=list)
    seconds: float = 0.0
    tokens: int = 0


@dataclass(slots=True)
class Run:
    """A training under way."""

    trainer: Trainer
    about: dict[str, Any]
    """The page's own words about it, given back when it is resumed."""
    sampling: Sampling
    history: History = field(default_factory=History)
    window: list[float] = field(default_factory=list)
    """Losses since the last entry of the curve."""
    base: Model | None = None
    """The model that was begun from, once it has been asked for."""

    def close(self) -> None:
        self.trainer.close()
        if self.base is not None:
            self.base.close()


@dataclass(slots=True)
class Verification:
    """A receipt that is being checked."""

    claim: Claim
    checks: Iterator[Check]
    started: float
    step: int = 0
    agrees: bool | None = None
    """None until it is known."""
    differences: list[str] = field(default_factory=list)


class Service:
    """What the worker may ask as "train.…"."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._run: Run | None = None
        self._verification: Verification | None = None

    # Recipes

    def sizes(self) -> list[dict[str, Any]]:
        """The dial's positions, each with the parameters that it gives."""
        recipes = [Recipe.from_dict({"size": size}) for size in SIZES]
        return [{"size": recipe.size, "parameters": recipe.n_parameters} for recipe in recipes]

    def check(self, recipe: str) -> dict[str, Any]:
        """A recipe with all its defaults filled in; OptionError where it is none."""
        checked = read_recipe(recipe)
        return {"recipe": checked.to_dict(), "parameters": checked.n_parameters}

    def measure(self, recipe: str, text: str) -> float:
        """Seconds that a step takes on this machine: the second one, when all is warm."""
        choices = read_recipe(recipe).to_dict() | {"data_sha256": ""}
        trainer = self._trainer(Recipe.from_dict(choices), text[:MEASURED_TEXT])
        try:
            trainer.step()
            return trainer.step().seconds
        finally:
            trainer.close()

    # A run

    def begin(self, recipe: str, text: str, sampling: str, about: str) -> dict[str, Any]:
        """Get ready to train from nothing; an earlier run is let go of, if this one can be."""
        trainer = self._trainer(read_recipe(recipe), text)
        chosen = Sampling(**asked(sampling))
        self._end()
        self._run = Run(trainer, asked(about), chosen)
        return self.describe()

    def tune(
        self, base: JsBuffer | bytes, recipe: str, text: str, sampling: str, about: str
    ) -> dict[str, Any]:
        """Get ready to train on from the model in a GGUF file. A recipe that does not say how many
        steps has as many as about a minute allows here."""
        begun = Base(bytes_of(base))
        choices = _choices(recipe)
        if "steps" not in choices:
            choices["steps"] = self._steps(begun, choices, text)
        made = begun.recipe(choices)
        trainer = trainer_for(made, text, base=begun, kernel=self._kernel(made.n_parameters))
        chosen = Sampling(**asked(sampling))
        self._end()
        self._run = Run(trainer, asked(about), chosen)
        return self.describe()

    def _steps(self, base: Base, choices: dict[str, Any], text: str) -> int:
        """How many steps take about a minute here: two are made to see, of a single row where a
        step is slow."""
        made = base.recipe(choices | {"steps": 2})
        share = 1
        if base.other and made.micro_tokens > made.context:
            share = made.micro_tokens // made.context
            made = base.recipe(choices | {"steps": 2, "micro_tokens": made.context})
        trainer = trainer_for(made, text, base=base, kernel=self._kernel(made.n_parameters))
        try:
            trainer.step()
            steps = int(USUAL_SECONDS / max(share * trainer.step().seconds, 1e-3))
        finally:
            trainer.close()
        return min(MOST_STEPS, max(FEWEST_STEPS, steps // 10 * 10))

    def compare(self, prompt: str, seed: int, tokens: int) -> dict[str, str]:
        """What is written after a prompt by the model that was begun from, and by the one that came
        of it: the same draws for both."""
        run = self._running()
        if not isinstance(run.trainer, FineTuner):
            raise OptionError("this training began from nothing: there is no model before it")
        params = SamplingParams(max_tokens=tokens, temperature=TEMPERATURE, seed=seed)
        texts = {}
        if run.trainer.through_plan:
            for when, tuned in (("before", False), ("after", True)):
                texts[when] = run.trainer.sample(
                    prompt, tokens, temperature=TEMPERATURE, seed=seed, tuned=tuned
                )
            return texts
        for when in ("before", "after"):
            model = self._model(run, tuned=when == "after")
            session = model.session()
            texts[when] = "".join(chunk.text for chunk in session.generate(prompt, params))
            session.close()
            if model is not run.base:
                model.close()
        return texts

    def resume(
        self, saved: JsBuffer | bytes, text: str, base: JsBuffer | bytes | None = None
    ) -> dict[str, Any]:
        """Go on from what `checkpoint` saved; an earlier run is closed."""
        self._end()
        said, checkpoint = _unpack(bytes_of(saved))
        begun = None if base is None else Base(bytes_of(base))
        parameters = said["parameters"] if begun is None else begun.recipe({}).n_parameters
        trainer = resume(checkpoint, text, base=begun, kernel=self._kernel(parameters))
        history = History(**said["history"])
        self._run = Run(
            trainer, said["about"], Sampling(**said["sampling"]), history, said["window"]
        )
        return self.describe()

    def describe(self) -> dict[str, Any]:
        """The run as it stands, its whole history included."""
        run = self._running()
        recipe = run.trainer.recipe
        return {
            "about": run.about,
            "recipe": recipe.to_dict(),
            "parameters": run.trainer.n_parameters,
            "step": run.trainer.steps_made,
            "steps": recipe.steps,
            "done": run.trainer.done,
            "history": asdict(run.history),
            "base": run.trainer.base.name if isinstance(run.trainer, FineTuner) else None,
        }

    def run(self, milliseconds: float) -> dict[str, Any]:
        """Train for about so long, for one step at least; what was new in it.

        A loss that is not finite ends the run: `failed` says so, the weights are those before it.
        """
        run = self._running()
        history = run.history
        seen = (len(history.loss), len(history.heldout), len(history.samples))
        until = time.perf_counter() + milliseconds / 1000
        last, failed = None, None
        if run.trainer.steps_made == 0:
            self._look(run)
        while not run.trainer.done:
            try:
                last = run.trainer.step()
            except NumericError as error:
                failed = str(error)
                break
            self._note(run, last)
            if time.perf_counter() >= until:
                break
        return {
            "step": run.trainer.steps_made,
            "loss": history.loss[seen[0] :],
            "heldout": history.heldout[seen[1] :],
            "samples": history.samples[seen[2] :],
            "seconds": history.seconds,
            "tokens": history.tokens,
            "grad_norm": last.grad_norm if last else None,
            "done": run.trainer.done,
            "failed": failed,
        }

    def _note(self, run: Run, report: StepReport) -> None:
        """Put a step into the history, and look at the model where it is time to."""
        history, recipe = run.history, run.trainer.recipe
        history.seconds += report.seconds
        history.tokens += report.tokens
        run.window.append(report.loss)
        done = run.trainer.done
        if done or report.step % max(1, recipe.steps // POINTS) == 0:
            history.loss.append((report.step, sum(run.window) / len(run.window)))
            run.window.clear()
        self._look(run)

    def _look(self, run: Run) -> None:
        """Measure on the held-out text and sample, at the steps where that is done."""
        started = time.perf_counter()
        trainer, recipe = run.trainer, run.trainer.recipe
        step = trainer.steps_made
        if trainer.done or step % recipe.eval_every == 0:
            stories = None if trainer.done else recipe.eval_stories
            run.history.heldout.append((step, trainer.evaluate(stories)))
        if trainer.done or step % sample_every(recipe.steps) == 0:
            run.history.samples.append((step, self._sample(run)))
        run.history.seconds += time.perf_counter() - started

    def _model(self, run: Run, *, tuned: bool = True) -> Model:
        """The model as the run has it, or as it began: to be closed, unless it is `run.base`."""
        trainer = run.trainer
        if isinstance(trainer, FineTuner) and (trainer.recipe.lora_rank or not tuned):
            if run.base is None:
                run.base = load(trainer.base.data)
            if trainer.recipe.lora_rank:
                run.base.adapt(trainer.export(), 1.0 if tuned else 0.0)
            return run.base
        return load(trainer.whole())

    def _sample(self, run: Run) -> str:
        """What the model writes after each prompt; the first samples are noise, line ends among it,
        and a list has a text a line."""
        texts = self._samples(run)
        return "\n".join(t.replace("\n", " ") for t in texts) if len(texts) > 1 else texts[0]

    def _samples(self, run: Run) -> list[str]:
        trainer, sampling = run.trainer, run.sampling
        if isinstance(trainer, FineTuner) and trainer.through_plan:
            return [
                prompt + trainer.sample(prompt, sampling.tokens, temperature=TEMPERATURE, seed=seed)
                for seed, prompt in enumerate(sampling.prompts)
            ]
        model = self._model(run)
        session = model.session()
        try:
            texts = []
            for seed, prompt in enumerate(run.sampling.prompts):
                session.rollback(0)
                params = SamplingParams(
                    max_tokens=run.sampling.tokens, temperature=TEMPERATURE, seed=seed
                )
                texts.append(prompt + "".join(p.text for p in session.generate(prompt, params)))
            return texts
        finally:
            session.close()
            if model is not run.base:
                model.close()

    # What comes out of it

    def checkpoint(self) -> bytes:
        """Everything that `resume` needs beside the text."""
        run = self._running()
        said = {
            "about": run.about,
            "parameters": run.trainer.n_parameters,
            "sampling": asdict(run.sampling),
            "history": asdict(run.history),
            "window": run.window,
        }
        head = json.dumps(said).encode()
        return HEAD.pack(MAGIC, len(head)) + head + run.trainer.checkpoint()

    def export(self, type: str) -> bytes:
        """The model as a GGUF file."""
        return self._running().trainer.export(type)

    def receipt(self, facts: str) -> dict[str, Any]:
        """What proves the run so far; `facts` are the machine's, from the page."""
        run = self._running()
        seconds = run.history.seconds
        threads = run.trainer.kernel.call("threads_alive")
        return run.trainer.receipt(
            **asked(facts),
            seconds=round(seconds, 1),
            core_seconds=round(seconds * threads, 1),
        )

    # Receipts

    def verify(
        self, receipt: str, text: str, base: JsBuffer | bytes | None = None
    ) -> dict[str, Any]:
        """Get ready to train again what a receipt says; `verify_on` does it."""
        self.verify_end()
        if len(receipt) > MOST_RECEIPT:
            raise FormatError(
                f"a receipt has at most {MOST_RECEIPT:,} characters, not {len(receipt):,}"
            )
        said = parse_json(receipt, "the receipt")
        claim = Claim.read(said)
        begun = None if base is None or not claim.recipe.tunes else Base(bytes_of(base))
        kernel = self._kernel(claim.recipe.n_parameters)
        checks = verify(said, text, kernel=kernel, base=begun)
        self._verification = Verification(claim, checks, time.perf_counter())
        return self._verdict(self._verification)

    def verify_on(self, milliseconds: float) -> dict[str, Any]:
        """Go on for about so long, up to the receipt's next entry at least."""
        found = self._verification
        if found is None:
            raise OptionError("there is no receipt under way: verify one first")
        until = time.perf_counter() + milliseconds / 1000
        while found.agrees is None and time.perf_counter() < until:
            check = next(found.checks, None)
            if check is None:
                found.agrees = True
                break
            found.step = check.step
            if not check.agrees:
                found.agrees = False
                found.differences.append(f"it first differs at step {check.step:,}: {check.why}")
                found.differences += found.claim.differences(default_kernel())
        return self._verdict(found)

    def verify_end(self) -> None:
        """Let a check go, and its memory."""
        found, self._verification = self._verification, None
        if found is not None and isinstance(found.checks, Generator):
            found.checks.close()  # now, not when it is collected

    def _verdict(self, found: Verification) -> dict[str, Any]:
        return {
            "step": found.step,
            "steps": found.claim.steps,
            "seconds": time.perf_counter() - found.started,
            "agrees": found.agrees,
            "differences": found.differences,
        }

    # The end

    def _end(self) -> None:
        """Let the run go, and its memory."""
        if self._run is not None:
            self._run.close()
            self._run = None

    def _trainer(self, recipe: Recipe, text: str) -> Trainer:
        return Trainer(recipe, text, kernel=self._kernel(recipe.n_parameters))

    def _kernel(self, parameters: int) -> Kernel | None:
        """The threads, for a model that gains from them; the bits are the same."""
        return self._engine.pool if parameters >= THREADS_FROM else None

    def _running(self) -> Run:
        if self._run is None:
            raise OptionError("there is no training: begin one first")
        return self._run


def sample_every(steps: int) -> int:
    """Steps from one sample to the next, in a run of so many."""
    return next((every for every in ROUND if steps // every <= SAMPLES), -(-steps // SAMPLES))


def read_recipe(text: str) -> Recipe:
    """A recipe from JSON; OptionError where it is none."""
    return Recipe.from_dict(_choices(text))


def _choices(text: str) -> dict[str, Any]:
    """The object that a recipe's JSON is; OptionError where it is none."""
    choices = parse_json(text, "the recipe", OptionError)
    if not isinstance(choices, dict):
        raise OptionError(f"a recipe is a JSON object, not {text[:40]!r}")
    return choices


def _unpack(data: bytes) -> tuple[dict[str, Any], bytes]:
    """What `checkpoint` packed: the words, and the trainer's bytes."""
    if len(data) < HEAD.size or data[:4] != MAGIC:
        raise FormatError(f"these {len(data):,} bytes are no saved training")
    _, length = HEAD.unpack_from(data)
    end = HEAD.size + length
    said = parse_json(data[HEAD.size : end], f"the saved training of {len(data):,} bytes")
    if not isinstance(said, dict):
        raise FormatError(f"the saved training of {len(data):,} bytes is damaged")
    return said, data[end:]
