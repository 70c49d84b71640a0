"""A conversation: what its prompt is, and how much of it the session has in its cache already.

Every turn writes the whole conversation down anew, by the file's own template
(`conversation.py`), and keeps the keys and values of as many tokens as it has in common with what
the session holds. So a turn that goes on costs its own tokens only, one that was edited those from
the edit on, and the text is the same, bit for bit, as from an empty session.

A conversation that has become longer than the context goes on without its oldest turns, where that
is asked for; what the system says stays. More of them go than must, so that the next turns go on
too and not all of them are computed anew.

An answer that was cut off goes on from the very tokens that it has, `How.resume`: what
comes is what would have come at once.
"""

from __future__ import annotations

import codecs
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

from .. import session_file
from ..chatting import STOP, Answering, Chat, common
from ..errors import ContextError, OptionError
from ..generation import StopStrings
from ..messages import check_messages
from ..sampling_options import SamplingParams, params_from
from ..tokenizer import StreamDecoder
from .engine import Run
from .options import asked, parses_special, sampling
from .pool import bytes_of

if TYPE_CHECKING:
    from ..model import Model
    from .engine import Engine, SessionEntry
    from .pool import JsBuffer

_ANSWER = "answer"
"""What a session has noted: the place of its tokens where the last answer begins."""
RECOMMENDED = {
    "temp": "temperature",
    "top_k": "top_k",
    "top_p": "top_p",
    "min_p": "min_p",
    "xtc_probability": "xtc_probability",
    "xtc_threshold": "xtc_threshold",
    "penalty_last_n": "repeat_last_n",
    "penalty_repeat": "repetition_penalty",
    "mirostat": "mirostat",
    "mirostat_tau": "mirostat_tau",
    "mirostat_eta": "mirostat_eta",
}
"""GGUF's keys of recommended sampling, below `general.sampling.`, and our names."""


class How(NamedTuple):
    """How a conversation becomes a prompt."""

    keep: int | None = None
    """How many of the first messages stay where the context is too short; None refuses then."""
    newest: int = 1
    """How many of the last messages stay."""
    prefix: bool = False
    """Whether the last message is the beginning of the answer."""
    append: bool = False
    """Whether nothing is answered yet."""
    resume: bool = False
    """Whether the answer that the session ends with goes on; the messages are not read."""
    parse_special: bool = False
    """Whether messages may spell control tokens."""
    tools: Sequence[dict[str, Any]] | None = None
    """These and those below are what `Chat` takes."""
    tool_choice: Any = None
    parallel_tool_calls: bool | None = None
    enable_thinking: bool | None = None
    reasoning_effort: str | None = None
    thinking_budget: int | None = None

    def chat(self, model: Model, *, constrained: bool = False) -> Chat:
        """How the conversation is written and its answer read."""
        return Chat(
            model,
            tools=self.tools,
            tool_choice=self.tool_choice,
            parallel_tool_calls=self.parallel_tool_calls,
            enable_thinking=self.enable_thinking,
            reasoning_effort=self.reasoning_effort,
            thinking_budget=self.thinking_budget,
            parse_special=self.parse_special,
            constrained=constrained,
        )


class Service:
    """What the worker asks as "talk.METHOD"."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def about(self, session: int) -> dict[str, Any]:
        """Whether a session's model has a chat template, and one that knows thoughts, how many
        tokens it can hold, and the sampling options that its file recommends."""
        opened = self._engine.opened(session)
        how = Chat(opened.model)
        return {
            "template": opened.model.chat_template is not None,
            "thinking": how.has_parts,
            "architecture": opened.model.config.architecture,
            "context": opened.session.n_ctx,
            "sampling": recommended(opened.model.metadata),
        }

    def measure(self, session: int, messages: str, how: str) -> int:
        """How many tokens a JSON list of messages has, written down in one of the ways of `How`."""
        wanted = How(**asked(how))
        chat = wanted.chat(self._engine.opened(session).model)
        return len(chat.ids(asked(messages), append=wanted.append, prefix=wanted.prefix))

    def start(self, session: int, messages: str, options: str) -> dict[str, Any]:
        """Begin the assistant's next turn after a JSON list of messages; the engine's `run` writes.

        `prompt` counts the conversation's tokens, `reused` those that were not computed again,
        `left_out` the oldest messages that the model did not read, the system's aside. The options
        may have a `conversation`, the fields of `How`. Raises OptionError for messages that are
        wrong or that the template refuses, ContextError where what must be read leaves no room for
        an answer; the session is then as before. Where an answer goes on, `resumed` has its `text`
        and `tokens` so far, without half a character or what may become a stop string at its end,
        and its `parts` where it may have any.
        """
        began = time.perf_counter()
        opened = self._engine.opened(session)
        given = {**opened.defaults, **asked(options)}
        how = How(**given.pop("conversation", {}), parse_special=parses_special(given))
        if opened.model.chat_template is None:
            given.setdefault("stop", [STOP])
        params, detailed = sampling(given)
        chat = how.chat(opened.model, constrained=params.grammar is not None)
        if (grammar := chat.grammar) is not None:
            params = replace(params, grammar=grammar)
        if how.resume:
            return resume(opened, params, detailed, began, chat)
        n_ctx = opened.session.n_ctx
        answer = 0 if how.append else params.max_tokens
        ids, left_out = shifted(chat, asked(messages), n_ctx, answer, how)
        # The last token is computed in any case: what comes next is asked from it.
        reused = common(opened.session.tokens, ids[:-1])
        opened.session.rollback(reused)
        opened.records = []
        opened.extras[_ANSWER] = len(ids)
        if params.grammar is not None:
            from .constraint import stands  # who has no grammar does not wait for it

            stands(opened, params.grammar, len(ids))
        opened.run = Run(ids[reused:], params, detailed, began)
        if chat.has_parts:
            opened.run.answering = Answering(chat, ids)
        return {"prompt": len(ids), "reused": reused, "left_out": left_out}

    def cache_size(self, session: int) -> int:
        """How many bytes `save_cache` would write. Raises UnsupportedError where nothing can be
        saved: the model has an adapter or hooks on it, or is several."""
        return session_file.size(self._identified(session).session)

    def save_cache(self, session: int, put: Callable[[bytes], object]) -> None:
        """Give `put` a session's tokens, keys and values, in the format of `Session.save`."""
        session_file.write(self._identified(session).session, put)

    def load_cache(self, session: int, take: Callable[[int], JsBuffer | bytes]) -> int:
        """Let a session hold what was saved, whose SHA-256 was compared; `take` gives its next
        bytes. Returns how many tokens it has then.

        Raises FormatError or OptionError for what is no session of this model, or one of another
        precision or context; the session is then as before.
        """
        opened = self._identified(session)
        before = opened.session
        file = _Coming(take)
        found = session_file.read(opened.model, file, "what is kept here", authentic=True)
        if (found.kv_type, found.n_ctx) != (before.kv_type, before.n_ctx) or opened.run:
            found.close()
            raise OptionError(
                f"what is kept has keys and values as {found.kv_type} and a context of "
                f"{found.n_ctx:,} tokens; this session has {before.kv_type} and {before.n_ctx:,}, "
                "and must not be writing"
            )
        before.close()
        opened.text, opened.records = found, []
        opened.extras.pop(_ANSWER, None)
        return len(found)

    def _identified(self, session: int) -> SessionEntry:
        """A session whose model is told apart by its file, which costs nothing."""
        opened = self._engine.opened(session)
        names = [name for name, model in self._engine.loaded.items() if model is opened.model]
        model = session_file.plain_model(opened.model)
        session_file.model_digest(model, file=self._engine.digests[names[0]])
        return opened


class _Coming:
    """Bytes that a function of the worker's gives, as far as reading needs a file."""

    def __init__(self, take: Callable[[int], JsBuffer | bytes]) -> None:
        self._take = take

    def read(self, size: int, /) -> bytes:
        return bytes_of(self._take(size))


def resume(
    opened: SessionEntry, params: SamplingParams, detailed: bool, began: float, chat: Chat
) -> dict[str, Any]:
    """Let the session's last answer go on. Raises OptionError where it has none, ContextError where
    the context is full."""
    session, place = opened.session, opened.extras.get(_ANSWER)
    if place is None or place > len(session):
        raise OptionError("the session has no answer that could go on")
    if len(session) >= session.n_ctx:
        raise ContextError(f"the context of {session.n_ctx:,} tokens is full")
    kept, text = whole(opened.model, session.tokens, place, params.stop, chat.shown)
    constraint_start = None
    if params.grammar is not None:
        from .constraint import begins

        constraint_start = begins(opened, params.grammar, kept, resumed=True)
    dropped = len(session) - kept
    if dropped:  # they are drawn again, from what the token before them says
        before = session.tokens[kept - 1]
        session.rollback(kept - 1)
        session.append([before])
        params = replace(params, max_tokens=params.max_tokens + dropped)
    opened.records = []
    opened.run = Run([], params, detailed, began, constraint_start)
    parts: dict[str, Any] = {}
    if chat.has_parts:
        opened.run.answering = Answering(chat, session.tokens[:place], text)
        parts["parts"] = opened.run.answering.said
    return {
        "prompt": kept,
        "reused": kept - (dropped > 0),
        "left_out": 0,
        "resumed": {"text": text, "tokens": kept - place, **parts},
    }


def whole(
    model: Model,
    tokens: Sequence[int],
    place: int,
    stop: Sequence[str],
    shown: frozenset[int] = frozenset(),
) -> tuple[int, str]:
    """Up to which of the tokens an answer that begins at `place` has whole characters and nothing
    that may become a stop string, and its text up to there."""
    at_start = all(model.tokenizer.is_special(token) for token in tokens[:place])
    decoder = StreamDecoder(model.tokenizer, at_start=at_start, shown=shown)
    utf8 = codecs.getincrementaldecoder("utf-8")("replace")
    stops, read, said = StopStrings(stop), 0, ""
    kept, text = place, ""
    for number, token in enumerate(tokens[place:], place + 1):
        piece = utf8.decode(decoder.next_bytes(token))
        read += len(piece)
        said += stops.push(piece)
        if len(said) == read and not utf8.getstate()[0]:
            kept, text = number, said
    return kept, text


def recommended(metadata: Mapping[str, Any]) -> dict[str, float]:
    """The sampling options that a file names, `general.sampling.*`, by our names; what is no value
    of an option is passed over."""
    found: dict[str, float] = {}
    for key, name in RECOMMENDED.items():
        value = metadata.get(f"general.sampling.{key}")
        if isinstance(value, float):
            value = float(f"{value:.6g}")  # as it was meant, before it was a float32
        if value is None:
            continue
        try:
            params_from({name: value})
        except OptionError:
            continue
        found[name] = value
    return found


def shifted(
    chat: Chat, messages: Sequence[dict[str, Any]], n_ctx: int, answer: int, how: How
) -> tuple[list[int], int]:
    """The ids of a conversation with room for an answer of so many tokens, a quarter of the context
    at most; and how many of its oldest messages are left out for that, so that it begins with the
    user's turn. Raises ContextError where what must stay does not fit."""
    room = min(answer, n_ctx // 4)
    given = check_messages(messages)
    ids = chat.ids(given, append=how.append, prefix=how.prefix)
    if len(ids) + room <= n_ctx and len(ids) < n_ctx:
        return ids, 0
    fits = (ids, 0) if len(ids) < n_ctx else None
    keep = max(how.keep or 0, int(given[0]["role"] == "system"))
    begins = range(keep + 1, len(given) - how.newest + 1) if how.keep is not None else ()
    for at in [at for at in begins if given[at]["role"] == "user"]:
        ids = chat.ids([*given[:keep], *given[at:]], append=how.append, prefix=how.prefix)
        if len(ids) < n_ctx:
            fits = ids, at - keep
        if len(ids) + room <= n_ctx * 3 // 4:
            break
    if fits is None:
        raise ContextError(
            f"the conversation has {len(ids):,} tokens, without what may be left out, and this "
            f"model's context holds {n_ctx:,}, its answer included"
        )
    return fits
