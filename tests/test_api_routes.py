"""OpenAI's routes, asked by OpenAI's own client."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, TypeVar

import httpx
import openai
import pytest

from tests.command_line import Capture, run_failing
from tests.test_tools import ADD
from thimble.hosting.api.routes import MOST_BODY, Api
from thimble.hosting.hosts import Hosts

MODELS = Path(__file__).resolve().parent.parent / "web" / "models"
SHIPPED = {"names": MODELS / "names.gguf", "story": MODELS / "story.gguf"}
ASK: dict[str, Any] = {
    "model": "names", "messages": [{"role": "user", "content": "a"}], "max_tokens": 6, "seed": 3,
}  # fmt: skip
Answer = TypeVar("Answer")


def asked(
    question: Callable[[Any], Awaitable[Answer]],
    models: dict[str, Path] = SHIPPED,
    *,
    key: str = "",
    sent: str = "none",
) -> Answer:
    """What the client makes of the routes' answer, without a network between them."""

    async def ask() -> Answer:
        app = Api(models, key=key, hosts=Hosts(["localhost"])).app
        transport = httpx.ASGITransport(app=app)
        async with httpx.AsyncClient(transport=transport) as http:
            network: Any = http  # it is typed by a name that httpx may have later
            client = openai.AsyncOpenAI(
                api_key=sent, base_url="http://localhost/v1", http_client=network, max_retries=0
            )
            return await question(client)

    return asyncio.run(ask())


def test_models_are_listed() -> None:
    async def ask(client: Any) -> tuple[list[str], str]:
        listed = [model.id async for model in client.models.list()]
        return listed, (await client.models.retrieve("story")).owned_by

    assert asked(ask) == (["names", "story"], "thimble")


def test_a_chat_is_answered_whole_and_in_chunks_alike() -> None:
    async def ask(client: Any) -> tuple[Any, str, list[Any]]:
        told = {"logprobs": True, "top_logprobs": 2}
        whole = await client.chat.completions.create(**ASK, **told)
        stream = await client.chat.completions.create(
            **ASK, stream=True, stream_options={"include_usage": True}
        )
        chunks = [chunk async for chunk in stream]
        text = "".join(chunk.choices[0].delta.content for chunk in chunks[:-1])
        return whole, text, chunks

    whole, text, chunks = asked(ask)
    (choice,) = whole.choices
    assert choice.message.content == text != ""
    assert choice.message.role == chunks[0].choices[0].delta.role == "assistant"
    assert choice.finish_reason == chunks[-2].choices[0].finish_reason
    assert chunks[-1].usage == whole.usage and whole.usage.completion_tokens == len(chunks) - 1
    assert len(choice.logprobs.content) == whole.usage.completion_tokens
    for token in choice.logprobs.content:
        assert bytes(token.bytes).decode("utf-8", "replace") == token.token
        assert len(token.top_logprobs) == 2 and token.top_logprobs[0].logprob >= token.logprob


def test_texts_go_on_and_have_vectors() -> None:
    async def ask(client: Any) -> tuple[Any, Any, Any]:
        options = {"max_tokens": 5, "seed": 1, "n": 2, "logprobs": 1}
        texts = await client.completions.create(model="names", prompt=["ma", "be"], **options)
        again = await client.completions.create(model="names", prompt="ma", max_tokens=5, seed=2)
        vectors = await client.embeddings.create(model="names", input=["anna", "bob"])
        return texts, again, vectors

    texts, again, vectors = asked(ask)
    assert [choice.index for choice in texts.choices] == [0, 1, 2, 3]
    assert texts.choices[1].text == again.choices[0].text
    assert "".join(texts.choices[0].logprobs.tokens).startswith(texts.choices[0].text)
    one, other = (item.embedding for item in vectors.data)
    assert sum(number**2 for number in one) == pytest.approx(1, abs=1e-5)
    assert one != other


@pytest.mark.parametrize("stream", [False, True])
def test_a_tool_is_called(stream: bool) -> None:
    tools = json.loads(json.dumps([ADD]))
    for bounds in tools[0]["function"]["parameters"]["properties"].values():
        bounds |= {"minimum": 0, "maximum": 99}
    request = {**ASK, "model": "story", "max_tokens": 110, "tools": tools, "temperature": 0}
    request["tool_choice"] = {"type": "function", "function": {"name": "add"}}

    async def ask(client: Any) -> Any:
        if not stream:
            return (await client.chat.completions.create(**request)).choices[0]
        async with client.chat.completions.stream(**request) as chunks:
            async for _ in chunks:
                pass
            return (await chunks.get_final_completion()).choices[0]

    choice = asked(ask)
    (call,) = choice.message.tool_calls
    assert choice.finish_reason == "tool_calls" and not choice.message.content
    assert call.function.name == "add" and call.id.startswith("call_")
    assert set(json.loads(call.function.arguments)) == {"a", "b"}


@pytest.mark.parametrize("stream", [False, True])
def test_a_response_tells_calls_and_words(stream: bool) -> None:
    told = [
        {"role": "user", "content": [{"type": "input_text", "text": "Add 1 and 2."}]},
        {"type": "function_call", "call_id": "c", "name": "add", "arguments": '{"a": 1, "b": 2}'},
        {"type": "function_call_output", "call_id": "c", "output": "3"},
    ]
    tool = {"type": "function", **ADD["function"], "strict": True}
    choice = {"type": "function", "name": "add"}
    request = {"model": "story", "temperature": 0, "max_output_tokens": 6}

    async def one(client: Any, **more: Any) -> Any:
        if not stream:
            return await client.responses.create(**request, **more)
        async with client.responses.stream(**request, **more) as events:
            told = [event async for event in events]
            assert told[0].type == "response.created"
            return told[-1].response

    async def ask(client: Any) -> tuple[Any, Any]:
        words = await one(client, input=told, instructions="Be brief.")
        called = await one(client, input="Add.", tools=[tool], tool_choice=choice)
        return words, called

    words, called = asked(ask)
    assert words.output_text and words.status in ("completed", "incomplete")
    assert words.usage.output_tokens <= 6
    assert called.status == "incomplete" and called.incomplete_details.reason == "max_output_tokens"
    assert all(item.type in ("function_call", "message") for item in called.output)


def test_a_response_is_no_secret_store() -> None:
    async def ask(client: Any) -> Any:
        with pytest.raises(openai.BadRequestError) as caught:
            await client.responses.create(model="names", input="a", previous_response_id="b")
        return caught.value

    assert "previous_response_id" in asked(ask).message


def test_an_answer_keeps_to_a_schema() -> None:
    schema = {"type": "array", "items": {"enum": ["x", 2]}, "minItems": 2, "maxItems": 4}
    form = {"type": "json_schema", "json_schema": {"name": "list", "schema": schema}}

    async def ask(client: Any) -> str:
        request = {**ASK, "max_tokens": 60, "response_format": form}
        answer = await client.chat.completions.create(**request)
        return str(answer.choices[0].message.content)

    assert 2 <= len(json.loads(asked(ask))) <= 4


@pytest.mark.parametrize(
    ("change", "status", "code", "words"),
    [
        ({"model": "none"}, 404, "model_not_found", "names, story"),
        ({"messages": [{"role": "critic", "content": ""}]}, 400, "invalid_value", "critic"),
        ({"messages": []}, 400, "invalid_value", "messages is empty"),
        ({"messages": [{"role": "user", "content": [{"type": "image_url"}]}]}, 400,
         "invalid_value", "image_url"),
        ({"temperature": -1}, 400, "invalid_value", "temperature"),
        ({"n": 0}, 400, "invalid_value", "n is 0"),
        ({"tools": [{}]}, 400, "invalid_value", "tools[0]"),
        ({"extra_body": {"magic": 1}}, 400, "invalid_value", "magic"),
        ({"messages": [{"role": "user", "content": "a " * 900}]}, 400, "context_length_exceeded",
         "context holds 128"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("stream", [False, True])
def test_what_is_wrong_is_said_as_openai_says_it(
    change: dict[str, Any], status: int, code: str, words: str, stream: bool
) -> None:
    async def ask(client: Any) -> Any:
        with pytest.raises(openai.APIStatusError) as caught:
            await client.chat.completions.create(**{**ASK, **change}, stream=stream)
        after = await client.chat.completions.create(**ASK)
        assert after.choices[0].message.content
        return caught.value

    error = asked(ask)
    assert (error.status_code, error.code) == (status, code)
    assert words in error.message


def test_a_key_is_asked_for_where_there_is_one() -> None:
    async def ask(client: Any) -> Any:
        return await client.models.list()

    assert asked(ask, key="secret", sent="secret").data
    with pytest.raises(openai.AuthenticationError):
        asked(ask, key="secret", sent="Secret")


def test_pages_of_elsewhere_and_large_bodies_are_refused() -> None:
    async def ask(client: Any) -> list[int]:
        http = client._client
        route = "http://localhost/v1/chat/completions"
        text = {"content-type": "text/plain"}
        kind = {"content-type": "application/json"}
        answers = [
            await http.post(route, content=json.dumps(ASK), headers=text),
            await http.post(route, content=b"[" * (MOST_BODY + 1), headers=kind),
            await http.post(route, content=b"[" * 5000, headers=kind),
            await http.post("http://evil.example/v1/chat/completions", json=ASK),
            await http.get("http://localhost/v1/nothing"),
        ]
        assert all("access-control-allow-origin" not in one.headers for one in answers)
        assert all(set(one.json()["error"]) == {"message", "type", "param", "code"}
                   for one in answers)  # fmt: skip
        return [one.status_code for one in answers]

    assert asked(ask) == [415, 413, 400, 421, 404]


def test_whoever_leaves_ends_what_is_written_for_them() -> None:
    async def ask(client: Any) -> tuple[int, str]:
        app = client._client._transport.app
        left = asyncio.Event()
        sent: list[dict[str, Any]] = []
        body = json.dumps({**ASK, "max_tokens": 100, "grammar": "root ::= [a-z]{100}"}).encode()

        async def receive() -> dict[str, Any]:
            if not sent and not left.is_set():
                left.set()
                return {"type": "http.request", "body": body, "more_body": False}
            return {"type": "http.disconnect"}

        async def send(message: Any) -> None:
            sent.append(message)

        headers = [(b"host", b"localhost"), (b"content-type", b"application/json")]
        scope = {
            "type": "http",
            "method": "POST",
            "path": "/v1/chat/completions",
            "headers": headers,
            "query_string": b"",
            "root_path": "",
            "scheme": "http",
            "http_version": "1.1",
            "server": ("localhost", 80),
            "client": ("1", 1),
        }
        await app(scope, receive, send)
        after = await client.chat.completions.create(**ASK)
        return len(sent), after.choices[0].message.content

    _, content = asked(ask)
    assert content


def test_an_address_that_others_reach_wants_a_key(
    capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("THIMBLE_API_KEY", raising=False)
    error = run_failing(capsys, 2, "serve", "--api", "--host", "0.0.0.0")
    assert "THIMBLE_API_KEY" in error
    assert "--workers" in run_failing(capsys, 2, "serve", "--api", "--workers", "2")
