import assert from "node:assert/strict";
import test from "node:test";
import Official from "openai";
import type { ChatCompletionMessageParam, ChatCompletionTool } from "openai/resources/chat/completions";
import { OpenAI } from "../src/openai";
import { Thimble } from "../src/thimble";
import { FakeHost, session } from "./fake-engine";

const MESSAGES = [{ role: "user", content: "How is it in Rome?" }] as const satisfies ChatCompletionMessageParam[];
const PARAMETERS = { type: "object", properties: { city: { type: "string" } }, required: ["city"] };
const TOOLS: ChatCompletionTool[] = [{ type: "function", function: { name: "weather", parameters: PARAMETERS } }];

/** OpenAI's own client on ours, on a model that answers with these tokens. */
function official(tokens: string[], parts: FakeHost["parts"] = null): { client: Official; host: FakeHost } {
  const host = new FakeHost(tokens);
  host.parts = parts;
  Thimble.create = () => Promise.resolve(session(host));
  const { fetch } = new OpenAI();
  const client = new Official({ apiKey: "none", baseURL: "https://thimble.invalid/v1", fetch, maxRetries: 0, dangerouslyAllowBrowser: true });
  return { client, host };
}

/** A thought, then two calls, as the engine tells them. */
const CALLING: FakeHost["parts"] = [
  [["reasoning", "Hm"]], [["call", "weather"]], [["arguments", '{"city":']], [["arguments", '"Rome"}']],
  [["call", "weather", 1], ["arguments", '{"city":"Bari"}', 1]],
];
const WORDS = ["a", "b", "c", "d", "e"];

test("OpenAI's client gets a chat, whole and streamed", async () => {
  const { client, host } = official(["An", "na"]);
  const whole = await client.chat.completions.create({ model: "tiny", messages: [...MESSAGES], seed: 3 });
  assert.equal(whole.choices[0]?.message.content, "Anna");
  const stream = await client.chat.completions.create({ model: "tiny", messages: [...MESSAGES], stream: true });
  let text = "";
  for await (const chunk of stream) text += chunk.choices[0]?.delta.content ?? "";
  assert.equal(text, "Anna");
  assert.equal(host.asked[0]?.options["seed"], 3);
});

test("tools go to the engine, and its calls come back to OpenAI's client", async () => {
  const { client, host } = official(WORDS, CALLING);
  const request = { model: "tiny", messages: [...MESSAGES], tools: TOOLS, tool_choice: "required" as const };
  const { choices: [choice] } = await client.chat.completions.create(request);
  assert.equal(choice?.finish_reason, "tool_calls");
  assert.equal(choice?.message.content, null);
  assert.equal((choice?.message as { reasoning_content?: string }).reasoning_content, "Hm");
  const calls = choice?.message.tool_calls?.map((call) => (call.type === "function" ? call.function : null));
  assert.deepEqual(calls, [{ name: "weather", arguments: '{"city":"Rome"}' }, { name: "weather", arguments: '{"city":"Bari"}' }]);
  assert.deepEqual(host.asked[0]?.options["conversation"], { tools: TOOLS, tool_choice: "required" });
});

test("OpenAI's runner of tools carries out what is called and tells the model", async () => {
  const { client, host } = official(WORDS, CALLING);
  const asked: string[] = [];
  const runner = client.chat.completions.runTools({
    model: "tiny", messages: [...MESSAGES],
    tools: [{
      type: "function",
      function: {
        name: "weather", description: "", parameters: PARAMETERS, parse: JSON.parse as (text: string) => { city: string },
        function: ({ city }: { city: string }) => {
          asked.push(city);
          host.parts = null; // the model answers in words now
          return "sunny";
        },
      },
    }],
  });
  assert.equal(await runner.finalContent(), "abcde");
  assert.deepEqual(asked, ["Rome", "Bari"]);
  const told = host.asked[1]?.prompt as { role: string; content: string; tool_call_id?: string }[];
  assert.deepEqual(told.map(({ role }) => role), ["user", "assistant", "tool", "tool"]);
  assert.deepEqual(told.slice(2).map(({ content }) => content), ["sunny", "sunny"]);
});

test("OpenAI's client gets responses, whole and as events that it can put together", async () => {
  const { client } = official(WORDS, [[["reasoning", "Hm"]], [["content", "It"]], [["content", " is"]], [["call", "weather"]], [["arguments", "{}"]]]);
  const request = { model: "tiny", input: "How is it?", instructions: "Be brief." } as const;
  const whole = await client.responses.create(request);
  assert.equal(whole.output_text, "It is");
  assert.deepEqual(whole.output.map(({ type }) => type), ["reasoning", "message", "function_call"]);
  const stream = client.responses.stream(request);
  const types: string[] = [];
  for await (const { type } of stream) types.push(type);
  const final = await stream.finalResponse();
  assert.equal(final.output_text, "It is");
  assert.equal(final.status, "completed");
  assert.deepEqual([types[0], types.at(-1)], ["response.created", "response.completed"]);
});

test("responses take earlier items, tools, shapes and limits", async () => {
  const { client, host } = official(["x", "y"]);
  const answer = await client.responses.create({
    model: "tiny", instructions: "S", max_output_tokens: 2,
    input: [
      { role: "user", content: [{ type: "input_text", text: "Q" }] },
      { type: "function_call", call_id: "c", name: "weather", arguments: "{}" },
      { type: "function_call_output", call_id: "c", output: "sunny" },
    ],
    tools: [{ type: "function", name: "weather", parameters: PARAMETERS, strict: true }],
    tool_choice: { type: "function", name: "weather" },
  });
  assert.equal(answer.status, "completed");
  const [asked] = host.asked;
  const prompt = asked?.prompt as readonly { role: string }[];
  assert.deepEqual(prompt.map(({ role }) => role), ["system", "user", "assistant", "tool"]);
  assert.equal(asked?.options["max_tokens"], 2);
  await client.responses.create({ model: "tiny", input: "Q", text: { format: { type: "json_schema", name: "a", schema: { type: "array" } } } });
  assert.deepEqual(host.asked[1]?.options["grammar"], { kind: "json_schema", source: '{"type":"array"}' });
});

test("what is wrong reaches OpenAI's client as its own errors", async () => {
  const { client } = official(["a"]);
  const request = { model: "tiny", messages: [...MESSAGES] };
  const failure = async (promise: Promise<unknown>): Promise<unknown[]> => promise.then(() => [], (error: unknown) => (
    error instanceof Official.APIError ? [error.status, error.code] : [error]
  ));
  assert.deepEqual(await failure(client.chat.completions.create({ ...request, modalities: ["audio"] })), [400, "invalid_value"]);
  assert.deepEqual(await failure(client.responses.create({ model: "tiny", input: "a", previous_response_id: "b" })), [400, "invalid_value"]);
  assert.deepEqual(await failure(client.files.list().then(() => undefined)), [404, "not_found"]);
  const stop = new AbortController();
  const aborted = client.chat.completions.create(request, { signal: stop.signal });
  stop.abort();
  const error = await aborted.then(() => null, (reason: unknown) => reason);
  assert.ok(error instanceof Official.APIUserAbortError);
});

test("vectors come as OpenAI's client asks for them", async () => {
  const { client } = official(["a"]);
  const { data } = await client.embeddings.create({ model: "tiny", input: ["ab", "c"] });
  assert.deepEqual(data.map(({ embedding }) => embedding), [[2, 1], [1, 1]]);
});
