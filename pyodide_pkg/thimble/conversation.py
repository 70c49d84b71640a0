"""A conversation's ids: what the model's template writes may be control tokens, what somebody said
may not.

A template puts what people said between control tokens, as one text. Were that text parsed as it
is, whoever spells `<|im_end|>` would end their own turn and begin another's. So before the template
sees a content, the characters that control tokens begin with are exchanged for stand-ins that occur
nowhere else; once the control tokens of the rendered text are cut out, they are exchanged back.
Contents are then bytes, whatever they spell.

Some templates refuse system words, or turns that do not alternate. Then turns of one role are
joined, and after that the system's words go before the first user's, with an empty line between.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import chain, groupby
from typing import TYPE_CHECKING, Any

from .chat import ChatTemplate
from .errors import OptionError, UnsupportedError
from .messages import Message, check_messages

if TYPE_CHECKING:
    from .language_model import LanguageModel
    from .tokenizer import Tokenizer
    from .tools import Tool

BETWEEN = "\n\n"
"""Between words that a template wants as one turn."""


def conversation_ids(
    model: LanguageModel,
    messages: Sequence[Mapping[str, Any]],
    *,
    add_generation_prompt: bool = True,
    continue_final: bool = False,
    parse_special: bool = False,
    tools: Sequence[Tool] = (),
    arguments_text: bool = False,
    variables: Mapping[str, object] | None = None,
    ending: Callable[[str], str] | None = None,
) -> list[int]:
    """The ids of `messages`, as `model.chat_template` writes them down.

    With `add_generation_prompt` they end where the assistant's next turn begins, with
    `continue_final` where the last message's content does. With `parse_special` contents may spell
    control tokens: for texts that nobody else had a hand in. `tools` and `variables` go to the
    template, which takes the arguments of calls as objects or, with `arguments_text`, as JSON;
    `ending` says what the answer to a prompt begins with. Raises OptionError for messages that
    are wrong or that the template refuses, UnsupportedError for a model without a template, and
    what `ChatTemplate.render` raises.
    """
    template, tokenizer = model.chat_template, model.tokenizer
    if template is None:
        raise UnsupportedError(f"model {model.name!r} has no chat template")
    given = check_messages(messages)
    free = _free_characters(template, [given, tools])
    quotes = {} if parse_special else _stand_ins(tokenizer, free)
    said = [_quoted(one, tokenizer, quotes, arguments_text) for one in given]
    told = {
        "tools": _each_text(list(tools), lambda text: _without_tokens(text, tokenizer, quotes)),
        **(variables or {}),
    }
    if continue_final and said[-1]["content"]:
        end = next(free)
        said[-1] = {**said[-1], "content": said[-1]["content"] + end}
        text, found, _ = _rendered(template, said, told, add=False).rpartition(end)
        if not found:
            raise UnsupportedError(
                f"the template of model {model.name!r} does not write the last message as it is, "
                "so it cannot be continued"
            )
    else:
        text = _rendered(template, said, told, add=add_generation_prompt)
    quoted = {ord(stand_in): letter for letter, stand_in in quotes.items()}
    text += ending(text) if ending else ""
    return tokenizer.encode(text, add_special=False, parse_special=True, quoted=quoted)


def _free_characters(template: ChatTemplate, given: object) -> Iterator[str]:
    """Characters that occur nowhere: noncharacters of Unicode first, then those for private use."""
    used = set(template.source)

    def note(text: str) -> str:
        used.update(text)
        return text

    _each_text(given, note)
    return (
        c for c in map(chr, chain(range(0xFDD0, 0xFDF0), range(0xF0000, 0x110000))) if c not in used
    )


def _stand_ins(tokenizer: Tokenizer, free: Iterator[str]) -> dict[str, str]:
    """Each character that a control token begins with, and what stands for it."""
    return {letter: next(free) for letter in sorted({text[0] for text in tokenizer.control_texts})}


def _each_text(value: Any, change: Callable[[str], str]) -> Any:
    """A copy of what is made of lists and objects, with each text in it changed."""
    if isinstance(value, str):
        return change(value)
    if isinstance(value, Mapping):
        return {_each_text(key, change): _each_text(one, change) for key, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [_each_text(one, change) for one in value]
    return value


def _quoted(
    message: Message, tokenizer: Tokenizer, quotes: dict[str, str], arguments_text: bool
) -> Message:
    """A message in which no control token begins.

    Templates look into what the assistant said (for `</think>`), so there only what is spelled is
    exchanged.
    """

    def spelled(text: str) -> str:
        return _without_tokens(text, tokenizer, quotes)

    content = message["content"]
    if message["role"] == "assistant":
        content = spelled(content)
    else:
        content = content.translate({ord(letter): quote for letter, quote in quotes.items()})
    quoted = {**message, "content": content}
    if "reasoning_content" in message:
        quoted["reasoning_content"] = spelled(message["reasoning_content"])
    if "tool_calls" in message:
        calls = _each_text(message["tool_calls"], spelled)
        if arguments_text:
            for call in calls:
                arguments = call["function"]["arguments"]
                call["function"]["arguments"] = json.dumps(arguments, ensure_ascii=False)
        quoted["tool_calls"] = calls
    return quoted


def _without_tokens(text: str, tokenizer: Tokenizer, quotes: dict[str, str]) -> str:
    """A text that spells no control token, and whose end does not become one together with what
    the template writes behind it."""
    if not quotes:
        return text
    for token in tokenizer.control_texts:
        while token in text:
            text = text.replace(token, quotes[token[0]] + token[1:])
    body = text.rstrip()
    beginnings = tokenizer.control_beginnings
    for length in range(1, min(len(body), max(map(len, beginnings), default=0)) + 1):
        at = len(body) - length
        if body[at:] in beginnings:
            text = text[:at] + quotes[body[at]] + text[at + 1 :]
    return text


def _rendered(
    template: ChatTemplate, messages: Sequence[Message], told: Mapping[str, Any], *, add: bool
) -> str:
    """The first way of writing the messages down that the template takes, with all that the system
    said in it."""
    refusal: OptionError | None = None
    fallback: str | None = None
    for ways in (list, _joined, _without_system):
        try:
            text = template.rendered(ways(messages), add_generation_prompt=add, **told)
        except OptionError as error:
            refusal = refusal or error
            continue
        if all(m["content"].strip() in text for m in messages if m["role"] == "system"):
            return text
        fallback = fallback or text
    if fallback is None:
        assert refusal is not None
        raise refusal
    return fallback


def _joined(messages: Sequence[Message]) -> list[Message]:
    """Turns of one role, one after another, as one; calls and their answers stay as they are."""
    joined: list[Message] = []
    for role, turns in groupby(messages, key=lambda one: one["role"]):
        for one in turns:
            apart = role == "tool" or "tool_calls" in one or not joined
            if apart or joined[-1]["role"] != role or "tool_calls" in joined[-1]:
                joined.append(dict(one) if apart else {"role": role, "content": one["content"]})
            else:
                text = f"{joined[-1]['content']}{BETWEEN}{one['content']}"
                joined[-1] = {"role": role, "content": text}
    return joined


def _without_system(messages: Sequence[Message]) -> list[Message]:
    """The same with the system's words before the first user's."""
    system = [one["content"] for one in messages if one["role"] == "system"]
    turns = _joined([one for one in messages if one["role"] != "system"])
    at = next((at for at, one in enumerate(turns) if one["role"] == "user"), None)
    if at is None:
        return [{"role": "user", "content": BETWEEN.join(system)}, *turns]
    first = {"role": "user", "content": BETWEEN.join([*system, turns[at]["content"]])}
    return [*turns[:at], first, *turns[at + 1 :]]
