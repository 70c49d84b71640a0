"""How a template has tools called: found out by having it write a call down.

A conversation with one call of a known name and known arguments is rendered, and what stands around
them is how the model was taught to spell a call; one with two calls says what stands between. So no
family needs to be known by name, as long as arguments are written as JSON. Where they are not, or
where the template leaves tools, calls or results out, `tools.FALLBACK` is used. The idea is
llama.cpp's (`common/chat.cpp` tells capabilities of templates by rendering them).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from .errors import ThimbleError
from .messages import check_messages
from .tools import FALLBACK, ToolFormat, check_tools

if TYPE_CHECKING:
    from .chat import ChatTemplate
    from .tokenizer import Tokenizer

NAME, OTHER, TOOL = "thimble_call_one", "thimble_call_two", "thimble_tool"
ASKED, RESULT, DONE = "thimble asked this", "thimble result", "thimble is done"
ARGUMENTS = {"probe": "value"}
IDS = ("thimble01", "thimble02")
MOST_AROUND = 200
"""Characters around a name that can be part of a call's spelling."""
_ARGUMENTS = re.compile(r'\{\s*"probe"\s*:\s*"value"\s*\}')
_ID = re.compile(r'\s*,\s*"id"\s*:\s*"thimble0."|"id"\s*:\s*"thimble0."\s*,\s*')
_THOUGHT = re.compile(r"\s*(<think>.*?</think>|\[THINK\].*?\[/THINK\])\s*", re.DOTALL)
_TOOLS = check_tools([{"type": "function", "function": {"name": TOOL, "description": "A probe."}}])


def find_format(template: ChatTemplate, tokenizer: Tokenizer) -> ToolFormat:
    """How this template's model spells a call."""
    try:
        told = template.render([_user()], tools=_TOOLS)
    except ThimbleError:
        return FALLBACK
    if TOOL not in told:
        return FALLBACK
    ends = [tokenizer.token_text(token) for token in tokenizer.eog_ids]
    for as_text in (False, True):
        try:
            form = _format(template, ends, as_text)
        except ThimbleError:
            continue
        if form is not None:
            return form._replace(arguments_text=as_text)
    return FALLBACK


def _user(content: str = ASKED) -> dict[str, Any]:
    return {"role": "user", "content": content}


def _called(names: Sequence[str], as_text: bool) -> list[dict[str, Any]]:
    arguments: Any = ARGUMENTS
    calls = [
        {"id": key, "type": "function", "function": {"name": name, "arguments": arguments}}
        for name, key in zip(names, IDS, strict=False)
    ]
    results = [
        {"role": "tool", "name": name, "tool_call_id": key, "content": RESULT}
        for name, key in zip(names, IDS, strict=False)
    ]
    said = {"role": "assistant", "content": "", "tool_calls": calls}
    messages = check_messages([_user(), said, *results])
    if as_text:
        for call in messages[1]["tool_calls"]:
            call["function"]["arguments"] = '{"probe": "value"}'
    return messages


def _format(template: ChatTemplate, ends: Sequence[str], as_text: bool) -> ToolFormat | None:
    begun = template.render([_user()], tools=_TOOLS)
    messages = _called([NAME], as_text)
    whole = template.rendered(messages, add_generation_prompt=False, tools=_TOOLS)
    if RESULT not in whole:
        return None
    found = _around(whole, begun, ends)
    if found is None:
        return None
    before, between, after = found
    try:
        both = template.rendered(
            _called([NAME, OTHER], as_text), add_generation_prompt=False, tools=_TOOLS
        )
        inner = _between_calls(both)
    except ThimbleError:
        inner = None
    form = ToolFormat(before, between, after, native=True)
    if inner is None:
        return form
    if inner.startswith(after) and inner.endswith(before) and len(inner) >= len(after + before):
        separator = inner[len(after) : len(inner) - len(before)]
        return form._replace(separator=separator) if not separator.strip() else form
    call_after = _shared(inner, after)
    call_before = _shared(inner[::-1], before[::-1])[::-1]
    separator = inner[len(call_after) : len(inner) - len(call_before)]
    opened, closed = before.removesuffix(call_before), after.removeprefix(call_after)
    if not opened or separator.strip() not in ("", ","):
        return form
    return ToolFormat(call_before, between, call_after, opened, closed, separator, native=True)


def _around(whole: str, begun: str, ends: Sequence[str]) -> tuple[str, str, str] | None:
    """What stands before a call's name, between it and its arguments, and behind them."""
    at = whole.find(NAME)
    arguments = _ARGUMENTS.search(whole, max(at, 0))
    if at < 0 or arguments is None:
        return None
    begin = len(_shared(whole, begun))
    before = _ID.sub("", _THOUGHT.sub("", whole[begin:at])).lstrip()
    between = whole[at + len(NAME) : arguments.start()]
    rest = _ID.sub("", whole[arguments.end() :])
    stops = [place for end in ends if end and (place := rest.find(end)) >= 0]
    after = rest[: min(stops, default=0)].rstrip()
    fits = begin < at and max(len(before), len(between), len(after)) <= MOST_AROUND
    return (before, between, after) if fits and before and after else None


def _between_calls(both: str) -> str | None:
    first = _ARGUMENTS.search(both, max(both.find(NAME), 0))
    second = both.find(OTHER)
    if first is None or second < first.end():
        return None
    return _ID.sub("", both[first.end() : second])


def _shared(one: str, other: str) -> str:
    """What both begin with."""
    at = next((at for at, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), None)
    return min(one, other, key=len) if at is None else one[:at]
