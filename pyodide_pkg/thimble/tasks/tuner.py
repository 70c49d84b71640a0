"""Examples into an adapter: training on what is wanted alone, until the check part gets no better.

    tuner = TaskTuner(base, examples)
    while not tuner.done:
        tuner.step()
    task = tuner.task("intent")

The run is one of `FineTuner`'s, so its recipe, text and base decide every bit, and its receipt is
verified like any other; this file chooses the recipe, looks at the check part, keeps the best
weights and stops early. How good the task is, `measure.py` says.
"""

from __future__ import annotations

import json
import struct
from dataclasses import dataclass
from typing import Any

from ..adapter import read_adapter
from ..errors import FormatError, OptionError
from ..json_text import parse_json
from ..kernel import Kernel
from ..model import Model
from ..tokenizer import Tokenizer, tokenizer_from_metadata
from ..train.finetune import Base, FineTuner
from ..train.recipe import Recipe
from ..train.trainer import StepReport
from .answer import TEXT, Answerer, Shape
from .examples import END_MARK, GIVEN_MARK, Example, Examples
from .measure import fit_temperature
from .task import Task, schema_of

MOST_CONTEXT = 1024
"""Tokens of an example, where the model's context holds as many."""
PER_STEP = 8
"""Examples that a step learns from, about."""
LOOKS = 2
"""Times in a pass that the check part is looked at."""
PATIENCE = 4
"""Looks without a better one, after which the run ends."""
FULL = 0.9
"""The share of a row that whole examples fill, about."""
MAGIC = b"TASK"
_HEAD = struct.Struct("<4sII")


@dataclass(frozen=True, slots=True)
class TuneOptions:
    """How an adapter is made of examples; the recipe follows."""

    rank: int = 8
    passes: float = 6.0
    """Through the examples, at most."""
    learning_rate: float = 0.004
    seed: int = 1
    matrices: str = ""
    """Those that are adapted; empty for all."""
    template: str = ""
    """The prompt; empty for one that suits the kind."""

    def __post_init__(self) -> None:
        if not 0 < self.passes <= 1000:
            raise OptionError(f"passes is {self.passes!r}; it must be above 0 and at most 1,000")
        if self.template and (TEXT not in self.template or _has_marks(self.template)):
            raise OptionError(f"the template {self.template!r:.60} must have {TEXT} in it")


class TaskTuner:
    """One run. Close it to give its memory back."""

    def __init__(
        self, base: Base, examples: Examples, *, options: TuneOptions | None = None,
        kernel: Kernel | None = None, threads: int | None = None, saved: bytes | None = None,
    ) -> None:  # fmt: skip
        """Get ready, or go on from `saved`, what `checkpoint` gave. Raises OptionError for
        examples and options that do not go with the base, and what `FineTuner` raises."""
        self.base, self.options = base, options or TuneOptions()
        tokenizer = tokenizer_from_metadata(base.tokenizer)
        self.shape = _shape(examples, self.options, tokenizer)
        self.examples, self.too_long = _fitting(examples, self.shape, tokenizer, base)
        recipe, text = _recipe(base, self.examples, self.shape, self.options, tokenizer)
        heldout = _text(self.examples.part("check"), self.shape)
        self.history: list[tuple[int, float]] = []
        """Step, and bits per byte of the check part's answers."""
        more: dict[str, Any] = {"heldout": heldout, "kernel": kernel, "threads": threads}
        self._best, self._best_step, self._stopped = b"", 0, False
        if saved is None:
            self.trainer = FineTuner(recipe, text, base=base, **more)
            self._look()
        else:
            said, self._best, checkpoint = _unpack(saved)
            more["heldout"] = heldout or None
            self.trainer = _resumed(checkpoint, text, base, more)
            _same(self.trainer.recipe, recipe, self.trainer)
            self.history = [(int(step), float(bits)) for step, bits in said["history"]]
            self._best_step, self._stopped = int(said["best"]), bool(said["stopped"])

    @property
    def done(self) -> bool:
        """Whether all steps are made, or the check part has long been no better."""
        return self.trainer.done or self._stopped

    @property
    def best_step(self) -> int:
        """The step whose weights are kept."""
        return self._best_step or self.trainer.steps_made

    def step(self) -> StepReport:
        """Make one step, and look at the check part where it is time to."""
        report = self.trainer.step()
        if self.trainer.done or report.step % self.trainer.recipe.eval_every == 0:
            self._look()
        return report

    def _look(self) -> None:
        trainer = self.trainer
        if not trainer.corpus.heldout:
            return
        bits, step = trainer.evaluate(), trainer.steps_made
        best = min((past for _, past in self.history), default=float("inf"))
        self.history.append((step, bits))
        if bits < best and step:
            self._best, self._best_step = trainer.checkpoint(), step
        since = sum(at > self._best_step for at, _ in self.history)
        self._stopped = bool(self._best) and since >= PATIENCE

    def settle(self) -> None:
        """Go back to the best weights; the run is over then."""
        if self._best and self._best_step != self.trainer.steps_made:
            self.trainer.restore(self._best)
        self._stopped = True

    def task(self, name: str, *, threshold: float = 0.0) -> Task:
        """Return the task with the best weights; its card has no measures yet."""
        self.settle()
        trainer = self.trainer
        adapter = read_adapter(trainer.export())
        return Task(
            name=name, shape=self.shape,
            base={
                "name": self.base.name, "architecture": self.base.config.architecture,
                "sha256": self.base.sha256,
            },
            adapter=adapter, temperature=1.0, threshold=threshold,
            card={"examples": self.report(), "steps": trainer.steps_made,
                  "seconds": round(trainer.seconds, 1)},
            receipt=trainer.receipt() if trainer.steps_made else None,
        )  # fmt: skip

    def report(self) -> dict[str, Any]:
        """What the examples are, those that were too long for the base left out."""
        made = self.examples.report()
        if self.too_long:
            made["left_out"] = made["left_out"] | {"too long for the model": self.too_long}
        return made

    def texts(self) -> tuple[str, str]:
        """Return what is trained on and what is checked on, as `thimble verify` wants them."""
        parts = (self.examples.part(part) for part in ("train", "check"))
        train, check = (_text(part, self.shape) for part in parts)
        return train, check

    def checkpoint(self) -> bytes:
        """Return everything that going on takes, beside base and examples."""
        said = {"history": self.history, "best": self._best_step, "stopped": self._stopped}
        head = json.dumps(said).encode()
        return b"".join((
            _HEAD.pack(MAGIC, len(head), len(self._best)), head, self._best,
            self.trainer.checkpoint(),
        ))  # fmt: skip

    def close(self) -> None:
        self.trainer.close()


def calibrate(answerer: Answerer, examples: list[Example]) -> float:
    """Return the temperature at which an answerer's labels are as likely as they are right."""
    fitting = [e for e in examples if answerer.fits(e.given)]
    return fit_temperature([(answerer.log_probabilities(e.given), e.wanted) for e in fitting])


def asked_plainly(model: Model, task: Task, examples: Examples, shots: int) -> Answerer:
    """Return the model without its adapter, told what to do, or with so many examples in its
    prompt, as many as its context holds beside the longest text."""
    shape = task.shape
    before = f"{_instruction(shape)}\n\n"
    answerer = Answerer(model, shape, before=before)
    longest = max(
        (e.given for e in examples.part("held-out")), key=lambda text: len(answerer.ids(text))
    )
    for example in _spread(examples.part("train"))[:shots]:
        shown = f"{shape.prompt(example.given)}{shape.lead}{example.wanted}\n\n"
        answerer.before = before + shown
        if not answerer.fits(longest):
            break
        before += shown
    answerer.before = before
    return answerer


def _spread(examples: list[Example]) -> list[Example]:
    """Examples in an order in which each answer comes once before any comes twice."""
    seen: dict[str, int] = {}
    ranked = []
    for place, example in enumerate(examples):
        seen[example.wanted] = seen.get(example.wanted, 0) + 1
        ranked.append((seen[example.wanted], place))
    return [examples[place] for _, place in sorted(ranked)]


def _instruction(shape: Shape) -> str:
    if shape.kind == "label":
        return f"Choose one of: {', '.join(shape.labels)}."
    if shape.schema is not None:
        names = ", ".join(shape.schema.get("properties", {}))
        return f"Answer with a JSON object that has {names}."
    return "Answer in one line."


def _shape(examples: Examples, options: TuneOptions, tokenizer: Tokenizer) -> Shape:
    """How the examples are asked, and what answers are."""
    kind = examples.kind
    word = re_word(examples.wanted)
    if kind == "label":
        return Shape(kind, options.template or f"{TEXT}\n{word}:", " ", examples.labels)
    template = options.template or f"{TEXT}\n{word}:\n"
    wanted = [e.wanted for e in examples.examples]
    longest = max(len(tokenizer.encode(text, add_special=False)) for text in wanted)
    schema = schema_of([json.loads(text) for text in wanted]) if kind == "json" else None
    one_line = not any("\n" in text for text in wanted)
    return Shape(kind, template, "", (), schema, longest * 3 // 2 + 8, one_line)


def re_word(name: str) -> str:
    """Return a column's name as a prompt says it."""
    return name.strip().capitalize() if name.isascii() and not _has_marks(name) else "Answer"


def _has_marks(text: str) -> bool:
    return GIVEN_MARK in text or END_MARK in text


def _fitting(
    examples: Examples, shape: Shape, tokenizer: Tokenizer, base: Base
) -> tuple[Examples, int]:
    """The examples that fit into the base's context, and how many do not."""
    most = min(base.config.n_ctx, MOST_CONTEXT)
    kept = tuple(e for e in examples.examples if _tokens(e, shape, tokenizer) <= most)
    lost = len(examples.examples) - len(kept)
    made = Examples(examples.kind, kept, examples.given, examples.wanted, examples.left_out)
    for part in ("train", "held-out"):
        if len(made.part(part)) < 3:
            raise OptionError(
                f"{lost:,} of {len(examples.examples):,} examples have more than the {most:,} "
                f"tokens that {base.name!r} takes, and too few are left: shorten them"
            )
    if made.kind == "label" and set(made.labels) != {e.wanted for e in made.part("train")}:
        raise OptionError("without the examples that are too long a label has none: shorten them")
    return made, lost


def _tokens(example: Example, shape: Shape, tokenizer: Tokenizer) -> int:
    """How many tokens an example has, with those that begin and end it."""
    encode = tokenizer.encode
    prompt = encode(shape.prompt(example.given), add_special=False)
    return len(prompt) + len(encode(shape.lead + example.wanted, add_special=False)) + 2


def _text(examples: list[Example], shape: Shape) -> str:
    """Examples as a text to train on."""
    return END_MARK.join(
        f"{shape.prompt(e.given)}{GIVEN_MARK}{shape.lead}{e.wanted}" for e in examples
    )


def _recipe(
    base: Base, examples: Examples, shape: Shape, options: TuneOptions, tokenizer: Tokenizer
) -> tuple[Recipe, str]:
    """The recipe of a run, and its text."""
    train = examples.part("train")
    lengths = [_tokens(e, shape, tokenizer) for e in (*train, *examples.part("check"))]
    mean = sum(lengths[: len(train)]) / len(train)
    # A row is never longer than all there is to learn from, or the corpus would be too short.
    context = max(lengths)
    rows = max(1, round(PER_STEP * mean / FULL / context))
    a_pass = max(1, round(len(train) * mean / FULL / (rows * context)))
    steps = max(1, round(options.passes * a_pass))
    every = max(1, min(steps, a_pass // LOOKS))
    choices: dict[str, Any] = {
        "lora_rank": options.rank, "separator": END_MARK, "completion": GIVEN_MARK,
        "context": context, "micro_tokens": rows * context, "steps": steps,
        "warmup_steps": max(1, steps // 20), "decay_steps": steps, "seed": options.seed,
        "adam_lr": options.learning_rate, "adam_beta2": 0.98, "log_every": every,
        "hash_every": every, "eval_every": every,
    }  # fmt: skip
    if options.matrices:
        choices["lora_matrices"] = options.matrices
    return base.recipe(choices), _text(train, shape)


def _resumed(saved: bytes, text: str, base: Base, more: dict[str, Any]) -> FineTuner:
    made = FineTuner.resume(saved, text, base=base, **more)
    assert isinstance(made, FineTuner)
    return made


def _same(found: Recipe, wanted: Recipe, trainer: FineTuner) -> None:
    data = {"data_sha256": "", "eval_fraction": 0.0}
    if found.to_dict() | data != wanted.to_dict() | data:
        trainer.close()
        raise OptionError("what was saved is of another recipe, or of other examples")


def _unpack(data: bytes) -> tuple[dict[str, Any], bytes, bytes]:
    if len(data) < _HEAD.size or data[:4] != MAGIC:
        raise FormatError(f"these {len(data):,} bytes are no saved run")
    _, n_head, n_best = _HEAD.unpack_from(data)
    at = _HEAD.size + n_head
    said = parse_json(data[_HEAD.size : at], f"the saved run of {len(data):,} bytes")
    if not isinstance(said, dict) or {"history", "best", "stopped"} - set(said):
        raise FormatError(f"the saved run of {len(data):,} bytes is damaged")
    return said, data[at : at + n_best], data[at + n_best :]
