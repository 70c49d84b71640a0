"""A conversation: what its prompt is, and how much of it the session has in its cache already.

Every turn writes the whole conversation down anew, by the file's own template (`thimble.chat`), and
keeps the keys and values of as many tokens as it has in common with what the session holds. So a
turn that goes on costs its own tokens only, one that was edited those from the edit on, and the
text is the same, bit for bit, as from an empty session.

A conversation that has become longer than the context goes on without its oldest turns; what the
system says stays. More of them go than must, so that the next turns go on too and not all of them
are computed anew.

A model without a template can be talked to by a plain transcript, see `plain`; it knows no roles.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from ..chat import check_messages
from ..errors import ContextError
from .engine import Run
from .options import asked, sampling

if TYPE_CHECKING:
    from ..model import Model
    from .engine import Engine

NAMES = {"user": "User", "assistant": "Assistant", "tool": "Tool"}
STOP = "\nUser:"
"""Where an answer in a plain transcript ends: the model begins to write the other's turn."""


class Service:
    """What the worker asks as "talk.METHOD"."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def about(self, session: int) -> dict[str, Any]:
        """Whether a session's model has a chat template, and how many tokens it can hold."""
        opened = self._engine.opened(session)
        return {
            "template": opened.model.chat_template is not None,
            "architecture": opened.model.config.architecture,
            "context": opened.session.n_ctx,
        }

    def start(self, session: int, messages: str, options: str) -> dict[str, Any]:
        """Begin the assistant's next turn after a JSON list of messages; the engine's `run` writes.

        `prompt` counts the conversation's tokens, `reused` those that were not computed again,
        `left_out` the oldest messages that the model did not read, the system's aside. Raises
        OptionError for messages that are wrong or that the template refuses, ContextError where the
        last message alone leaves no room for an answer; the session is then as before.
        """
        began = time.perf_counter()
        opened = self._engine.opened(session)
        given = {**opened.defaults, **asked(options)}
        if opened.model.chat_template is None:
            given.setdefault("stop", [STOP])
        params, detailed = sampling(given)
        said, n_ctx = check_messages(asked(messages)), opened.session.n_ctx
        ids, left_out = shifted(opened.model, said, n_ctx, params.max_tokens)
        # The last token is computed in any case: what comes next is asked from it.
        reused = common(opened.session.tokens, ids[:-1])
        opened.session.rollback(reused)
        opened.records = []
        opened.run = Run(ids[reused:], params, detailed, began)
        return {"prompt": len(ids), "reused": reused, "left_out": left_out}


def shifted(
    model: Model, messages: Sequence[dict[str, str]], n_ctx: int, answer: int
) -> tuple[list[int], int]:
    """The ids of a conversation with room for an answer of so many tokens, a quarter of the context
    at most; and how many of its oldest messages are left out for that, so that it begins with the
    user's turn. Raises ContextError where the last turn alone does not fit."""
    room = min(answer, n_ctx // 4)
    ids = prompt_of(model, messages)
    if len(ids) + room <= n_ctx:
        return ids, 0
    system = [m for m in messages[:1] if m["role"] == "system"]
    turns = list(messages[len(system) :])
    fits = (ids, 0) if len(ids) < n_ctx else None
    for at in [at for at, m in enumerate(turns) if at and m["role"] == "user"]:
        ids = prompt_of(model, [*system, *turns[at:]])
        if len(ids) < n_ctx:
            fits = ids, at
        if len(ids) + room <= n_ctx * 3 // 4:
            break
    if fits is None:
        raise ContextError(
            f"the message has {len(ids):,} tokens with what stands before it, and this model's "
            f"context holds {n_ctx:,}, its answer included"
        )
    return fits


def prompt_of(model: Model, messages: Sequence[dict[str, str]]) -> list[int]:
    """The ids of a conversation, up to where the assistant's next turn begins."""
    template = model.chat_template
    if template is None:
        return model.tokenizer.encode(plain(messages), add_special=True)
    text = template.render(messages)
    return model.tokenizer.encode(text, add_special=False, parse_special=True)


def plain(messages: Sequence[dict[str, str]]) -> str:
    """The transcript of a conversation for a model that has no template: what the system says, an
    empty line, then one line to a turn, "User: ..." or "Assistant: ...", the last one open."""
    lines: list[str] = []
    for message in check_messages(messages):
        if message["role"] == "system":
            lines += [message["content"].strip(), ""]
        else:
            lines.append(f"{NAMES[message['role']]}: {message['content'].strip()}")
    return "\n".join([*lines, "Assistant:"])


def common(held: Sequence[int], wanted: Sequence[int]) -> int:
    """How many ids both begin with."""
    for at, (one, other) in enumerate(zip(held, wanted, strict=False)):
        if one != other:
            return at
    return min(len(held), len(wanted))
