"""Text that is written token by token: prompt in, chunks out, and when to stop."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple

from .errors import ContextError, OptionError
from .sampling import Choice, Sampler, SamplingParams
from .tokenizer import StreamDecoder

if TYPE_CHECKING:
    from .custom_sampler import CustomSampler
    from .language_model import LanguageModel
    from .session import Session


Forced = Callable[[Sequence[int]], int | None]
"""Told a session's tokens, it names the one that must come next, or None."""


class TokenChunk(NamedTuple):
    """What one token brought.

    `text` is what can be shown now: it never ends inside a UTF-8 character, nor inside what may
    become a stop string, so it may be empty and the next one longer. `logprob`, `entropy` (nats)
    and `top` (id, logprob) are of the model's own distribution. `finish_reason` is None but on the
    last chunk: "stop" for an end-of-text token or a stop string, "length" for a limit. With a
    grammar "length" means that the text is not whole.
    """

    text: str
    id: int
    logprob: float
    entropy: float
    top: Sequence[tuple[int, float]]
    finish_reason: str | None = None


class StopStrings:
    """Lets text through up to the first stop string, and holds back what may become one."""

    def __init__(self, stop: Sequence[str]) -> None:
        self._stop = tuple(stop)
        self._held = ""
        self.found = False

    def push(self, text: str) -> str:
        """The part of the text so far that can be shown; nothing more after a stop string."""
        self._held += text
        ends = [at for s in self._stop if (at := self._held.find(s)) >= 0]
        if ends:
            self.found = True
            shown, self._held = self._held[: min(ends)], ""
            return shown
        keep = max((self._overlap(s) for s in self._stop), default=0)
        split = len(self._held) - keep
        shown, self._held = self._held[:split], self._held[split:]
        return shown

    def flush(self) -> str:
        """What was held back, when nothing more will come."""
        shown, self._held = self._held, ""
        return shown

    def _overlap(self, stop: str) -> int:
        """Characters at the end of the held text that `stop` begins with."""
        for n in range(min(len(stop) - 1, len(self._held)), 0, -1):
            if self._held.endswith(stop[:n]):
                return n
        return 0


def prompt_ids(
    model: LanguageModel,
    prompt: str | Sequence[int],
    *,
    first: bool,
    parse_special: bool = False,
) -> list[int]:
    """The ids of a prompt; the first text of a session begins with the model's BOS token, and with
    `parse_special` control tokens may be spelled."""
    if not isinstance(prompt, str):
        return list(prompt)
    if prompt or first:
        return model.tokenizer.encode(prompt, add_special=first, parse_special=parse_special)
    return []


def generate(
    session: Session,
    prompt: str | Sequence[int],
    params: SamplingParams,
    *,
    custom: CustomSampler | None = None,
    constraint_start: int | None = None,
    shown: frozenset[int] = frozenset(),
    forced: Forced | None = None,
) -> Generation:
    """Append the prompt to the session and write until a stop, `max_tokens` or the context's end.

    Every chunk's token is in the session when the chunk comes, but for an end-of-text token. The
    same session tokens, params and seed give the same chunks. Raises OptionError where there is
    nothing to begin with, ContextError where the prompt leaves no room for one token. A `custom`
    sampler chooses instead of the kernel; where it fails, SamplerError, and the session has what
    came before. A grammar's text begins with the first chunk, or at the place `constraint_start` of
    the session, so that one which was cut off can go on. Control tokens that are `shown` are text.
    A token that is `forced` is not drawn.
    """
    model = session.model
    ids = prompt_ids(model, prompt, first=len(session) == 0)
    if not ids and not len(session):
        raise OptionError("the prompt is empty and the model has no token to begin a text with")
    if len(session) + len(ids) >= session.n_ctx:
        raise ContextError(
            f"the prompt has {len(ids):,} tokens after {len(session):,}; the context holds "
            f"{session.n_ctx:,}, so at most {max(0, session.n_ctx - 1 - len(session)):,} fit"
        )
    session.append(ids)
    sampler = Sampler(model.kernel, model.config.n_vocab, params, model.tokenizer)
    choose = _chooser(session, sampler, custom)
    if forced is not None:
        choose = _or_forced(session, choose, forced, params.top_logprobs)
    chunks = _chunks(session, sampler, choose, constraint_start, shown)
    return Generation(chunks, sampler)


class Generation(Iterator[TokenChunk]):
    """A text's tokens, as they are written."""

    def __init__(self, chunks: Generator[TokenChunk], sampler: Sampler) -> None:
        self._chunks = chunks
        self._sampler = sampler
        self.mu: tuple[float, float] | None = None
        """Mirostat's state before and after the last token, where it is on."""

    def __next__(self) -> TokenChunk:
        if not self._sampler.params.mirostat:
            return next(self._chunks)
        before = self._sampler.next_mu
        chunk = next(self._chunks)
        self.mu = before, self._sampler.next_mu
        return chunk

    def close(self) -> None:
        """Write no more, and give the sampler's memory back."""
        self._chunks.close()


def _chooser(
    session: Session, sampler: Sampler, custom: CustomSampler | None
) -> Callable[[], Choice]:
    """What names the next token, each time it is called."""
    if custom is None:
        return lambda: session.sample(sampler)
    from .custom_sampler import choose

    return lambda: choose(custom, session, sampler)


def _or_forced(
    session: Session, choose: Callable[[], Choice], forced: Forced, top: int
) -> Callable[[], Choice]:
    """The token that is forced, where one is; else the one that is chosen."""

    def next_choice() -> Choice:
        token = forced(session.tokens)
        return choose() if token is None else session.token_logprob(token, top=top)

    return next_choice


def _chunks(
    session: Session,
    sampler: Sampler,
    choose: Callable[[], Choice],
    constraint_start: int | None,
    shown: frozenset[int],
) -> Generator[TokenChunk]:
    tokenizer, params = session.model.tokenizer, sampler.params
    at_start = all(tokenizer.is_special(token) for token in session.tokens)
    if params.grammar is not None:
        sampler.constrain(tokenizer, session.tokens[:constraint_start])
    constraint = sampler.constraint
    decoder = StreamDecoder(tokenizer, at_start=at_start, shown=shown)
    stop = StopStrings(params.stop)
    try:
        for count in range(1, params.max_tokens + 1):
            choice = choose()
            reason = None
            if choice.id in tokenizer.eog_ids:
                reason, text = "stop", stop.push(decoder.flush())
            else:
                session.accept(choice.id)
                text = stop.push(decoder.push(choice.id))
                if constraint and constraint.complete(session.tokens):
                    reason = "stop"
                    text += stop.push(decoder.flush())
                elif count == params.max_tokens or len(session) >= session.n_ctx:
                    whole = constraint is not None and constraint.accepts(session.tokens)
                    reason = "stop" if whole else "length"
                    text += stop.push(decoder.flush())
            if stop.found:
                reason = "stop"
            elif reason:
                text += stop.flush()
            yield TokenChunk(text, choice.id, choice.logprob, choice.entropy, choice.top, reason)
            if reason:
                return
    finally:
        sampler.close()
