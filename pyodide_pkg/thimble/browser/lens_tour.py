"""The guided tour's experiments: each step runs one on the model and answers with one number, the
`value` that its question is about, and with what is to be shown of it.

Questions, choices and words are the page's; nothing here knows what comes out. Every step begins
from the pair of prompts alone, so that they can be taken in any order.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from .. import lens
from ..errors import OptionError
from ..generation import generate
from ..lens.probes import draw, plain_tokens
from ..lens.run import token_ids
from ..sampling import SamplingParams
from .jobs import Job
from .lens_jobs import LENGTH, Grid, one_token

if TYPE_CHECKING:
    from ..model import Model

WRITTEN = 14
"""Tokens of a continuation."""
REPEATS = 4
"""Texts of random tokens."""
SHOWN = 6
"""Heads of a ranking that are shown."""

Head = tuple[int, int]
Steps = Generator[tuple[int, int, dict[str, Any] | None]]


@dataclass(slots=True)
class Stage:
    """What every step begins from: a model without changes, a pair of prompts, and two answers."""

    model: Model
    ids: list[list[int]]
    """Of the prompt and of the one with the other answer."""
    answer: int
    against: int
    stories: Sequence[str]

    def grid(self) -> lens.PatchGrid:
        """How much of the answer each head brings back into the other prompt."""
        return lens.patch_grid(
            self.model, self.ids[0], self.ids[1], self.answer, against=self.against,
            site="attn.hook_z",
        )  # fmt: skip

    def copier(self) -> Head:
        """The head that brings back most."""
        rows = self.grid().values
        cells = ((layer, head) for layer, row in enumerate(rows) for head in range(len(row)))
        return max(cells, key=lambda at: rows[at[0]][at[1]])

    def text(self, token: int) -> str:
        return self.model.tokenizer.token_bytes(token).decode("utf-8", "replace")


def tour(model: Model, step: str, said: Any, stories: Sequence[str]) -> Job:
    """A step as a job. Raises OptionError for a step that there is not, and for answers that are
    no tokens of this model."""
    if step not in STEPS:
        raise OptionError(
            f"there is no step {step!r:.40} of the tour; there are {', '.join(STEPS)}"
        )
    grid = Grid.read({**said, "site": "attn.hook_z"} if isinstance(said, dict) else said)
    bare = model.hooked(alone=True)
    ids = [token_ids(bare, text) for text in (grid.clean, grid.corrupted)]
    answer = one_token(bare, grid.answer, "answer", ids[0])
    against = one_token(bare, grid.against, "other answer", ids[1])
    stage = Stage(bare, ids, answer, against, stories)
    job = Job(1)
    job.steps = _run(job, STEPS[step](stage))
    return job


def _run(job: Job, steps: Steps) -> Generator[int]:
    for done, total, result in steps:
        job.done, job.total, job.result = done, total, result
        yield done


def _expects(stage: Stage) -> dict[str, Any]:
    """How probable the answer is."""
    session = stage.model.session()
    try:
        session.append(stage.ids[0])
        found = session.token_logprob(stage.answer, top=5)
    finally:
        session.close()
    rows = [[stage.text(token), math.exp(logprob)] for token, logprob in found.top]
    return {"value": math.exp(found.logprob), "rows": rows}


def _depth(stage: Stage) -> dict[str, Any]:
    """After which of the blocks the answer comes first and stays there, as a share of them all."""
    seen = lens.logit_lens(stage.model, stage.ids[0], targets=_targets(stage))
    column = [row[-1] for row in seen.cells]
    blocks = len(column) - 1
    since = blocks
    while since > 0 and column[since - 1].rank == 1:
        since -= 1
    reached = column[-1].rank == 1
    rows = [[stage.text(cell.top[0][0]), math.exp(cell.logprob), cell.rank] for cell in column]
    value = since / blocks if reached else 2.0
    return {"value": value, "rows": rows, "block": since - 1 if reached else None}


def _targets(stage: Stage) -> list[int]:
    return [stage.answer] * len(stage.ids[0])


def _copies(stage: Stage) -> dict[str, Any]:
    """The head that carries the answer over: how far up its block stands."""
    rows = stage.grid().values
    layer, head = stage.copier()
    return {
        "value": (layer + 0.5) / len(rows), "head": [layer, head], "share": rows[layer][head],
        "rows": rows,
    }  # fmt: skip


def _off(stage: Stage) -> dict[str, Any]:
    """What is expected and written without that head: 0 where the answer keeps half of its
    probability and its place, 1 where it is still the first, 2 where another is."""
    head = stage.copier()
    without = stage.model.hooked(lens.ablate_heads(stage.model, [head]), alone=True)
    sides = [_side(stage, model) for model in (stage.model, without)]
    (before, *_), (after, first, *_) = sides
    value = 2 if first != stage.answer else 0 if after >= before / 2 else 1
    rows = [[p, stage.text(first), text] for p, first, text in sides]
    return {"value": value, "head": head, "rows": rows}


def _side(stage: Stage, model: Model) -> tuple[float, int, str]:
    session = model.session()
    try:
        session.append(stage.ids[0])
        found = session.token_logprob(stage.answer, top=1)
        params = SamplingParams(temperature=0, max_tokens=WRITTEN)
        text = "".join(chunk.text for chunk in generate(session, "", params))
    finally:
        session.close()
    return math.exp(found.logprob), found.top[0][0], text


def _previous(stage: Stage) -> dict[str, Any]:
    """Where the head stands that looks one token back, against the one that copies: blocks."""
    scores = lens.detect_heads(stage.model)
    layer, head, score = scores.best("previous_token")
    copier = stage.copier()
    return {
        "value": layer - copier[0], "head": [layer, head], "score": score, "copier": copier,
        "rows": scores.previous_token,
    }  # fmt: skip


def _repeats(stage: Stage) -> dict[str, Any]:
    """Bits a token of random tokens, of the same a second time, and then without the head."""
    model, head = stage.model, stage.copier()
    without = model.hooked(lens.ablate_heads(model, [head]), alone=True)
    ids = plain_tokens(model)
    bos = [] if model.tokenizer.bos_id is None else [model.tokenizer.bos_id]
    sums = [0.0, 0.0, 0.0]
    for seed in range(REPEATS):
        drawn = draw(ids, LENGTH, seed)
        for place, one in ((0, model), (2, without)):
            first, second = _bits(one, [*bos, *drawn, *drawn], LENGTH)
            if place == 0:
                sums[0] += first / REPEATS
            sums[1 if place == 0 else 2] += second / REPEATS
    return {"value": 1 - sums[1] / sums[0], "rows": sums, "head": head}


def _bits(model: Model, ids: list[int], length: int) -> tuple[float, float]:
    """Bits a token before the repetition, and in it but for its first token, which nothing can
    tell."""
    session = model.session()
    try:
        found = [-choice.logprob / math.log(2) for choice in session.score(ids)]
    finally:
        session.close()
    before, after = found[:-length], found[-length + 1 :]
    return sum(before) / len(before), sum(after) / len(after)


def _worth(stage: Stage) -> Steps:
    """Which head is missed most over stories: 0 for the one that copies, 1 for the one that looks
    back, 2 for another."""
    copier = stage.copier()
    layer, head, _ = lens.detect_heads(stage.model).best("previous_token")
    for done, total, found in lens.rank_heads_steps(stage.model, stage.stories):
        if found is None:
            yield done, total, None
            continue
        best = (found.heads[0].layer, found.heads[0].head)
        rows = [[one.layer, one.head, one.change] for one in found.heads[:SHOWN]]
        named = [copier, (layer, head)]
        value = named.index(best) if best in named else 2
        result = {"value": value, "rows": rows, "bits": found.bits_per_byte, "named": named}
        yield done, total, {**result, "texts": len(stage.stories)}


def _at_once(step: Callable[[Stage], dict[str, Any]]) -> Callable[[Stage], Steps]:
    def run(stage: Stage) -> Steps:
        yield 1, 1, step(stage)

    return run


STEPS: dict[str, Callable[[Stage], Steps]] = {
    "expects": _at_once(_expects),
    "depth": _at_once(_depth),
    "copies": _at_once(_copies),
    "off": _at_once(_off),
    "previous": _at_once(_previous),
    "repeats": _at_once(_repeats),
    "worth": _worth,
}
