"""Tools: functions that a model may ask for, and how it spells that it does.

A tool is OpenAI's `{"type": "function", "function": {"name", "description", "parameters"}}`, its
parameters a JSON Schema of an object. How a call is spelled (`ToolFormat`) is found out from the
model's own template (`tool_format.py`); where that knows no tools, `FALLBACK` is told to the model
in the system's words. Arguments are held to their schema by structural tags: what a model has begun
to call can always be called.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from .errors import OptionError
from .messages import Message, check_name

if TYPE_CHECKING:
    from .constrain import Grammar

MOST_TOOLS = 128
CHOICES = ("auto", "none", "required")
_TAG = re.compile(r"<[^<>\s]+>|\[[A-Z_]+\]")
Tool = dict[str, Any]


class ToolFormat(NamedTuple):
    """How calls are spelled: `open`, then one call or several with `separator` between them, then
    `close`; a call is `before`, the name, `between`, the arguments in JSON, `after`. Where `open`
    and `close` are empty each call stands for itself."""

    before: str
    between: str
    after: str
    open: str = ""
    close: str = ""
    separator: str | None = None
    """None where the model makes one call at a time."""
    native: bool = False
    """Whether the template writes tools, calls and answers down itself."""
    arguments_text: bool = False
    """Whether the template wants the arguments of a call as their JSON text."""

    @property
    def trigger(self) -> str:
        """What tells a call from other text."""
        begin = self.open or self.before
        tag = _TAG.match(begin)
        return tag[0] if tag else begin


FALLBACK = ToolFormat(
    before='<tool_call>\n{"name": "',
    between='", "arguments": ',
    after="}\n</tool_call>",
    separator="\n",
)
"""What most small models have seen (Hermes, Qwen), for templates that know no tools."""


def check_tools(tools: Any) -> list[Tool]:
    """A copy of `tools` as templates take them. Raises OptionError, saying which is wrong."""
    if not isinstance(tools, Sequence) or isinstance(tools, (str, bytes)):
        raise OptionError(f"tools are a list, not {type(tools).__name__}")
    if len(tools) > MOST_TOOLS:
        raise OptionError(f"there are {len(tools)} tools; {MOST_TOOLS} is the most")
    checked = [_tool(tool, f"tools[{i}]") for i, tool in enumerate(tools)]
    names = names_of(checked)
    for name in names:
        if names.count(name) > 1:
            raise OptionError(f"two tools have the name {name!r}")
    return checked


def _tool(tool: Any, where: str) -> Tool:
    function = tool.get("function") if isinstance(tool, Mapping) else None
    if not isinstance(function, Mapping) or tool.get("type", "function") != "function":
        raise OptionError(
            f"{where} is {tool!r:.60}; it must be "
            '{"type": "function", "function": {"name": ...}}'
        )
    unknown = set(function) - {"name", "description", "parameters", "strict"}
    if unknown:
        raise OptionError(f"{where}.function has {sorted(map(str, unknown))[0]!r:.60}")
    name = check_name(function.get("name"), where)
    description = function.get("description") or ""
    if not isinstance(description, str):
        raise OptionError(f"{where} has the description {description!r:.60}; it must be a text")
    parameters = function.get("parameters")
    if parameters is None:
        parameters = {"type": "object", "properties": {}}
    if not isinstance(parameters, Mapping) or parameters.get("type", "object") != "object":
        raise OptionError(
            f"{where} has the parameters {json.dumps(parameters, default=str):.60}; they must be "
            "the JSON Schema of an object"
        )
    schema = {**parameters, "type": "object"}
    return {
        "type": "function",
        "function": {"name": name, "description": description, "parameters": schema},
    }


def names_of(tools: Sequence[Tool]) -> list[str]:
    return [tool["function"]["name"] for tool in tools]


def check_choice(choice: Any, tools: Sequence[Tool]) -> str:
    """One of `CHOICES`, or the name of the tool that must be called. Raises OptionError."""
    if choice is None:
        return "auto"
    if isinstance(choice, Mapping):
        function = choice.get("function")
        name = function.get("name") if isinstance(function, Mapping) else None
        if choice.get("type", "function") == "function" and name in names_of(tools):
            return f"tool {name}"
    elif choice in CHOICES:
        if choice == "required" and not tools:
            raise OptionError("tool_choice is 'required', and there are no tools")
        return str(choice)
    names = ", ".join(names_of(tools)) or "none"
    raise OptionError(
        f"tool_choice is {json.dumps(choice, default=str):.80}; it must be {', '.join(CHOICES)} or "
        f'{{"type": "function", "function": {{"name": ...}}}} of a tool ({names})'
    )


def chosen(tools: Sequence[Tool], choice: str) -> list[Tool]:
    """The tools that may be called."""
    if choice.startswith("tool "):
        return [tool for tool in tools if tool["function"]["name"] == choice[5:]]
    return [] if choice == "none" else list(tools)


def grammar_of(
    tools: Sequence[Tool], form: ToolFormat, *, required: bool, at_once: bool, parallel: bool
) -> Grammar:
    """Text that may end with calls of these tools; with `required` it does, with `at_once` it has
    nothing else."""
    from .constrain import structural_tag  # who has no tools does not wait for it

    several = parallel and form.separator is not None
    told: dict[str, Any] = {
        "triggers": [form.trigger],
        "structures": [
            {
                "begin": form.before + tool["function"]["name"] + form.between,
                "schema": tool["function"]["parameters"],
                "end": form.after,
            }
            for tool in tools
        ],
        "at_least_one": required,
        "at_once": required and at_once,
        "stop_after_first": True,
        "open": form.open,
        "close": form.close,
    }
    if several:
        told["separator"] = form.separator
    return structural_tag(told)


def system_words(tools: Sequence[Tool], *, parallel: bool) -> str:
    """What `FALLBACK` is explained by."""
    listed = "\n".join(json.dumps(tool["function"], ensure_ascii=False) for tool in tools)
    often = "For each call" if parallel else "For a call"
    return (
        "You can call these functions to help the user; each is described by its name and the "
        f"JSON Schema of its arguments:\n<tools>\n{listed}\n</tools>\n"
        f"{often} write the function's name and its arguments as JSON:\n"
        '<tool_call>\n{"name": "the name", "arguments": {"an argument": "its value"}}\n'
        "</tool_call>\n"
        "The result comes back between <tool_response> and </tool_response>. Where no function "
        "helps, answer in words."
    )


def spelled_out(messages: Sequence[Message]) -> list[Message]:
    """The conversation for a template that knows no tools: calls are what the assistant said,
    results what the user did."""
    written: list[Message] = []
    for message in messages:
        content = message["content"]
        if message["role"] == "tool":
            content = f"<tool_response>\n{content}\n</tool_response>"
            if written and written[-1].get("results"):
                written[-1]["content"] += "\n" + content
            else:
                written.append({"role": "user", "content": content, "results": True})
        elif calls := message.get("tool_calls"):
            spelled = [
                FALLBACK.before
                + call["function"]["name"]
                + FALLBACK.between
                + json.dumps(call["function"]["arguments"], ensure_ascii=False)
                + FALLBACK.after
                for call in calls
            ]
            kept = {key: value for key, value in message.items() if key != "tool_calls"}
            parts = [content, *spelled] if content.strip() else spelled
            written.append({**kept, "content": "\n".join(parts)})
        else:
            written.append(dict(message))
    for message in written:
        message.pop("results", None)
    return written


def with_words(messages: Sequence[Message], words: str) -> list[Message]:
    """The same with these words behind what the system says."""
    if not words:
        return list(messages)
    if messages and messages[0]["role"] == "system":
        first = {**messages[0], "content": f"{messages[0]['content']}\n\n{words}"}
        return [first, *messages[1:]]
    return [{"role": "system", "content": words}, *messages]
