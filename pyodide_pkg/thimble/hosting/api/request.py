"""From OpenAI's requests to the engine's options; what cannot be done is refused by name."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ...browser.options import SAMPLING_OPTIONS, sampling
from ...chatting import Chat
from ...errors import OptionError

if TYPE_CHECKING:
    from ...language_model import LanguageModel
    from ...sampling import SamplingParams

MOST_ANSWERS = 16
MOST_TEXTS = 256
LABELS = {
    "user", "safety_identifier", "prompt_cache_key", "prompt_cache_retention", "metadata", "store",
    "service_tier",
}  # fmt: skip
"""For OpenAI's own books; they go nowhere."""
LACKS: dict[str, list[Any]] = {
    "functions": [[]], "function_call": ["none", "auto"], "modalities": [["text"]], "audio": [],
    "prediction": [], "web_search_options": [], "verbosity": ["medium"], "echo": [False],
    "suffix": [""], "best_of": [1],
}  # fmt: skip
"""What these models lack, and the values that do not ask for it."""
SHARED = {"model", "stream", "stream_options", "n", *SAMPLING_OPTIONS, "parse_special"}
CHAT = {
    "messages", "max_completion_tokens", "logprobs", "response_format", "tools", "tool_choice",
    "parallel_tool_calls", "reasoning_effort", "enable_thinking", "chat_template_kwargs",
    "thinking_budget",
}  # fmt: skip
ROLES = {"developer": "system"}
"""OpenAI's names of roles that templates call otherwise."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a request of either kind asks for."""

    params: SamplingParams
    n: int
    stream: bool
    usage: bool
    """Whether a stream tells the usage, at its end."""
    logprobs: bool


def check(request: Any, known: set[str]) -> dict[str, Any]:
    """A request without what says nothing. Raises OptionError for a member that is not known."""
    if not isinstance(request, Mapping):
        raise OptionError(f"a request is an object, not {json.dumps(request):.60}")
    given = {name: value for name, value in request.items() if value is not None}
    for name, value in given.items():
        if name in known or name in LABELS or value in LACKS.get(name, ()):
            continue
        if name in LACKS:
            raise OptionError(f"{name} is {json.dumps(value):.60}; this is not supported")
        raise OptionError(f"{name} is not supported; there are {', '.join(sorted(known))}")
    return given


def completion(request: Any) -> tuple[list[str], Wanted]:
    """The texts to go on from, and how."""
    given = check(request, {*SHARED, "prompt", "logprobs"})
    prompts = given.get("prompt", "")
    prompts = [prompts] if isinstance(prompts, str) else prompts
    if not isinstance(prompts, list) or not all(isinstance(one, str) for one in prompts):
        raise OptionError(f"prompt is {json.dumps(prompts):.60}; it must be a text or texts")
    if not 0 < len(prompts) <= MOST_TEXTS:
        raise OptionError(f"there are {len(prompts)} prompts; it must be 1 to {MOST_TEXTS}")
    told = given.get("logprobs")
    options = {**given, **({} if told is None else {"top_logprobs": told})}
    return prompts, _wanted(given, options, logprobs=told is not None)


def chat(request: Any, model: LanguageModel) -> tuple[list[dict[str, Any]], Chat, Wanted]:
    """The conversation, how it is written, and how it is answered."""
    given = check(request, SHARED | CHAT)
    options = dict(given)
    if "max_completion_tokens" in given:
        options["max_tokens"] = given["max_completion_tokens"]
    grammar = _format(given.get("response_format"))
    if grammar is not None:
        options["grammar"] = grammar
    wanted = _wanted(given, options, logprobs=given.get("logprobs") is True)
    also = given.get("chat_template_kwargs", {})
    if not isinstance(also, Mapping) or set(also) - {"enable_thinking"}:
        raise OptionError(
            f"chat_template_kwargs is {json.dumps(also):.60}; it may have enable_thinking"
        )
    speech = Chat(
        model,
        tools=given.get("tools"),
        tool_choice=given.get("tool_choice"),
        parallel_tool_calls=given.get("parallel_tool_calls"),
        enable_thinking=given.get("enable_thinking", also.get("enable_thinking")),
        reasoning_effort=given.get("reasoning_effort"),
        thinking_budget=given.get("thinking_budget"),
        parse_special=given.get("parse_special") is True,
        constrained=wanted.params.grammar is not None,
    )
    return messages(given.get("messages")), speech, wanted


def _wanted(given: Mapping[str, Any], options: Mapping[str, Any], *, logprobs: bool) -> Wanted:
    params, _ = sampling({name: options[name] for name in SAMPLING_OPTIONS if name in options})
    n = given.get("n", 1)
    if not isinstance(n, int) or isinstance(n, bool) or not 1 <= n <= MOST_ANSWERS:
        raise OptionError(f"n is {json.dumps(n):.60}; it must be a whole number from 1 to 16")
    stream = given.get("stream", False)
    if not isinstance(stream, bool):
        raise OptionError(f"stream is {json.dumps(stream):.60}; it must be true or false")
    told = given.get("stream_options", {})
    usage = isinstance(told, Mapping) and told.get("include_usage") is True
    return Wanted(params, n, stream, usage, logprobs)


def _format(given: Any) -> dict[str, str] | str | None:
    """A response format as a grammar."""
    kind = given.get("type") if isinstance(given, Mapping) else None
    schema: Any = None
    if given is None or kind == "text":
        return None
    if kind == "json_object":
        schema = given.get("schema", {"type": "object"})
    elif kind == "json_schema" and isinstance(given.get("json_schema"), Mapping):
        schema = given["json_schema"].get("schema", True)
    elif kind == "grammar" and isinstance(given.get("grammar"), str):
        return str(given["grammar"])
    if isinstance(schema, str):
        return {"kind": "json_schema", "source": schema}
    if isinstance(schema, (Mapping, bool)):
        return {"kind": "json_schema", "source": json.dumps(schema)}
    raise OptionError(
        f"response_format is {json.dumps(given):.80}; its type must be text, json_object, "
        "json_schema or grammar"
    )


EMPTY = {"refusal", "audio", "annotations", "function_call", "tool_calls", "reasoning_content"}
"""Members of a message that say nothing where they are empty, as an answer has them."""


def messages(given: Any) -> list[dict[str, Any]]:
    """A conversation in the engine's words; `check_messages` checks them."""
    if not isinstance(given, Sequence) or isinstance(given, str):
        raise OptionError(f"messages is {json.dumps(given):.60}; it must be a list of messages")
    found = []
    for at, message in enumerate(given):
        if not isinstance(message, Mapping):
            raise OptionError(f"messages[{at}] is {json.dumps(message):.60}; it must be an object")
        one = {
            name: value
            for name, value in message.items()
            if value is not None and not (name in EMPTY and not value)
        }
        role = one.get("role")
        one["role"] = ROLES.get(role, role) if isinstance(role, str) else role
        if one["role"] == "assistant":
            one.setdefault("content", "")
        if isinstance(one.get("content"), list):
            one["content"] = _content(one["content"], f"messages[{at}].content")
        found.append(one)
    return found


def _content(parts: Sequence[Any], where: str) -> str:
    """A content's text: its parts, one after another."""
    texts = []
    for at, part in enumerate(parts):
        kind = part.get("type") if isinstance(part, Mapping) else None
        text = part.get(kind) if kind in ("text", "refusal") else None
        if not isinstance(text, str):
            raise OptionError(
                f"{where}[{at}] is {json.dumps(part):.60}; these models read parts "
                '{"type": "text", "text": ...} only'
            )
        texts.append(text)
    return "".join(texts)


def texts_to_embed(request: Any) -> tuple[list[str], bool]:
    """The texts of a request for vectors, and whether these are wanted in base64."""
    given = check(request, {"model", "input", "encoding_format", "dimensions"})
    texts: Any = given.get("input")
    texts = [texts] if isinstance(texts, str) else texts
    right = isinstance(texts, list) and all(isinstance(one, str) for one in texts)
    if not right or not 0 < len(texts) <= MOST_TEXTS:
        raise OptionError(
            f"input is {json.dumps(texts):.60}; it must be a text, or 1 to {MOST_TEXTS} of them"
        )
    form = given.get("encoding_format", "float")
    if form not in ("float", "base64"):
        raise OptionError(f"encoding_format is {form!r:.60}; it must be float or base64")
    return texts, form == "base64"
