/** The Vercel AI SDK and LangChain.js on the packed adapters, over an engine that knows no model. */

import assert from "node:assert/strict";
import test from "node:test";
import { AIMessageChunk, HumanMessage } from "@langchain/core/messages";
import { tool as chainTool } from "@langchain/core/tools";
import { embed, generateObject, generateText, jsonSchema, stepCountIs, streamText, tool } from "ai";
import { Thimble } from "thimble-lm";
import { createThimble } from "thimble-lm/ai";
import { chatThimble, thimbleEmbeddings } from "thimble-lm/langchain";
import { FakeHost, session } from "../../tests/fake-engine";

const WEATHER = { type: "object", properties: { city: { type: "string" } }, required: ["city"] } as const;

/** A model that answers with these tokens, and what they mean. */
function answering(tokens: string[], parts: FakeHost["parts"] = null): FakeHost {
  const host = new FakeHost(tokens);
  host.parts = parts;
  const made = session(host) as unknown as Thimble;
  made.embed = ((texts: readonly string[]) => Promise.resolve(texts.map(() => new Float32Array([0.6, 0.8])))) as Thimble["embed"];
  Thimble.create = () => Promise.resolve(made);
  return host;
}

const CALLING: FakeHost["parts"] = [[["reasoning", "Hm"]], [["call", "weather"]], [["arguments", '{"city":"Rome"}']]];

test("the AI SDK gets texts, whole and streamed, with their usage", async () => {
  const host = answering(["An", "na"]);
  const model = createThimble()("tiny");
  const { text, usage } = await generateText({ model, prompt: "A name?", seed: 3, temperature: 0.5, maxOutputTokens: 9 });
  assert.equal(text, "Anna");
  assert.deepEqual([usage.inputTokens, usage.outputTokens], [7, 2]);
  const { seed, temperature, max_tokens } = host.asked[0]?.options ?? {};
  assert.deepEqual([seed, temperature, max_tokens], [3, 0.5, 9]);
  const parts: string[] = [];
  for await (const part of streamText({ model, prompt: "A name?" }).textStream) parts.push(part);
  assert.deepEqual(parts, ["An", "na"]);
});

test("the AI SDK carries out tools and hears thoughts", async () => {
  const host = answering(["a", "b", "c"], CALLING);
  const asked: string[] = [];
  const weather = tool({
    description: "The weather", inputSchema: jsonSchema<{ city: string }>(WEATHER),
    execute: ({ city }) => {
      asked.push(city);
      host.parts = null; // the model answers in words now
      return "sunny";
    },
  });
  const { text, steps } = await generateText({ model: createThimble()("tiny"), prompt: "How is it?", tools: { weather }, stopWhen: stepCountIs(3) });
  assert.deepEqual([text, asked, steps[0]?.reasoningText], ["abc", ["Rome"], "Hm"]);
  const told = host.asked[1]?.prompt as { role: string }[];
  assert.deepEqual(told.map(({ role }) => role), ["user", "assistant", "tool"]);
});

test("the AI SDK's schemas hold the answer, and it embeds", async () => {
  const host = answering(['{"city":', '"Rome"}']);
  const { object } = await generateObject({ model: createThimble()("tiny"), prompt: "A city?", schema: jsonSchema<{ city: string }>(WEATHER) });
  assert.deepEqual(object, { city: "Rome" });
  const { grammar } = host.asked[0]?.options as { grammar: { source: string } };
  assert.deepEqual(JSON.parse(grammar.source), WEATHER);
  const { embedding } = await embed({ model: createThimble().textEmbeddingModel("tiny"), value: "a" });
  assert.deepEqual(embedding.map((one) => one.toFixed(1)), ["0.6", "0.8"]);
});

test("LangChain gets answers, whole and streamed", async () => {
  answering(["An", "na"]);
  const model = chatThimble({ model: "tiny", temperature: 0 });
  const answer = await model.invoke([new HumanMessage("A name?")]);
  assert.equal(answer.content, "Anna");
  assert.equal(answer.usage_metadata?.output_tokens, 2);
  let whole: AIMessageChunk | null = null;
  for await (const chunk of await model.stream("A name?")) whole = whole ? whole.concat(chunk) : chunk;
  assert.equal(whole?.content, "Anna");
});

test("LangChain calls tools and embeds", async () => {
  answering(["a", "b", "c"], CALLING);
  const weather = chainTool(() => "sunny", { name: "weather", description: "The weather", schema: WEATHER });
  const answer = await chatThimble({ model: "tiny" }).bindTools([weather]).invoke("How is it?");
  assert.deepEqual(answer.tool_calls?.map(({ name, args }) => [name, args]), [["weather", { city: "Rome" }]]);
  const vector = await thimbleEmbeddings({ model: "tiny" }).embedQuery("a");
  assert.deepEqual(vector.map((one) => one.toFixed(1)), ["0.6", "0.8"]);
});
