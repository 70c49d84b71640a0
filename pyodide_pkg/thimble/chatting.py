"""A conversation with a model: its prompt with tools and thoughts, and its answer taken apart.

    chat = Chat(model, tools=[...])
    ids = chat.ids(messages)
    reply = chat.reply(ids)

Every face (Python, the page, OpenAI's routes) makes one of these and none knows more. A model
without a template can be talked to by a plain transcript, see `plain`; it knows no roles.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

from . import thinking as thoughts
from .conversation import conversation_ids
from .errors import OptionError
from .messages import Message, check_messages
from .reply import Part, Reply
from .tools import (
    FALLBACK,
    ToolFormat,
    check_choice,
    check_tools,
    chosen,
    grammar_of,
    names_of,
    spelled_out,
    system_words,
    with_words,
)

if TYPE_CHECKING:
    from .constrain import Grammar
    from .generation import TokenChunk
    from .language_model import LanguageModel
    from .sampling import SamplingParams
    from .session import Session
    from .tools import Tool

NAMES = {"user": "User", "assistant": "Assistant", "tool": "Tool"}
STOP = "\nUser:"
"""Where an answer in a plain transcript ends: the model begins to write the other's turn."""
_TAIL = 16
"""Tokens at a prompt's end in which a thought may be opened."""


class ChatChunk(NamedTuple):
    """What one token brought to an answer."""

    parts: tuple[Part, ...]
    token: TokenChunk
    finish_reason: str | None
    """As a `TokenChunk`'s, or "tool_calls" where the answer has calls and is whole."""

    @property
    def content(self) -> str:
        """The words for the user among the parts."""
        return "".join(part.text for part in self.parts if part.kind == "content")


class Chat:
    """How a conversation with this model is written and read.

    `tools`, `tool_choice` and `parallel_tool_calls` are OpenAI's. `enable_thinking` lets a model
    think before it answers, or not; None leaves it to the template. `reasoning_effort` says the
    same in OpenAI's words and is told to the template. A thought of `thinking_budget` tokens is
    closed. A `constrained` answer has no room for thoughts. Raises OptionError for what is wrong.
    """

    def __init__(
        self,
        model: LanguageModel,
        *,
        tools: Sequence[Mapping[str, Any]] | None = None,
        tool_choice: Any = None,
        parallel_tool_calls: bool | None = None,
        enable_thinking: bool | None = None,
        reasoning_effort: str | None = None,
        thinking_budget: int | None = None,
        parse_special: bool = False,
        constrained: bool = False,
    ) -> None:
        self.model = model
        self.tools: list[Tool] = check_tools(tools or [])
        self.choice = check_choice(tool_choice, self.tools)
        for name, value in (
            ("parallel_tool_calls", parallel_tool_calls), ("enable_thinking", enable_thinking),
        ):  # fmt: skip
            if value is not None and not isinstance(value, bool):
                raise OptionError(f"{name} must be true or false, not {value!r:.60}")
        if reasoning_effort is not None and reasoning_effort not in thoughts.EFFORTS:
            words = ", ".join(thoughts.EFFORTS)
            raise OptionError(f"reasoning_effort is {reasoning_effort!r:.60}; it must be {words}")
        if thinking_budget is not None and (
            not isinstance(thinking_budget, int)
            or isinstance(thinking_budget, bool)
            or thinking_budget < 0
        ):
            raise OptionError(
                f"thinking_budget is {thinking_budget!r:.60}; it must be a number of tokens from 0"
            )
        if enable_thinking is None and reasoning_effort is not None:
            enable_thinking = reasoning_effort != "none"
        self._parallel = parallel_tool_calls is not False
        self._effort = reasoning_effort
        self._budget = thinking_budget
        self._parse_special = parse_special
        self.callable = chosen(self.tools, self.choice)
        self._required = bool(self.callable) and self.choice != "auto"
        if constrained and self.callable:
            raise OptionError(
                "a constraint of the whole answer and tools were both given; with tool_choice "
                "'none' there is the constraint alone"
            )
        template = model.chat_template
        self.marks = template.marks if template else None
        if self.marks and (constrained or (self._required and enable_thinking is None)):
            enable_thinking = False
        self.thinking = enable_thinking

    @property
    def form(self) -> ToolFormat:
        """How the model spells that it calls a tool."""
        template = self.model.chat_template
        return template.tool_format(self.model.tokenizer) if template else FALLBACK

    def ids(
        self, messages: Sequence[Mapping[str, Any]], *, append: bool = False, prefix: bool = False
    ) -> list[int]:
        """The ids of a conversation, up to where the assistant writes; with `append` up to where
        its last message ends, with `prefix` up to where that message's content does. Raises what
        `conversation_ids` raises."""
        given = check_messages(messages)
        told = self.tools if self.choice != "none" else []
        native = False
        if told or any("tool_calls" in one or one["role"] == "tool" for one in given):
            native = self.form.native
            if not native:
                words = system_words(told, parallel=self._parallel) if told else ""
                given = with_words(spelled_out(given), words)
        if self.model.chat_template is None:
            text = plain(given, is_open=not (append or prefix))
            return self.model.tokenizer.encode(text, parse_special=self._parse_special)
        variables: dict[str, object] = {}
        if self.thinking is not None:
            variables[thoughts.SWITCH] = self.thinking
        if self._effort is not None:
            variables["reasoning_effort"] = self._effort
        return conversation_ids(
            self.model,
            given,
            add_generation_prompt=not append,
            continue_final=prefix,
            parse_special=self._parse_special,
            tools=told if native else (),
            arguments_text=native and self.form.arguments_text,
            variables=variables,
            ending=None if append or prefix else self._ending,
        )

    def _ending(self, prompt: str) -> str:
        template = self.model.chat_template
        switched = template is not None and thoughts.SWITCH in template.source
        return thoughts.ending(prompt, self.marks, self.thinking, switched=switched)

    @property
    def has_parts(self) -> bool:
        """Whether an answer may be more than words."""
        return self.marks is not None or bool(self.callable)

    def reply(self, ids: Sequence[int]) -> Reply:
        """What takes the answer apart that follows these ids."""
        form = self.form if self.callable else None
        names = names_of(self.callable)
        return Reply(marks=self.marks, inside=self._inside(ids), form=form, names=names)

    def _inside(self, ids: Sequence[int]) -> bool:
        """Whether these ids end in a thought."""
        if self.marks is None:
            return False
        said = self.model.tokenizer.decode(ids[-_TAIL:], at_start=False)
        return said.rstrip().endswith(self.marks.open)

    def forced(self, ids: Sequence[int]) -> thoughts.Budget | None:
        """What closes a thought in the answer that follows these ids, where there is a budget."""
        if self.marks is None or self._budget is None:
            return None
        return thoughts.Budget(
            self.model.tokenizer, self.marks, self._budget,
            start=len(ids), inside=self._inside(ids), shown=self.shown,
        )  # fmt: skip

    @property
    def grammar(self) -> Grammar | None:
        """What holds calls to their schemas; None where none can come."""
        if not self.callable:
            return None
        return grammar_of(
            self.callable,
            self.form,
            required=self._required,
            at_once=self.thinking is not True or self.marks is None,
            parallel=self._parallel and not self.choice.startswith("tool "),
        )

    @property
    def shown(self) -> frozenset[int]:
        """Control tokens that are marks of an answer's parts: they are read as text."""
        texts = [*(self.marks or ())]
        if self.callable:
            form = self.form
            texts += [form.before, form.after, form.open, form.close, form.separator or ""]
        tokenizer = self.model.tokenizer
        found = tokenizer.encode("\n".join(texts), add_special=False, parse_special=True)
        return frozenset(token for token in found if tokenizer.is_control(token))


def answer(
    session: Session,
    messages: Sequence[Mapping[str, Any]],
    params: SamplingParams,
    chat: Chat,
) -> Iterator[ChatChunk]:
    """Write the assistant's next turn; keys and values that the session has of the conversation
    already are not computed again. Raises what `Chat.ids` and `generate` raise."""
    ids = chat.ids(messages)
    if chat.model.chat_template is None and STOP not in params.stop:
        params = replace(params, stop=(*params.stop, STOP))
    if (grammar := chat.grammar) is not None:
        params = replace(params, grammar=grammar)
    reused = common(session.tokens, ids[:-1])
    session.rollback(reused)
    reply = chat.reply(ids)
    forced = chat.forced(ids)
    for chunk in session.generate(ids[reused:], params, shown=chat.shown, forced=forced):
        parts, reason = taken_apart(reply, chunk.text, chunk.finish_reason)
        yield ChatChunk(parts, chunk, reason)


def taken_apart(
    reply: Reply, text: str, finish_reason: str | None
) -> tuple[tuple[Part, ...], str | None]:
    """The parts that a text brings, and why the answer ends, if it does."""
    parts = reply.push(text)
    if finish_reason is not None:
        parts += reply.flush()
        if finish_reason == "stop" and reply.calls:
            finish_reason = "tool_calls"
    return tuple(parts), finish_reason


class Answering:
    """An answer that is being written and taken apart."""

    def __init__(self, chat: Chat, ids: Sequence[int], said: str = "") -> None:
        """After a prompt of these ids; `said` is what the answer has already, where it goes on."""
        self.shown = chat.shown
        self.forced = chat.forced(ids)
        self._reply = chat.reply(ids)
        self.said = [(0, *part) for part in self._reply.push(said)]
        """The parts of what it has already."""

    def parts(
        self, chunks: Sequence[TokenChunk], reason: str | None
    ) -> tuple[list[tuple[int, str, str, int]], str | None]:
        """Of which of the chunks there are which parts: (its number, kind, text, call); and why
        the answer ends."""
        told: list[tuple[int, str, str, int]] = []
        for at, chunk in enumerate(chunks):
            found, _ = taken_apart(self._reply, chunk.text, None)
            told += [(at, *part) for part in found]
        if reason is not None:
            found, reason = taken_apart(self._reply, "", reason)
            told += [(max(0, len(chunks) - 1), *part) for part in found]
        return told, reason


def plain(messages: Sequence[Message], *, is_open: bool = True) -> str:
    """The transcript of a conversation for a model that has no template: what the system says, an
    empty line, then one line to a turn, "User: ..." or "Assistant: ...", the last one open. Where
    it is not, it ends where the last message does, with all its spaces."""
    lines: list[str] = []
    for message in check_messages(messages):
        if message["role"] == "system":
            lines += [message["content"].strip(), ""]
        else:
            lines.append(f"{NAMES[message['role']]}: {message['content'].strip()}")
    if is_open:
        return "\n".join([*lines, "Assistant:"])
    said: str = messages[-1]["content"]
    return "\n".join(lines) + said[len(said.rstrip()) :]


def common(held: Sequence[int], wanted: Sequence[int]) -> int:
    """How many ids both begin with."""
    for at, (one, other) in enumerate(zip(held, wanted, strict=False)):
        if one != other:
            return at
    return min(len(held), len(wanted))
