"""Two other ways for models to work together, as the Ensemble panel tries them, step by step: one
drafts for a larger one, and one judges what several draws have written.
"""

from __future__ import annotations

import time
from collections.abc import Generator
from typing import Any

from ..choose import MOST, Candidate, candidates, judge_text, plain
from ..errors import OptionError
from ..language_model import LanguageModel
from ..sampling import SamplingParams
from ..session import Session
from ..speculate import Speculative, SpeculativeSession
from .jobs import Job

MOST_TEXTS = 64
assert MOST_TEXTS <= MOST


def draft(target: LanguageModel, helper: LanguageModel, prompt: str, params: SamplingParams) -> Job:
    """Write a text with the target alone, then with a draft: the same tokens, how much sooner.

    Raises OptionError for two models that do not go together.
    """
    pair = Speculative(target, helper)
    job = Job(2 * params.max_tokens)
    job.steps = _draft(job, pair, prompt, params)
    return job


def _draft(job: Job, pair: Speculative, prompt: str, params: SamplingParams) -> Generator[int]:
    sessions: list[Session] = [pair.target.session(), pair.session()]
    try:
        texts: list[str] = []
        ids: list[list[int]] = []
        seconds: list[float] = []
        for turn, session in enumerate(sessions, 1):
            written, spent, text = [], 0.0, ""
            session.append(pair.tokenizer.encode(prompt))
            chunks = session.generate([], params)
            while True:
                began = time.perf_counter()
                chunk = next(chunks, None)
                spent += time.perf_counter() - began
                if chunk is None:
                    break
                written.append(chunk.id)
                text += chunk.text
                job.done += 1
                yield job.done
            texts.append(text)
            ids.append(written)
            seconds.append(spent)
            job.done = turn * params.max_tokens
        drafted = sessions[1]
        assert isinstance(drafted, SpeculativeSession)
        job.result = {
            "text": texts[0],
            "tokens": len(ids[0]),
            "same": ids[0] == ids[1],
            "seconds": seconds,
            "acceptance": drafted.speculation.acceptance,
            "perRound": drafted.speculation.tokens_per_round,
        }
    finally:
        for session in sessions:
            session.close()


def choose(
    model: LanguageModel, judge: LanguageModel, prompt: str, params: SamplingParams, n: int
) -> Job:
    """Write `n` texts, the likeliest to the judge first, and count the answers that come twice."""
    if not 2 <= n <= MOST_TEXTS:
        raise OptionError(f"there are {n} texts to choose from; it must be 2 to {MOST_TEXTS}")
    if params.temperature == 0.0:
        raise OptionError(f"the temperature is 0, so {n} texts would all be the same: raise it")
    job = Job(2 * n)
    job.steps = _choose(job, model, judge, prompt, params, n)
    return job


def _choose(
    job: Job,
    model: LanguageModel,
    judge: LanguageModel,
    prompt: str,
    params: SamplingParams,
    n: int,
) -> Generator[int]:
    written: list[Candidate] = []
    for candidate in candidates(model, prompt, params, n=n):
        written.append(candidate)
        job.done += 1
        yield job.done
    judged = []
    for candidate in written:
        judged.append(judge_text(judge, prompt, candidate))
        job.done += 1
        yield job.done
    votes: dict[str, int] = {}
    for candidate in written:
        answer = plain(candidate.text)
        if answer is not None:
            votes[answer] = votes.get(answer, 0) + 1
    judged.sort(key=lambda one: -one.per_byte)
    most: list[list[Any]] = [[answer, count] for answer, count in votes.items() if count > 1]
    job.result = {
        "texts": [
            [one.text, one.candidate.seed, -one.per_byte if one.bytes else None] for one in judged
        ],
        "votes": sorted(most, key=lambda pair: -pair[1]),
    }
