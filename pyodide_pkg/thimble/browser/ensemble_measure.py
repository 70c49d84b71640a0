"""How well an ensemble predicts a text beside its members and one other model, step by step.

The text is cut into passages that every model's context holds, each begun anew, so that all of them
read the same. It does not know where the text comes from.
"""

from __future__ import annotations

import math
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from ..ensemble import Ensemble, EnsembleSession
from ..errors import OptionError
from ..evaluate import MAX_TOKENS, SEPARATOR, split_stories, story_choices
from ..language_model import LanguageModel
from ..mixture_weights import better_weights
from ..sampling import Choice
from .jobs import Job

MOST_CHARACTERS = 200_000
CHARACTERS_A_TOKEN = 4
"""A passage with more for each of a context's tokens is cut without counting them."""
ROUNDS = 50
"""Of expectation maximisation."""
RESAMPLES = 1000
"""Of the bootstrap (Efron 1979)."""
FEWEST_PASSAGES = 10
"""Of fewer the bootstrap would say nothing."""
_MASK = 2**64 - 1


@dataclass(slots=True)
class Tally:
    """Of one model: nats and bytes of each passage."""

    name: str
    kind: str
    """"member", "together" or "rival"."""
    parameters: int
    nats: list[float] = field(default_factory=list)
    bytes: list[int] = field(default_factory=list)

    def add(self, model: LanguageModel, choices: Sequence[Choice]) -> None:
        token_bytes = model.tokenizer.token_bytes
        self.nats.append(-sum(choice.logprob for choice in choices))
        self.bytes.append(sum(len(token_bytes(choice.id)) for choice in choices))

    def bits_per_byte(self, chosen: Sequence[int] | None = None) -> float:
        """Over all passages, or those of these places."""
        if chosen is None:
            nats, size = sum(self.nats), sum(self.bytes)
        else:
            nats = sum(self.nats[at] for at in chosen)
            size = sum(self.bytes[at] for at in chosen)
        return nats / math.log(2) / size if size else math.nan


def measure(
    ensemble: Ensemble,
    names: Sequence[str],
    text: str,
    rival: LanguageModel | None,
    rival_name: str,
) -> Job:
    """Bits per byte of each member, of the ensemble and of a rival on a text.

    Raises OptionError for a text that cannot be measured on.
    """
    limits = [ensemble, *([rival] if rival else [])]
    passages = passages_of(text, limits)
    tallies = [Tally("", "together", ensemble.n_params)]
    pairs = zip(names, ensemble.members, strict=True)
    tallies += [Tally(name, "member", member.n_params) for name, member in pairs]
    if rival:
        tallies.append(Tally(rival_name, "rival", rival.n_params))
    job = Job(len(passages))
    job.steps = _measure(job, ensemble, rival, tallies, passages)
    return job


def _measure(
    job: Job,
    ensemble: Ensemble,
    rival: LanguageModel | None,
    tallies: list[Tally],
    passages: list[str],
) -> Generator[int]:
    together, *others = tallies
    for passage, each in zip(passages, _scored(ensemble, passages), strict=True):
        for tally, choices in zip(tallies, each, strict=False):  # the rival is none of them
            tally.add(ensemble, choices)
        if rival:
            others[-1].add(rival, story_choices(rival, passage))
        job.done += 1
        yield job.done
    if not sum(together.bytes):
        raise OptionError("the text has nothing to predict: it needs at least two tokens")
    best = min(
        (tally for tally in others if tally.kind == "member"), key=lambda one: one.bits_per_byte()
    )
    job.result = {
        "rows": [_row(tally) for tally in (*others, together)],
        "best": best.name,
        "gain": _gain(together, best),
        "passages": len(passages),
        "bytes": sum(together.bytes),
    }


def fit(ensemble: Ensemble, text: str) -> Job:
    """The weights of a mixture that give the text the most probability.

    Raises OptionError for a text that cannot be measured on.
    """
    passages = passages_of(text, [ensemble])
    job = Job(len(passages) + ROUNDS)
    job.steps = _fit(job, ensemble, passages)
    return job


def _fit(job: Job, ensemble: Ensemble, passages: list[str]) -> Generator[int]:
    rows: list[tuple[float, ...]] = []
    for _, *each in _scored(ensemble, passages):
        columns = ([math.exp(choice.logprob) for choice in choices] for choices in each)
        rows += zip(*columns, strict=True)
        job.done += 1
        yield job.done
    if not rows:
        raise OptionError("the text has nothing to predict: it needs at least two tokens")
    count = len(ensemble.members)
    weights = [1.0 / count] * count
    for _ in range(ROUNDS):
        weights = better_weights(weights, rows)
        job.done += 1
        yield job.done
    job.result = {"weights": weights, "tokens": len(rows)}


def _scored(ensemble: Ensemble, passages: Sequence[str]) -> Generator[list[list[Choice]]]:
    """How probable the ensemble and each member find every token, passage by passage."""
    tokenizer, session = ensemble.tokenizer, ensemble.session()
    assert isinstance(session, EnsembleSession)
    try:
        for passage in passages:
            ids = tokenizer.encode(passage, add_special=False)
            if tokenizer.bos_id is not None:
                ids = [tokenizer.bos_id, *ids]
            session.rollback(0)
            yield session.score_each(ids[: session.n_ctx])
    finally:
        session.close()


def passages_of(text: str, models: Sequence[LanguageModel]) -> list[str]:
    """The text's stories where it has their marks, else its paragraphs, else its lines; what is too
    long for a context is cut between words."""
    if len(text) > MOST_CHARACTERS:
        raise OptionError(
            f"the text has {len(text):,} characters; at most {MOST_CHARACTERS:,} can be measured"
        )
    if not text.strip():
        raise OptionError("the text is empty: there is nothing to measure")
    plain = text.replace("\r\n", "\n")
    mark = SEPARATOR if SEPARATOR in plain else "\n\n" if "\n\n" in plain.strip() else "\n"
    parts = split_stories(plain.replace(mark, SEPARATOR))
    return [piece for part in parts for piece in _fitting(part, models)]


def _fitting(text: str, models: Sequence[LanguageModel]) -> list[str]:
    """A text in pieces that every model holds, together with its mark for the beginning."""
    for model in models:
        tokenizer = model.tokenizer
        capacity = min(MAX_TOKENS, model.config.n_ctx) - (tokenizer.bos_id is not None)
        long = len(text) > CHARACTERS_A_TOKEN * capacity
        if len(text) > 1 and (long or len(tokenizer.encode(text, add_special=False)) > capacity):
            break
    else:
        return [text]
    middle = len(text) // 2
    cut = text.rfind(" ", 1, middle + 1)
    cut = cut if cut > 0 else middle
    return _fitting(text[:cut], models) + _fitting(text[cut:], models)


def _row(tally: Tally) -> dict[str, Any]:
    """`bits` is None where a method gave a token of the text no chance at all."""
    bits = tally.bits_per_byte()
    return {
        "name": tally.name,
        "kind": tally.kind,
        "parameters": tally.parameters,
        "bits": bits if math.isfinite(bits) else None,
    }


def _gain(together: Tally, best: Tally) -> dict[str, Any] | None:
    """How much smaller the ensemble's bits are than the best member's, as a share; with the range
    that 95 of 100 resamplings of the passages lie in, where there are enough of them."""
    share = 1.0 - together.bits_per_byte() / best.bits_per_byte()
    if not math.isfinite(share):
        return None
    count = len(together.nats)
    if count < FEWEST_PASSAGES:
        return {"share": share, "low": None, "high": None}
    found = []
    for chosen in _resamples(count):
        rate = best.bits_per_byte(chosen)
        found.append(1.0 - together.bits_per_byte(chosen) / rate if rate > 0 else 0.0)
    found.sort()
    edge = RESAMPLES // 40
    return {"share": share, "low": found[edge], "high": found[-1 - edge]}


def _resamples(count: int) -> Iterator[list[int]]:
    """Lists of `count` places, drawn with replacement: always the same ones (SplitMix64)."""
    state = 0
    for _ in range(RESAMPLES):
        chosen = []
        for _ in range(count):
            state = (state + 0x9E3779B97F4A7C15) & _MASK
            z = state
            z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
            z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & _MASK
            chosen.append(((z ^ (z >> 31)) * count) >> 64)
        yield chosen
