"""Shapes, vectors and OpenAI's names, in a page of somebody's own."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from playwright.sync_api import Page

PRELUDE = """async ([address, argument]) => {
  const { OpenAI, Thimble } = await import(address);
  globalThis.client ??= new OpenAI();
  globalThis.session ??= await Thimble.create({ model: "names", temperature: 2, max_tokens: 100 });
  const { client, session } = globalThis;
  const failure = (promise) => promise.then(JSON.stringify, (error) => error.name + ": " + error.message);
"""  # noqa: E501


class Run:
    """Runs a script with the module at hand."""

    def __init__(self, page: Page, server: str) -> None:
        self._page = page
        self._address = f"{server}/openai.js"

    def __call__(self, script: str, argument: object = None) -> Any:
        return self._page.evaluate(PRELUDE + script + "}", [self._address, argument])


@pytest.fixture
def run(bare_page: Page, server: str) -> Run:
    return Run(bare_page, server)


def test_answers_have_the_shape_that_was_asked_for(run: Run) -> None:
    schema = {
        "type": "object",
        "properties": {"name": {"type": "string", "maxLength": 9}, "age": {"type": "integer"}},
        "required": ["name", "age"],
    }
    answer, word, grammar = run(
        """
        return [
          await session.prompt("", { responseConstraint: argument }),
          await session.prompt("", { responseConstraint: /^[a-c]{3}-\\d+!$/ }),
          await session.prompt("", { grammar: 'root ::= "yes" | "no"' }),
        ];""",
        schema,
    )
    assert set(json.loads(answer)) == {"name", "age"}
    assert re.fullmatch(r"[a-c]{3}-\d+!", word)
    assert grammar in ("yes", "no")


def test_shapes_that_are_wrong_are_named(run: Run) -> None:
    keyword, both, notation = run("""
        return [
          await failure(session.prompt("", { responseConstraint: { $ref: "https://a.org/b" } })),
          await failure(session.prompt("", { responseConstraint: {}, grammar: "root ::= [a]" })),
          await failure(session.prompt("", { grammar: "root ::= root" })),
        ];""")
    assert "a.org" in keyword
    assert "not both" in both and "left recursion" in notation


def test_a_chat_is_answered_in_openais_shape(run: Run) -> None:
    whole, pieces, streamed, usage = run("""
        const request = { model: "names", messages: [{ role: "user", content: "a name" }],
                          max_tokens: 20, seed: 3, temperature: 1 };
        const told = { ...request, logprobs: true, top_logprobs: 2 };
        const whole = await client.chat.completions.create(told);
        const pieces = [];
        const options = { ...request, stream: true, stream_options: { include_usage: true } };
        for await (const one of await client.chat.completions.create(options)) pieces.push(one);
        const last = pieces.pop();
        const text = pieces.map((one) => one.choices[0].delta.content).join("");
        return [whole, pieces, text, last.usage];
        """)
    (choice,) = whole["choices"]
    assert whole["object"] == "chat.completion" and choice["message"]["role"] == "assistant"
    assert streamed == choice["message"]["content"]
    assert usage == whole["usage"]
    assert usage["prompt_tokens"] > 3
    assert usage["total_tokens"] == usage["prompt_tokens"] + usage["completion_tokens"]
    assert len(choice["logprobs"]["content"]) == usage["completion_tokens"]
    assert all(len(one["top_logprobs"]) == 2 for one in choice["logprobs"]["content"])
    assert pieces[0]["choices"][0]["delta"]["role"] == "assistant"
    assert pieces[-1]["choices"][0]["finish_reason"] == choice["finish_reason"]


def test_a_response_format_is_kept_to(run: Run) -> None:
    text, refused = run("""
        const schema = { type: "array", items: { enum: ["x", 2] }, minItems: 2, maxItems: 4 };
        const request = { model: "names", messages: [{ role: "user", content: "list" }] };
        const format = { type: "json_schema", json_schema: { name: "list", schema } };
        const shaped = { ...request, response_format: format };
        const answer = await client.chat.completions.create(shaped);
        return [answer.choices[0].message.content,
                await failure(client.chat.completions.create({ ...request, tools: [{}] }))];""")
    assert 2 <= len(json.loads(text)) <= 4
    assert refused.startswith("OptionError: tools[0] is {}; it must be")


def test_a_completion_goes_on_from_its_prompt(run: Run) -> None:
    whole, plain, parts = run("""
        const request = { model: "names", prompt: "ma", max_tokens: 9, seed: 5 };
        const whole = await client.completions.create(request);
        const plain = await session.prompt("ma", { max_tokens: 9, seed: 5, temperature: 1 });
        const parts = [];
        for await (const part of await client.completions.create({ ...request, stream: true })) {
          parts.push(part.choices[0].text);
        }
        return [whole, plain, parts];""")
    assert whole["choices"][0]["text"] == plain == "".join(parts)
    assert whole["usage"]["completion_tokens"] == len(parts)


def test_an_abort_ends_a_chat_and_the_next_one_is_answered(run: Run) -> None:
    name, after = run("""
        const request = { model: "names", messages: [{ role: "user", content: "a" }] };
        const stop = new AbortController();
        let name = "";
        try {
          const options = { ...request, grammar: undefined, stream: true, signal: stop.signal };
          for await (const _ of await client.chat.completions.create(options)) stop.abort();
        } catch (error) { name = error.name; }
        const after = await client.chat.completions.create({ ...request, max_tokens: 4 });
        return [name, after.usage.completion_tokens];""")
    assert name == ""  # as OpenAI's streams end
    assert after >= 1


def test_who_leaves_a_stream_half_read_can_ask_again_in_both_ways(run: Run) -> None:
    held, tokens, bytes_, lengths = run("""
        const request = { model: "names", messages: [{ role: "user", content: "a" }] };
        await client.chat.completions.create({ ...request, stream: true });
        const texts = { model: "names", prompt: "ma", max_tokens: 30 };
        for await (const _ of await client.completions.create({ ...texts, stream: true })) break;
        const next = await client.chat.completions.create({ ...request, stop: ["zzz"] });
        const told = await client.completions.create({ ...texts, seed: 5, logprobs: 0 });
        const chat = { ...request, seed: 3, logprobs: true, max_tokens: 9, stop: ["zzz"] };
        const { content } = (await client.chat.completions.create(chat)).choices[0].logprobs;
        const { data } = await client.embeddings.create({ model: "names", input: ["a", "b"] });
        return [next.choices[0].finish_reason, told.choices[0].logprobs.tokens,
                content.map(({ token, bytes }) => [token, bytes]),
                data.map(({ embedding }) => embedding.length)];""")
    assert held in ("stop", "length")
    assert len(tokens) >= 1 and all(tokens)
    assert all(bytes(spelled).decode("utf-8", "replace") == token for token, spelled in bytes_)
    assert lengths[0] == lengths[1] > 1


def test_a_text_is_a_vector_of_length_one(run: Run) -> None:
    length, alike, other = run("""
        const [a, b, c] = await session.embed(["anna", "anne", "bob"]);
        const dot = (x, y) => x.reduce((sum, value, i) => sum + value * y[i], 0);
        const one = await session.embed("anna");
        return [dot(one, a), dot(a, b), dot(a, c)];""")
    assert length == pytest.approx(1.0, abs=1e-5)
    assert alike > other
