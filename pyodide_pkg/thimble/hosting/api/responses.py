"""OpenAI's Responses: a request becomes one of chat completions, and its chunks become events.

What earlier responses said is not kept here: it is sent as `input`.
"""

from __future__ import annotations

import copy
import itertools
import json
import secrets
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from typing import Any

from ...errors import OptionError

SAME = {
    "model", "temperature", "top_p", "parallel_tool_calls", "user", "metadata", "store", "seed",
    "top_k", "min_p", "stop", "service_tier", "safety_identifier", "prompt_cache_key",
    "thinking_budget",
}  # fmt: skip
"""Members that mean the same in a chat."""
OWN = {
    "input", "instructions", "tools", "tool_choice", "text", "reasoning", "max_output_tokens",
    "stream",
}  # fmt: skip
NEUTRAL: dict[str, list[Any]] = {
    "truncation": ["disabled"], "include": [[]], "background": [False], "stream_options": [{}],
}  # fmt: skip
TEXTS = {"input_text": "text", "output_text": "text", "text": "text", "refusal": "refusal"}
Event = dict[str, Any]


def chat_request(request: Mapping[str, Any]) -> dict[str, Any]:
    """The same request of a chat. Raises OptionError for what cannot be done."""
    given = {name: value for name, value in request.items() if value is not None}
    for name, value in given.items():
        if name not in SAME and name not in OWN and value not in NEUTRAL.get(name, ()):
            raise OptionError(f"{name} is {json.dumps(value):.60}; this is not supported")
    chat = {name: given[name] for name in SAME if name in given}
    chat["messages"] = _messages(given.get("input"))
    if given.get("instructions"):
        chat["messages"].insert(0, {"role": "system", "content": given["instructions"]})
    if "tools" in given:
        chat["tools"] = [_tool(tool) for tool in given["tools"]]
    choice = given.get("tool_choice")
    if isinstance(choice, Mapping):
        choice = {"type": "function", "function": {"name": choice.get("name")}}
    form = given.get("text", {}).get("format")
    if isinstance(form, Mapping) and form.get("type") == "json_schema":
        form = {"type": "json_schema", "json_schema": {"schema": form.get("schema", True)}}
    chat |= {
        "tool_choice": choice,
        "response_format": form,
        "reasoning_effort": given.get("reasoning", {}).get("effort"),
        "max_tokens": given.get("max_output_tokens"),
        "stream": True,
        "stream_options": {"include_usage": True},
    }
    return {name: value for name, value in chat.items() if value is not None}


def _tool(tool: Any) -> dict[str, Any]:
    if not isinstance(tool, Mapping) or tool.get("type") != "function":
        raise OptionError(f"a tool is {json.dumps(tool):.60}; its type must be function")
    names = ("name", "description", "parameters", "strict")
    return {"type": "function", "function": {name: tool.get(name) for name in names}}


def _messages(given: Any) -> list[dict[str, Any]]:
    """Items of an input as messages; calls next to each other are one message's."""
    if isinstance(given, str):
        return [{"role": "user", "content": given}]
    if not isinstance(given, list):
        raise OptionError(f"input is {json.dumps(given):.60}; it must be a text or items")
    found: list[dict[str, Any]] = []
    for at, item in enumerate(given):
        kind = item.get("type", "message") if isinstance(item, Mapping) else None
        if kind == "function_call":
            names = {name: item.get(name) for name in ("name", "arguments")}
            call = {"id": item.get("call_id"), "type": "function", "function": names}
            if not found or found[-1]["role"] != "assistant":
                found.append({"role": "assistant", "content": ""})
            found[-1].setdefault("tool_calls", []).append(call)
        elif kind == "function_call_output":
            content = _content(item.get("output"), at)
            answered = {"role": "tool", "tool_call_id": item.get("call_id"), "content": content}
            found.append(answered)
        elif kind == "message":
            found.append({"role": item.get("role"), "content": _content(item.get("content"), at)})
        elif kind != "reasoning":
            raise OptionError(
                f"input[{at}] is {json.dumps(item):.60}; it must be a message, a function_call or "
                "a function_call_output"
            )
    return found


def _content(content: Any, at: int) -> str:
    if isinstance(content, str):
        return content
    texts = []
    for part in content if isinstance(content, list) else [content]:
        kind = part.get("type") if isinstance(part, Mapping) else None
        text = part.get(TEXTS[kind]) if kind in TEXTS else None
        if not isinstance(text, str):
            raise OptionError(f"input[{at}] has {json.dumps(part):.60}; these models read texts")
        texts.append(text)
    return "".join(texts)


class Output:
    """The items of a response as they grow, and the events that tell of it."""

    def __init__(self) -> None:
        self.items: list[dict[str, Any]] = []
        self._open: dict[str, Any] | None = None
        self._count = itertools.count()

    def event(self, kind: str, **more: Any) -> Event:
        return {"type": f"response.{kind}", **more, "sequence_number": next(self._count)}

    def _place(self, item: Mapping[str, Any]) -> dict[str, Any]:
        return {"item_id": item["id"], "output_index": len(self.items) - 1}

    def _begin(self, item: dict[str, Any]) -> Iterator[Event]:
        yield from self.end()
        self.items.append(item)
        self._open = item
        at = self._place(item)
        shown = copy.deepcopy(item)
        if item["type"] == "message":
            shown["content"] = []
        yield self.event("output_item.added", output_index=at["output_index"], item=shown)
        if item["type"] == "message":
            part = dict(item["content"][0])
            yield self.event("content_part.added", **at, content_index=0, part=part)

    def end(self) -> Iterator[Event]:
        """The open item is whole."""
        item, self._open = self._open, None
        if item is None:
            return
        at = self._place(item)
        if item["type"] == "function_call":
            told = {"name": item["name"], "arguments": item["arguments"]}
            yield self.event("function_call_arguments.done", **at, **told)
        else:
            part = item["content"][0]
            more: dict[str, Any] = {"logprobs": []} if item["type"] == "message" else {}
            kind = f"{part['type']}.done"
            yield self.event(kind, **at, content_index=0, text=part["text"], **more)
            if item["type"] == "message":
                yield self.event("content_part.done", **at, content_index=0, part=dict(part))
        item["status"] = "completed"
        done = copy.deepcopy(item)
        yield self.event("output_item.done", output_index=at["output_index"], item=done)

    def say(self, kind: str, text: str) -> Iterator[Event]:
        """More words, of the answer ("message") or of a thought ("reasoning")."""
        if self._open is None or self._open["type"] != kind:
            if kind == "message":
                more: dict[str, Any] = {"role": "assistant"}
                part = {"type": "output_text", "text": "", "annotations": []}
            else:
                more, part = {"summary": []}, {"type": "reasoning_text", "text": ""}
            name = f"{'msg' if kind == 'message' else 'rs'}_{secrets.token_hex(12)}"
            yield from self._begin(
                {"id": name, "type": kind, "status": "in_progress", "content": [part], **more}
            )
        assert self._open is not None
        part = self._open["content"][0]
        part["text"] += text
        also: dict[str, Any] = {"logprobs": []} if kind == "message" else {}
        at = self._place(self._open)
        yield self.event(f"{part['type']}.delta", **at, content_index=0, delta=text, **also)

    def call(self, told: Mapping[str, Any]) -> Iterator[Event]:
        """A call's head, or more of its arguments."""
        function = told["function"]
        if "id" in told:
            yield from self._begin(
                {
                    "id": f"fc_{secrets.token_hex(12)}", "type": "function_call",
                    "call_id": told["id"], "name": function["name"], "arguments": "",
                    "status": "in_progress",
                }
            )  # fmt: skip
        if self._open is not None and function.get("arguments"):
            self._open["arguments"] += function["arguments"]
            at = self._place(self._open)
            yield self.event("function_call_arguments.delta", **at, delta=function["arguments"])


async def events(
    request: Mapping[str, Any], chunks: AsyncIterator[Mapping[str, Any]]
) -> AsyncIterator[Event]:
    """What a chat's chunks tell; the last event has the whole response."""
    output, finish = Output(), None
    response = _begun(request)
    yield output.event("created", response=dict(response))
    yield output.event("in_progress", response=dict(response))
    async for chunk in chunks:
        response["model"] = chunk["model"]
        if chunk.get("usage"):
            response["usage"] = _usage(chunk["usage"])
        for choice in chunk["choices"]:
            finish = choice["finish_reason"] or finish
            told = choice["delta"]
            for name, kind in (("reasoning_content", "reasoning"), ("content", "message")):
                if told.get(name):
                    for one in output.say(kind, told[name]):
                        yield one
            for call in told.get("tool_calls", ()):
                for one in output.call(call):
                    yield one
    for one in output.end():
        yield one
    cut = finish == "length"
    response |= {
        "output": output.items,
        "status": "incomplete" if cut else "completed",
        "incomplete_details": {"reason": "max_output_tokens"} if cut else None,
    }
    yield output.event("incomplete" if cut else "completed", response=response)


async def whole(told: AsyncIterator[Event]) -> dict[str, Any]:
    """The response that the last event has."""
    response: dict[str, Any] = {}
    async for event in told:
        response = event.get("response", response)
    return response


def _usage(told: Mapping[str, int]) -> dict[str, Any]:
    return {
        "input_tokens": told["prompt_tokens"],
        "input_tokens_details": {"cached_tokens": 0},
        "output_tokens": told["completion_tokens"],
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": told["total_tokens"],
    }


def _begun(request: Mapping[str, Any]) -> dict[str, Any]:
    names = ("instructions", "temperature", "top_p", "max_output_tokens", "metadata")
    return {
        "id": f"resp_{secrets.token_hex(12)}", "object": "response",
        "created_at": int(time.time()), "status": "in_progress", "error": None,
        "incomplete_details": None, "model": request.get("model"), "output": [],
        "parallel_tool_calls": request.get("parallel_tool_calls") is not False,
        "tools": request.get("tools") or [], "tool_choice": request.get("tool_choice") or "auto",
        "text": request.get("text") or {"format": {"type": "text"}}, "usage": None,
        **{name: request.get(name) for name in names},
    }  # fmt: skip
