"""Several texts from one prompt, and which of them is given: chosen at the text, not at the token.

    found = thimble.best_of(model, "Once upon a time", params, n=8, judge=larger)
    found[0].text, found[0].per_byte

    thimble.vote(model, "3 + 4 =", params, n=9, answer=thimble.choose.last_number).answer

`best_of` takes the text that another model finds the most likely; `vote` the short answer that most
of the texts come to (self-consistency, Wang et al. 2023). The writer may be an ensemble or have a
draft; the judge may have another tokenizer.
"""

from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from .errors import ContextError, OptionError
from .generation import prompt_ids
from .language_model import LanguageModel
from .sampling import SamplingParams

Progress = Callable[[int, int], None]
MOST = 1_000
"""Texts that can be asked for."""


class Candidate(NamedTuple):
    """One text, which the same prompt, params and this seed give again."""

    text: str
    ids: tuple[int, ...]
    seed: int
    finish_reason: str | None


class Judged(NamedTuple):
    """A text and how likely the judge finds it after the prompt: `nats` is the sum of negative
    log-likelihoods of the judge's `tokens`, which stand for `bytes` bytes."""

    candidate: Candidate
    nats: float
    tokens: int
    bytes: int

    @property
    def text(self) -> str:
        return self.candidate.text

    @property
    def per_byte(self) -> float:
        """Log-likelihood in nats, a byte of the text; minus infinity of an empty one."""
        return -self.nats / self.bytes if self.bytes else -math.inf

    @property
    def per_token(self) -> float:
        """Log-likelihood in nats, a token of the judge's; minus infinity of an empty text."""
        return -self.nats / self.tokens if self.tokens else -math.inf


class Vote(NamedTuple):
    """What most texts answer: `votes` has every answer with its number of votes, most first, and
    of as many the one that came first. `answer` is None, and so is `candidate`, the first text
    that gives it, where no text had an answer."""

    answer: str | None
    candidate: Candidate | None
    votes: tuple[tuple[str, int], ...]
    candidates: tuple[Candidate, ...]


def candidates(
    model: LanguageModel,
    prompt: str | Sequence[int],
    params: SamplingParams,
    *,
    n: int,
    progress: Progress | None = None,
) -> Iterator[Candidate]:
    """Write `n` texts from one prompt, which is computed once; the seeds follow `params.seed`.
    `progress(done, total)` counts texts.

    Raises OptionError for a number below 1 or above 1,000, and at temperature 0, where several
    would all be the same; ContextError for a prompt that leaves no room.
    """
    if not isinstance(n, int) or isinstance(n, bool) or not 1 <= n <= MOST:
        raise OptionError(f"n is {n!r}; it must be a whole number from 1 to {MOST:,}")
    if n > 1 and params.temperature == 0.0:
        raise OptionError(f"temperature is 0, so {n} texts would all be the same; raise it")
    session = model.session()
    try:
        session.append(prompt_ids(model, prompt, first=True))
        given = len(session)
        for done in range(1, n + 1):
            seed = (params.seed + done - 1) % 2**64
            session.rollback(given)
            chunks = list(session.generate([], dataclasses.replace(params, seed=seed)))
            text = "".join(chunk.text for chunk in chunks)
            reason = chunks[-1].finish_reason if chunks else "length"
            yield Candidate(text, tuple(chunk.id for chunk in chunks), seed, reason)
            if progress:
                progress(done, n)
    finally:
        session.close()


def judge_text(judge: LanguageModel, prompt: str, candidate: Candidate) -> Judged:
    """How likely a text is after a prompt, to a model with whatever tokenizer.

    Prompt and text are encoded together, so that the judge sees what it would have written; the
    tokens that count are those that end inside the text, and one that begins in the prompt counts
    whole. What is beyond the judge's context does not count. Raises ContextError where the prompt
    alone fills that.
    """
    tokenizer = judge.tokenizer
    ids = tokenizer.encode(prompt + candidate.text)
    before = len(prompt.encode()) + tokenizer.adds_space
    session = judge.session()
    try:
        given = at = 0
        while given < len(ids):
            token = ids[given]
            at += 0 if tokenizer.is_special(token) else len(tokenizer.token_bytes(token))
            if at > before:
                break
            given += 1
        if given >= session.n_ctx:
            raise ContextError(
                f"the prompt has {given:,} tokens and the judge {judge.name!r} holds "
                f"{session.n_ctx:,}; shorten it by {given + 1 - session.n_ctx:,}"
            )
        session.append(ids[:given])
        found = session.score(ids[given : session.n_ctx])
    finally:
        session.close()
    size = sum(len(tokenizer.token_bytes(choice.id)) for choice in found)
    return Judged(candidate, -math.fsum(choice.logprob for choice in found), len(found), size)


def best_of(
    model: LanguageModel,
    prompt: str,
    params: SamplingParams | None = None,
    *,
    n: int,
    judge: LanguageModel | None = None,
    per: str = "byte",
    progress: Progress | None = None,
) -> list[Judged]:
    """Write `n` texts and put them in the order of their likelihood to `judge` (the writer itself
    where there is none), a byte or, with `per="token"`, a token: the best one first. Without that
    the shortest text would win. Raises what `candidates` and `judge_text` raise.
    """
    if per not in ("byte", "token"):
        raise OptionError(f"per is {per!r}; it must be byte or token")
    found: dict[str, Judged] = {}
    written = list(candidates(model, prompt, params or SamplingParams(), n=n, progress=progress))
    for candidate in written:
        if candidate.text not in found:
            found[candidate.text] = judge_text(judge or model, prompt, candidate)
    judged = [found[candidate.text]._replace(candidate=candidate) for candidate in written]
    # Sorting is stable: of texts as likely as each other, the one that was written first.
    return sorted(judged, key=lambda j: -(j.per_byte if per == "byte" else j.per_token))


def vote(
    model: LanguageModel,
    prompt: str | Sequence[int],
    params: SamplingParams | None = None,
    *,
    n: int,
    answer: Callable[[str], str | None] | None = None,
    progress: Progress | None = None,
) -> Vote:
    """Write `n` texts and let each vote for its answer: what `answer(text)` makes of it, None for
    none; by default the text itself, less its spaces at both ends, final full stop and capitals.
    """
    written = tuple(candidates(model, prompt, params or SamplingParams(), n=n, progress=progress))
    counts: dict[str, int] = {}
    first: dict[str, Candidate] = {}
    for candidate in written:
        said = (answer or plain)(candidate.text)
        if said is not None:
            counts[said] = counts.get(said, 0) + 1
            first.setdefault(said, candidate)
    votes = tuple(sorted(counts.items(), key=lambda item: -item[1]))
    best = votes[0][0] if votes else None
    return Vote(best, None if best is None else first[best], votes, written)


def plain(text: str) -> str | None:
    """The text in small letters, its spaces made single, without a final full stop."""
    return " ".join(text.casefold().split()).removesuffix(".").rstrip() or None


def last_number(text: str) -> str | None:
    """The last number in the text, as short as it can be written: 3.50 and 3.5 are one answer."""
    found = re.findall(r"-?\d+(?:,\d{3})*(?:\.\d+)?", text)
    return f"{float(found[-1].replace(',', '')):.15g}" if found else None


def last_match(pattern: str) -> Callable[[str], str | None]:
    """An answer by a regular expression: its last match, or that one's first group where it has
    one, in plain words. Raises OptionError for a pattern that is none."""
    try:
        compiled = re.compile(pattern)
    except re.error as error:
        raise OptionError(f"{pattern!r} is no regular expression: {error}") from None

    def answer(text: str) -> str | None:
        matches = list(compiled.finditer(text))
        if not matches:
            return None
        return plain(matches[-1].group(1 if compiled.groups else 0) or "")

    return answer
