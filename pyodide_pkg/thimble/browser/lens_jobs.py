"""Long questions to a model's inside, as jobs: what changes cost, what each head is worth, what its
pattern is, and where an answer is made. They know no session, and not where a text comes from."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..errors import OptionError
from ..generation import generate
from ..lens.effects import PatchGrid, Scorer, patch_grid_steps, rank_heads_steps
from ..lens.estimates import attribution_patching, attribution_ranking_steps
from ..lens.probes import detect_heads, plain_tokens
from ..lens.report import CLEAR, KINDS
from ..lens.run import token_ids
from .jobs import Job

if TYPE_CHECKING:
    from ..model import Model
    from ..sampling import SamplingParams
    from ..session import Session

SAMPLES = 4
"""Texts of random tokens that patterns are scored on."""
LENGTH = 24
"""Tokens of each before they are repeated."""
GRID_SITES = ("attn.hook_z", "hook_resid_pre", "hook_attn_out", "hook_mlp_out")
MOST_TOKENS = 200
"""Of a pair of prompts: a map has a cell for each, in every layer."""


def writing(model: Model, ids: Sequence[int], params: SamplingParams) -> Job:
    """How a text goes on without the changes that stand on the model, and with them."""
    job = Job(2 * params.max_tokens)
    job.steps = _writing(job, model, ids, params)
    return job


def _writing(job: Job, model: Model, ids: Sequence[int], params: SamplingParams) -> Generator[int]:
    texts = []
    for part, one in enumerate((model.hooked(alone=True), model)):
        with closing(one.session()) as session:
            chunks: list[str] = []
            for chunk in generate(session, ids, params):
                chunks.append(chunk.text)
                job.done = part * params.max_tokens + len(chunks)
                if chunk.finish_reason is None:
                    yield job.done
        texts.append("".join(chunks))
    job.done = job.total
    job.result = {"before": texts[0], "after": texts[1]}
    yield job.done


def effect(model: Model, stories: Sequence[str]) -> Job:
    """Bits per byte without the changes that stand on the model and with them."""
    scorer = Scorer(model.hooked(alone=True), stories)
    job = Job(2 * len(scorer.texts))
    job.steps = _effect(job, scorer, list(model.fwd_hooks))
    return job


def _effect(job: Job, scorer: Scorer, hooks: list[Any]) -> Generator[int]:
    pairs: list[tuple[float, float]] = []
    for text in range(len(scorer.texts)):
        before = scorer.read(text)
        job.done += 1
        yield job.done
        pairs.append((before, scorer.changed(text, hooks)))
        scorer.forget(text)
        job.done += 1
        if text + 1 < len(scorer.texts):
            yield job.done
    before, after = (scorer.bits_per_byte(sum(column)) for column in zip(*pairs, strict=True))
    job.result = {
        "before": before, "after": after, "texts": len(pairs), "bytes": scorer.bytes,
        "worse": sum(second > first for first, second in pairs),
    }  # fmt: skip
    yield job.done


def ranking(model: Model, stories: Sequence[str], *, estimate: bool = False) -> Job:
    """Every head by what it costs to be without it; with the changes that stand."""
    config = model.config
    each = 1 if estimate else config.n_layers * config.n_heads + 1
    job = Job(len(stories) * each)
    job.steps = _ranking(job, model, stories, estimate=estimate)
    return job


def _ranking(job: Job, model: Model, stories: Sequence[str], *, estimate: bool) -> Generator[int]:
    steps = attribution_ranking_steps if estimate else rank_heads_steps
    for done, total, found in steps(model, stories):
        job.done, job.total = done, total
        if found is not None:
            job.result = {
                "bits": found.bits_per_byte, "texts": len(stories), "estimate": estimate,
                "heads": [[one.layer, one.head, one.change] for one in found.heads],
            }  # fmt: skip
        yield done


def probes(model: Model) -> Job:
    """Previous-token, duplicate-token and induction scores of all heads."""
    token_ids(model, [0])  # no ensemble
    job = Job(SAMPLES)
    job.steps = _probes(job, model)
    return job


def _probes(job: Job, model: Model) -> Generator[int]:
    config = model.config
    longest = (config.n_ctx - (model.tokenizer.bos_id is not None)) // 2
    length = min(LENGTH, longest, len(plain_tokens(model)))
    totals: dict[str, list[list[float]]] = {}
    for sample in range(SAMPLES):
        scores = detect_heads(model, length=length, samples=1, seed=sample)
        for kind in KINDS:
            rows: list[list[float]] = getattr(scores, kind)
            before = totals.get(kind, [[0.0] * config.n_heads] * config.n_layers)
            totals[kind] = [
                [a + b / SAMPLES for a, b in zip(*pair, strict=True)]
                for pair in zip(before, rows, strict=True)
            ]
        job.done += 1
        if sample + 1 < SAMPLES:
            yield job.done
    job.result = {**totals, "clear": CLEAR, "tokens": 2 * length, "samples": SAMPLES}
    yield job.done


@dataclass(frozen=True, slots=True)
class Grid:
    """A pair of prompts, and what is asked of them."""

    clean: str
    corrupted: str
    site: str
    answer: str
    against: str
    estimate: bool
    """By gradients, in two passes, and not by a pass for each cell."""

    @classmethod
    def read(cls, said: Any) -> Grid:
        """From what the page says. Raises OptionError for what is no question."""
        names = ("clean", "corrupted", "site", "answer", "against")
        if not isinstance(said, dict) or not all(isinstance(said.get(n), str) for n in names):
            raise OptionError(f"a question is {said!r:.60}; texts for {', '.join(names)} are right")
        if not isinstance(said.get("estimate", False), bool):
            raise OptionError(f"estimate is {said.get('estimate')!r:.40}; true or false is right")
        if said["site"] not in GRID_SITES:
            raise OptionError(
                f"nothing is patched at {said['site']!r:.40}; {', '.join(GRID_SITES)} can be"
            )
        for name in ("clean", "corrupted"):
            if not said[name].strip():
                raise OptionError(f"the {name} prompt is empty; two prompts are needed")
        return cls(estimate=said.get("estimate", False), **{name: said[name] for name in names})


def patching(model: Model, grid: Grid) -> Job:
    """How much of the clean prompt's answer each value of it brings back in the corrupted one."""
    ids = [token_ids(model, text) for text in (grid.clean, grid.corrupted)]
    if len(ids[0]) != len(ids[1]):
        raise OptionError(
            f"the clean prompt has {len(ids[0])} tokens and the corrupted one {len(ids[1])}; "
            "a position means the same in both only where they are equally long"
        )
    if len(ids[0]) > MOST_TOKENS:
        raise OptionError(f"the prompts have {len(ids[0])} tokens; at most {MOST_TOKENS} fit a map")
    columns = model.config.n_heads if grid.site == "attn.hook_z" else len(ids[0])
    job = Job(1 if grid.estimate else model.config.n_layers * columns)
    job.steps = _patching(job, model, grid, ids)
    return job


def _patching(job: Job, model: Model, grid: Grid, ids: list[list[int]]) -> Generator[int]:
    answer, against = _answers(model, grid, ids)
    text = _texts(model)
    for done, total, found in _grids(model, grid, ids, answer, against):
        job.done, job.total = done, total
        if found is not None:
            job.result = {
                "site": grid.site, "values": found.values, "estimate": grid.estimate,
                "clean": found.clean, "corrupted": found.corrupted,
                "answer": text(answer), "against": text(against),
                "tokens": [[text(one), text(other)] for one, other in zip(*ids, strict=True)],
            }  # fmt: skip
        yield done


def _grids(
    model: Model, grid: Grid, ids: list[list[int]], answer: int, against: int
) -> Iterable[tuple[int, int, PatchGrid | None]]:
    clean, corrupted = ids
    if grid.estimate:
        estimated = attribution_patching(
            model, clean, corrupted, answer, against=against, site=grid.site
        )
        return [(1, 1, estimated)]
    return patch_grid_steps(model, clean, corrupted, answer, against=against, site=grid.site)


def _answers(model: Model, grid: Grid, ids: list[list[int]]) -> tuple[int, int]:
    """The tokens that are told apart: those that were named, else each prompt's likeliest."""
    found = [
        one_token(model, said, name, prompt) if said else likeliest(model, prompt)
        for name, said, prompt in zip(
            ("answer", "other answer"), (grid.answer, grid.against), ids, strict=True
        )
    ]
    if found[0] == found[1]:
        said = _texts(model)(found[0])
        raise OptionError(
            f"both answers are {said!r}; name two tokens, or take prompts that are gone on with "
            "in different ways"
        )
    return found[0], found[1]


def one_token(model: Model, text: str, what: str, prompt: Sequence[int]) -> int:
    """The id of a text that is one token, as it is or after a space: the one that the model rather
    expects after a prompt. Raises OptionError for a text that is none."""
    tokenizer = model.tokenizer
    found: list[int] = []
    for one in (text, f" {text}"):
        ids = tokenizer.encode(one, add_special=False)
        if len(ids) == 1 and tokenizer.token_bytes(ids[0]) == one.encode():
            found += ids
    if not found:
        parts = ", ".join(repr(_texts(model)(i)) for i in ids[:6])
        raise OptionError(f"the {what} {text!r:.40} is {len(ids)} tokens ({parts}); name one token")
    with _after(model, prompt) as session:
        return max(found, key=lambda token: session.token_logprob(token).logprob)


def likeliest(model: Model, ids: Sequence[int]) -> int:
    """The token that a model expects after these."""
    with _after(model, ids) as session:
        return session.token_logprob(0, top=1).top[0][0]


def _after(model: Model, ids: Sequence[int]) -> closing[Session]:
    session = model.session()
    session.append(ids)
    return closing(session)


def _texts(model: Model) -> Callable[[int], str]:
    return lambda token: model.tokenizer.token_bytes(token).decode("utf-8", "replace")
