"""From what the engine writes to OpenAI's objects, whole and in chunks. It knows no request."""

from __future__ import annotations

import secrets
import time
from collections.abc import AsyncIterator, Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ...chatting import ChatChunk
    from ...generation import TokenChunk
    from ...tokenizer import Tokenizer

PREFIX = {"chat.completion": "chatcmpl", "chat.completion.chunk": "chatcmpl"}


def head(kind: str, model: str) -> dict[str, Any]:
    """What all answers begin with."""
    name = f"{PREFIX.get(kind, 'cmpl')}-{secrets.token_hex(12)}"
    return {"id": name, "object": kind, "created": int(time.time()), "model": model}


def usage(prompt: int, completion: int) -> dict[str, int]:
    return {
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "total_tokens": prompt + completion,
    }


def delta(chunk: ChatChunk) -> dict[str, Any]:
    """What a token brings to an answer: words, unless it brings something else."""
    told: dict[str, Any] = {}
    calls: list[dict[str, Any]] = []
    for part in chunk.parts:
        if part.kind == "call":
            function = {"name": part.text, "arguments": ""}
            key = f"call_{secrets.token_hex(12)}"
            calls.append({"index": part.call, "id": key, "type": "function", "function": function})
        elif part.kind == "arguments":
            calls.append({"index": part.call, "function": {"arguments": part.text}})
        else:
            name = "reasoning_content" if part.kind == "reasoning" else "content"
            told[name] = told.get(name, "") + part.text
    if calls:
        told["tool_calls"] = calls
    return told or {"content": ""}


def added(message: dict[str, Any], more: Mapping[str, Any]) -> None:
    """Put a delta at the end of a message."""
    for name in ("content", "reasoning_content"):
        if name in more:
            message[name] = (message.get(name) or "") + more[name]
    for call in more.get("tool_calls", ()):
        calls = message.setdefault("tool_calls", [])
        if "id" in call:
            calls.append({key: call[key] for key in ("id", "type", "function")})
        else:
            function = calls[call["index"]]["function"]
            function["arguments"] += call["function"]["arguments"]


def _said(tokenizer: Tokenizer, token: int, logprob: float) -> dict[str, Any]:
    data = tokenizer.token_bytes(token)
    return {"token": data.decode("utf-8", "replace"), "logprob": logprob, "bytes": [*data]}


def chat_logprobs(tokenizer: Tokenizer, token: TokenChunk) -> dict[str, Any]:
    """A token by its own text and bytes, with the best at its place."""
    best = [_said(tokenizer, other, logprob) for other, logprob in token.top]
    one = {**_said(tokenizer, token.id, token.logprob), "top_logprobs": best}
    return {"content": [one], "refusal": None}


def completion_logprobs(tokenizer: Tokenizer, token: TokenChunk, offset: int) -> dict[str, Any]:
    """The same in the older form; `offset` is where in the text the token begins."""
    best = {_said(tokenizer, other, 0.0)["token"]: logprob for other, logprob in token.top}
    return {
        "tokens": [_said(tokenizer, token.id, 0.0)["token"]],
        "token_logprobs": [token.logprob],
        "top_logprobs": [best],
        "text_offset": [offset],
    }


def joined(before: dict[str, Any] | None, more: dict[str, Any] | None) -> dict[str, Any] | None:
    """The logprobs of a whole answer: lists, one behind the other."""
    if before is None or more is None:
        return before or more
    return {key: [*(before[key] or []), *(more[key] or [])] or None for key in before}


async def whole_chat(chunks: AsyncIterator[dict[str, Any]]) -> dict[str, Any]:
    """A stream's chunks as one answer."""
    whole: dict[str, Any] = {}
    choices: dict[int, dict[str, Any]] = {}
    async for chunk in chunks:
        whole = whole or {**chunk, "object": "chat.completion", "choices": []}
        if chunk.get("usage"):
            whole["usage"] = chunk["usage"]
        for choice in chunk["choices"]:
            empty = {"role": "assistant", "content": None, "refusal": None}
            one = choices.setdefault(
                choice["index"],
                {"index": choice["index"], "message": empty, "logprobs": None},
            )
            added(one["message"], choice["delta"])
            one["logprobs"] = joined(one["logprobs"], choice["logprobs"])
            one["finish_reason"] = choice["finish_reason"]
    for one in choices.values():
        if "tool_calls" in one["message"]:
            one["message"]["content"] = one["message"]["content"] or None
        else:
            one["message"]["content"] = one["message"]["content"] or ""
    return {**whole, "choices": [choices[index] for index in sorted(choices)]}


async def whole_completion(chunks: AsyncIterator[dict[str, Any]]) -> dict[str, Any]:
    """The same of texts."""
    whole: dict[str, Any] = {}
    choices: dict[int, dict[str, Any]] = {}
    async for chunk in chunks:
        whole = whole or {**chunk, "choices": []}
        if chunk.get("usage"):
            whole["usage"] = chunk["usage"]
        for choice in chunk["choices"]:
            one = choices.setdefault(choice["index"], {**choice, "text": "", "logprobs": None})
            one["text"] += choice["text"]
            one["logprobs"] = joined(one["logprobs"], choice["logprobs"])
            one["finish_reason"] = choice["finish_reason"]
    return {**whole, "choices": [choices[index] for index in sorted(choices)]}
