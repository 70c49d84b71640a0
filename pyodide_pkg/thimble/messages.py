"""What a conversation is: messages, checked and in one form.

The form is that of OpenAI's chat completions. It knows no template and no tokens.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from typing import Any

from .errors import OptionError
from .json_text import parse_json

ROLES = ("system", "user", "assistant", "tool")
NAME = re.compile(r"[a-zA-Z0-9_-]{1,64}", re.ASCII)
"""What a speaker or a tool may be called: nothing that spells what a template writes."""
KEYS = {
    "system": {"name"},
    "user": {"name"},
    "assistant": {"name", "tool_calls", "reasoning_content"},
    "tool": {"name", "tool_call_id"},
}
"""What a message of each role may have beside role and content."""
_ID = re.compile(r"[a-zA-Z0-9]{9}", re.ASCII)

Message = dict[str, Any]


def check_messages(messages: Sequence[Mapping[str, Any]]) -> list[Message]:
    """A copy of `messages`, each with a role, a content and maybe more (`KEYS`).

    The arguments of tool calls become objects, and calls and answers get ids of nine letters and
    digits, which some templates ask for. Raises OptionError, saying which message is wrong.
    """
    if not isinstance(messages, Sequence) or isinstance(messages, (str, bytes)):
        raise OptionError(f"messages are a list, not {type(messages).__name__}")
    if not messages:
        raise OptionError("messages is empty; a conversation has at least one message")
    checked: list[Message] = []
    open_calls: list[str] = []
    for i, message in enumerate(messages):
        one = _checked(message, f"messages[{i}]")
        if one["role"] == "tool":
            given = one.get("tool_call_id")
            one["tool_call_id"] = _id(given) if given else (open_calls or [_id("")])[0]
            if one["tool_call_id"] in open_calls:
                open_calls.remove(one["tool_call_id"])
        elif calls := one.get("tool_calls"):
            open_calls = [call["id"] for call in calls]
        checked.append(one)
    return checked


def _checked(message: Mapping[str, Any], where: str) -> Message:
    if not isinstance(message, Mapping):
        raise OptionError(f"{where} is a mapping, not {type(message).__name__}")
    role = message.get("role")
    calls = message.get("tool_calls") if role == "assistant" else None
    more = KEYS.get(role, set()) if isinstance(role, str) else set()
    needed = {"role"} if calls else {"role", "content"}
    if not needed <= set(message) or set(message) - {"role", "content"} - (more or {"name"}):
        keys = ", ".join(sorted(map(repr, message))) or "no keys"
        raise OptionError(f"{where} has 'role' and 'content', not {keys:.100}")
    if role not in ROLES:
        raise OptionError(f"{where} has role {role!r:.60}; roles are {', '.join(ROLES)}")
    content = message.get("content")
    if content is None and calls:
        content = ""
    if not isinstance(content, str):
        raise OptionError(f"{where} has a content of {type(content).__name__}, not str")
    one: Message = {"role": role, "content": content}
    if "name" in message:
        one["name"] = check_name(message["name"], where)
    for key in ("reasoning_content", "tool_call_id"):
        if message.get(key) is not None:
            if not isinstance(message[key], str):
                raise OptionError(f"{where}.{key} is {message[key]!r:.60}; it must be a text")
            one[key] = message[key]
    if calls:
        one["tool_calls"] = _calls(calls, f"{where}.tool_calls")
    return one


def check_name(name: Any, where: str) -> str:
    """The name of somebody or of a tool. Raises OptionError."""
    if not isinstance(name, str) or not NAME.fullmatch(name):
        raise OptionError(
            f"{where} has the name {name!r:.60}; a name has 1 to 64 letters, digits, _ or -"
        )
    return name


def _calls(calls: Any, where: str) -> list[dict[str, Any]]:
    if not isinstance(calls, Sequence) or isinstance(calls, (str, bytes)):
        raise OptionError(f"{where} is {calls!r:.60}; it must be a list of calls")
    checked = []
    for i, call in enumerate(calls):
        there = f"{where}[{i}]"
        function = call.get("function") if isinstance(call, Mapping) else None
        if not isinstance(function, Mapping) or call.get("type", "function") != "function":
            raise OptionError(f"{there} is {call!r:.60}; it must be a call of a function")
        name = check_name(function.get("name"), there)
        arguments = function.get("arguments")
        if isinstance(arguments, str):
            arguments = parse_json(arguments or "{}", f"{there}.function.arguments", OptionError)
        if not isinstance(arguments, Mapping):
            raise OptionError(
                f"{there} has the arguments {arguments!r:.60}; they must be an object, or its JSON"
            )
        checked.append(
            {
                "id": _id(call.get("id") or there),
                "type": "function",
                "function": {"name": name, "arguments": dict(arguments)},
            }
        )
    return checked


def _id(given: Any) -> str:
    if not isinstance(given, str):
        raise OptionError(f"the id of a tool call is {given!r:.60}; it must be a text")
    return given if _ID.fullmatch(given) else hashlib.sha256(given.encode()).hexdigest()[:9]
