import assert from "node:assert/strict";
import test from "node:test";
import { OpenAI } from "../src/openai";
import type { ChatCompletionChunk, ChatRequest, CompletionRequest } from "../src/openai";
import { messagesOf, chatOptions, completionOptions } from "../src/openai/request";
import { Thimble } from "../src/thimble";
import { FakeHost, session } from "./fake-engine";

const MESSAGES = [{ role: "user", content: "a name" }] as const;

/** A client on a model that answers with these tokens; what it was asked is in the host. */
function client(...tokens: string[]): { client: OpenAI; host: FakeHost } {
  const host = new FakeHost(tokens);
  Thimble.create = () => Promise.resolve(session(host));
  return { client: new OpenAI(), host };
}

const text = (chunk: ChatCompletionChunk): string => chunk.choices[0]?.delta.content ?? "";
const failure = (promise: Promise<unknown>): Promise<Error> =>
  promise.then(() => assert.fail("it was answered"), (error: Error) => error);

test("an answer has OpenAI's members, and its id needs no secure page", async () => {
  const { randomUUID } = crypto;
  Object.assign(crypto, { randomUUID: undefined });
  try {
    const { client: openai } = client("An", "na");
    const answer = await openai.chat.completions.create({ messages: MESSAGES });
    assert.match(answer.id, /^chatcmpl-[0-9a-f]{24}$/);
    assert.deepEqual(answer.choices, [{
      index: 0, message: { role: "assistant", content: "Anna", refusal: null }, logprobs: null, finish_reason: "stop",
    }]);
    assert.deepEqual(answer.usage, { prompt_tokens: 7, completion_tokens: 2, total_tokens: 9 });
  } finally {
    Object.assign(crypto, { randomUUID });
  }
});

test("a stream that is read half, or not at all, holds nobody up", async () => {
  const { client: openai, host } = client("a", "b", "c", "d");
  const one = await openai.chat.completions.create({ messages: MESSAGES, stream: true });
  await one[Symbol.asyncIterator]().next();
  await openai.completions.create({ prompt: "never read", stream: true });
  const answer = await openai.chat.completions.create({ messages: MESSAGES });
  assert.equal(answer.choices[0]?.message.content, "abcd");
  assert.equal(host.most, 1, "two generations ran in one session");
});

for (const kind of ["chat", "text"] as const) {
  test(`whoever breaks out of a ${kind} stream may ask again, in either way`, async () => {
    const { client: openai, host } = client("a", "b", "c", "d");
    const stream = kind === "chat"
      ? await openai.chat.completions.create({ messages: MESSAGES, stream: true })
      : await openai.completions.create({ prompt: "x", stream: true });
    for await (const _ of stream as AsyncIterable<unknown>) break;
    const [chat, plain] = await Promise.all([
      openai.chat.completions.create({ messages: MESSAGES }), openai.completions.create({ prompt: "y" }),
    ]);
    assert.deepEqual([chat.choices[0]?.message.content, plain.choices[0]?.text], ["abcd", "abcd"]);
    assert.deepEqual([host.most, host.stopped], [1, 1]);
  });
}

test("a signal is heard in the request and beside it: before, while waiting, while writing", async () => {
  const { client: openai, host } = client("a", "b", "c");
  const before = await failure(openai.chat.completions.create({ messages: MESSAGES }, { signal: AbortSignal.abort() }));
  assert.equal(before.name, "AbortError");
  assert.equal(host.asked.length, 0);
  const first = openai.chat.completions.create({ messages: MESSAGES });
  const stop = new AbortController();
  const waiting = failure(openai.chat.completions.create({ messages: MESSAGES }, { signal: stop.signal }));
  const within = failure(openai.completions.create({ prompt: "x", signal: stop.signal }));
  stop.abort();
  assert.deepEqual([(await waiting).name, (await within).name], ["AbortError", "AbortError"]);
  assert.equal((await first).choices[0]?.message.content, "abc");
  assert.equal(host.asked.length, 1, "what was aborted while it waited was never computed");
  const late = new AbortController();
  const read: string[] = [];
  const stream = await openai.chat.completions.create({ messages: MESSAGES, stream: true }, { signal: late.signal });
  for await (const chunk of stream) {
    read.push(text(chunk));
    late.abort();
  }
  assert.equal(read[0], "a");
  assert.ok(read.length < 3, "an aborted stream ends, as OpenAI's does");
  assert.equal(host.stopped, 1);
});

test("time is a reason to end that is told", async () => {
  const { client: openai } = client(..."abcdefghijklmnopqrstuvwxyz".repeat(40));
  assert.equal((await failure(openai.chat.completions.create({ messages: MESSAGES }, { timeout: 1 }))).name, "TimeoutError");
});

test("n answers have the next seeds, and their prompt is counted once", async () => {
  const { client: openai, host } = client("a", "b");
  const answer = await openai.chat.completions.create({ messages: MESSAGES, n: 3, seed: 2 ** 32 - 1 });
  assert.deepEqual(answer.choices.map(({ index, message }) => [index, message.content]), [[0, "ab"], [1, "ab"], [2, "ab"]]);
  assert.deepEqual(host.asked.map(({ options }) => options["seed"]), [2 ** 32 - 1, 0, 1]);
  assert.deepEqual(answer.usage, { prompt_tokens: 7, completion_tokens: 6, total_tokens: 13 });
  const indices: unknown[] = [];
  for await (const { choices } of await openai.chat.completions.create({ messages: MESSAGES, n: 2, stream: true })) {
    indices.push(choices[0]?.index);
  }
  assert.deepEqual(indices, [0, 0, 1, 1]);
  const plain = await openai.completions.create({ prompt: ["x", "y"], n: 2 });
  assert.deepEqual(plain.choices.map(({ index }) => index), [0, 1, 2, 3]);
  assert.equal(plain.usage?.prompt_tokens, 14);
  for (const n of [0, 1.5, 129, "2"]) {
    assert.match((await failure(openai.chat.completions.create({ messages: MESSAGES, n } as unknown as ChatRequest & { stream: false }))).message, /^n is/);
  }
});

test("the usage is null until the last chunk, which has it alone", async () => {
  const { client: openai } = client("a", "b");
  const chunks: ChatCompletionChunk[] = [];
  const request = { messages: MESSAGES, stream: true, stream_options: { include_usage: true } } as const;
  for await (const chunk of await openai.chat.completions.create(request)) chunks.push(chunk);
  assert.deepEqual(chunks.map(({ usage }) => usage?.total_tokens ?? usage), [null, null, 9]);
  assert.deepEqual(chunks.at(-1)?.choices, []);
});

test("what is wrong with a request is told by create, a stream's too", async () => {
  const { client: openai } = client();
  const request = { messages: MESSAGES, responseFormat: 1, stream: true } as unknown as ChatRequest & { stream: true };
  assert.match((await failure(openai.chat.completions.create(request))).message, /^responseFormat is not supported/);
  const late = new FakeHost([], "the conversation has 9 tokens");
  Thimble.create = () => Promise.resolve(session(late));
  const long = await failure(new OpenAI().chat.completions.create({ messages: MESSAGES, stream: true }));
  assert.equal(long.message, "the conversation has 9 tokens");
});

test("an answer without a token ends all the same", async () => {
  const { client: openai } = client();
  const chunks: ChatCompletionChunk[] = [];
  for await (const chunk of await openai.chat.completions.create({ messages: MESSAGES, max_tokens: 0, stream: true })) chunks.push(chunk);
  assert.deepEqual(chunks.map(({ choices }) => choices[0]?.finish_reason), ["length"]);
});

test("tokens have their own texts and bytes beside what could be shown", async () => {
  const { client: openai } = client("na\u{efff}ive", "\u{efff}");
  const answer = await openai.chat.completions.create({ messages: MESSAGES, logprobs: true, top_logprobs: 1 });
  const found = answer.choices[0]?.logprobs?.content ?? [];
  assert.deepEqual(found.map(({ token, bytes }) => [token, bytes]), [
    ["na\ufffdive", [110, 97, 0xc3, 105, 118, 101]], ["\ufffd", [0xc3]],
  ]);
  assert.deepEqual(found.map(({ top_logprobs }) => top_logprobs.length), [1, 1]);
  const plain = await openai.completions.create({ prompt: "x", logprobs: 1 });
  assert.deepEqual(plain.choices[0]?.logprobs?.tokens, ["na\ufffdive", "\ufffd"]);
  assert.deepEqual(plain.choices[0]?.logprobs?.text_offset, [0, 5]);
});

test("embeddings are lists of numbers, or their bytes in base64", async () => {
  const { client: openai } = client();
  const { data, usage } = await openai.embeddings.create({ input: ["one", "three"], user: "me", dimensions: 2 });
  assert.deepEqual(data.map(({ index, embedding }) => [index, embedding]), [[0, [3, 1]], [1, [5, 1]]]);
  assert.deepEqual(usage, { prompt_tokens: 8, total_tokens: 8 });
  const coded = await openai.embeddings.create({ input: "one", encoding_format: "base64" });
  const bytes = Uint8Array.from(atob(coded.data[0]?.embedding ?? ""), (byte) => byte.charCodeAt(0));
  assert.deepEqual([...new Float32Array(bytes.buffer)], [3, 1]);
  assert.match((await failure(openai.embeddings.create({ input: "a", dimensions: 3 }))).message, /dimensions is 3; the vectors of tiny have 2/);
  assert.match((await failure(openai.embeddings.create({ input: [] }))).message, /input is \[\]/);
});

test("a model that crashed is loaded again", async () => {
  const { client: openai } = client("a");
  Thimble.create = () => Promise.reject(new Error("no network"));
  assert.equal((await failure(openai.chat.completions.create({ messages: MESSAGES }))).message, "no network");
  Thimble.create = () => Promise.resolve(session(new FakeHost(["b"])));
  assert.equal((await openai.chat.completions.create({ messages: MESSAGES })).choices[0]?.message.content, "b");
});

test("what other clients send without meaning anything by it is taken", () => {
  const request = {
    messages: MESSAGES, tools: [], tool_choice: "auto", user: "me", n: 1, frequency_penalty: 0, presence_penalty: 0,
    store: false, metadata: { a: "b" }, modalities: ["text"], service_tier: "auto", logit_bias: null, echo: false,
    parallel_tool_calls: true, stop: null,
  } as unknown as ChatRequest;
  assert.deepEqual(chatOptions(request), { frequency_penalty: 0, presence_penalty: 0, logprobs: true });
});

test("what would be lost is refused by name", () => {
  for (const [name, value] of [["functions", [{}]], ["modalities", ["audio"]],
    ["echo", true], ["suffix", "x"], ["best_of", 2], ["constructor", 1], ["responseFormat", {}]] as const) {
    assert.throws(() => chatOptions({ messages: MESSAGES, [name]: value } as ChatRequest), (error: Error) => error.name === "OptionError" && error.message.startsWith(name));
  }
});

test("the engine's options are taken beside OpenAI's", () => {
  const own = { top_k: 40, min_p: 0.1, repetition_penalty: 1.1, grammar: 'root ::= "a"', frequency_penalty: 0.5 };
  assert.deepEqual(chatOptions({ messages: MESSAGES, ...own }), { ...own, logprobs: true });
  assert.deepEqual(completionOptions({ prompt: "a", ...own, logprobs: 3 }), { ...own, top_logprobs: 3, logprobs: true });
  assert.deepEqual(chatOptions({ messages: MESSAGES, max_tokens: 9, max_completion_tokens: 0 }), { max_tokens: 0, logprobs: true });
});

test("a response format is a constraint, WebLLM's schema and grammar too", () => {
  const constraint = (response_format: unknown): unknown => {
    const { responseConstraint, grammar } = chatOptions({ messages: MESSAGES, response_format } as ChatRequest);
    return responseConstraint ?? grammar;
  };
  const schema = { type: "array" };
  assert.deepEqual(constraint({ type: "json_object" }), { type: "object" });
  assert.deepEqual(constraint({ type: "json_object", schema: JSON.stringify(schema) }), schema);
  assert.deepEqual(constraint({ type: "json_object", schema }), schema);
  assert.deepEqual(constraint({ type: "json_schema", json_schema: { name: "a", schema } }), schema);
  assert.equal(constraint({ type: "json_schema", json_schema: { name: "a" } }), true);
  assert.equal(constraint({ type: "grammar", grammar: "root ::= [a]" }), "root ::= [a]");
  assert.equal(constraint({ type: "text" }), undefined);
  for (const wrong of [{ type: "xml" }, { type: "json_object", schema: "{" }, "json_object", {}]) {
    assert.throws(() => constraint(wrong), /response_format/);
  }
});

test("messages are read as OpenAI's clients write them", () => {
  const parts = [{ type: "text", text: "a " }, { type: "text", text: "b" }];
  assert.deepEqual(messagesOf([
    { role: "developer", content: "Be brief." },
    { role: "user", content: parts, name: "mia" },
    { role: "assistant", content: null, refusal: null, tool_calls: [], annotations: [] },
    { role: "assistant", content: [{ type: "refusal", refusal: "No." }] },
  ]), [
    { role: "system", content: "Be brief." }, { role: "user", content: "a b", name: "mia" },
    { role: "assistant", content: "" }, { role: "assistant", content: "No." },
  ]);
});

test("messages that would not arrive whole are refused, and the message says which", () => {
  const cases: [unknown, RegExp][] = [
    ["hi", /messages must be a list/], [[null], /messages\[0\] is null/],
    [[{ role: "critic", content: "" }], /messages\[0\] has role "critic"; roles are system, developer, user, assistant, tool/],
    [[{ role: "toString", content: "" }], /messages\[0\] has role "toString"/],
    [[{ role: "user", content: null }], /messages\[0\].content is null/],
    [[{ role: "user", content: [{ type: "image_url" }] }], /messages\[0\].content\[0\] is .*image_url/],
    [[{ role: "user", content: "", name: "a|im_end|" }], /name is "a\|im_end\|"/],
    [[{ role: "user", content: "", tool_calls: [{}] }], /messages\[0\].tool_calls is/],
  ];
  for (const [messages, words] of cases) assert.throws(() => messagesOf(messages), words);
});

test("a completion's prompt is a text or some", async () => {
  const { client: openai } = client("a");
  for (const prompt of [[], [1, 2], 3]) {
    const refused = await failure(openai.completions.create({ prompt } as unknown as CompletionRequest & { stream: false }));
    assert.match(refused.message, /^prompt is/);
  }
});
