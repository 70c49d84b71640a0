import assert from "node:assert/strict";
import test from "node:test";
import { install } from "../src/language-model";
import { LanguageModel } from "../src/prompt-api/model";
import { canonicalPrompt, samplingOf } from "../src/prompt-api/messages";
import type { CreateOptions, LanguageModelPrompt } from "../src/prompt-api/types";
import { DownloadProgressEvent, Thimble } from "../src/thimble";
import { FakeHost, session } from "./fake-engine";

/** A session on a model that answers with these tokens. */
async function made(tokens: string[], options: CreateOptions = {}): Promise<{ model: LanguageModel; host: FakeHost }> {
  const host = new FakeHost(tokens);
  Thimble.create = () => Promise.resolve(session(host));
  return { model: await LanguageModel.create(options), host };
}

const failure = (promise: Promise<unknown>): Promise<Error> =>
  promise.then(() => assert.fail("it was done"), (error: Error) => error);

const said = (host: FakeHost): unknown => (host.asked.at(-1)?.prompt as { role: string; content: string }[]).map(({ role, content }) => `${role}: ${content}`);

const SYSTEM = { role: "system", content: "S" } as const;

test("a second prompt remembers the first, the system's word and the examples before them", async () => {
  const initialPrompts = [SYSTEM, { role: "user", content: "1" }, { role: "assistant", content: "2" }] as const;
  const { model, host } = await made(["a", "b"], { initialPrompts });
  assert.equal(await model.prompt("Q"), "ab");
  assert.equal(await model.prompt("R"), "ab");
  assert.deepEqual(said(host), ["system: S", "user: 1", "assistant: 2", "user: Q", "assistant: ab", "user: R"]);
  assert.ok(model.contextUsage > 0);
  assert.equal(model.contextWindow, 100);
});

test("messages, parts and a prefix are read; the answer goes on from the prefix", async () => {
  const { model, host } = await made(["b"]);
  const parts = [{ type: "text", value: "x" }, { type: "text", value: "y" }] as const;
  await model.prompt([SYSTEM, { role: "user", content: parts }, { role: "assistant", content: "a", prefix: true }]);
  assert.deepEqual(host.asked.at(-1)?.options["conversation"], { prefix: true, keep: 0, newest: 3 });
  await model.append([{ role: "user", content: "more" }]);
  assert.deepEqual((host.asked.at(-1)?.options as { max_tokens: number }).max_tokens, 0);
  await model.prompt([]);
  assert.deepEqual(said(host), ["system: S", "user: xy", "assistant: ab", "user: more", "user: "]);
});

test("prompts of one session take turns, and one that is aborted leaves no trace", async () => {
  const { model, host } = await made(["a", "b", "c"]);
  const stop = new AbortController();
  const first = model.prompt("1");
  const waiting = failure(model.prompt("2", { signal: stop.signal }));
  const third = model.prompt("3");
  stop.abort();
  assert.equal((await waiting).name, "AbortError");
  assert.deepEqual([await first, await third], ["abc", "abc"]);
  assert.deepEqual(said(host), ["user: 1", "assistant: abc", "user: 3"]);
  const late = new AbortController();
  const reader = model.promptStreaming("4", { signal: late.signal }).getReader();
  assert.equal((await reader.read()).value, "a");
  const usage = model.contextUsage;
  late.abort(new Error("enough"));
  assert.equal((await failure(reader.read().then(() => reader.read()).then(() => reader.read()))).message, "enough");
  assert.equal(model.contextUsage, usage);
  await model.prompt("5");
  assert.deepEqual(said(host), ["user: 1", "assistant: abc", "user: 3", "assistant: abc", "user: 5"]);
  assert.equal(host.most, 1);
  const left = model.promptStreaming("6").getReader();
  await left.read();
  await left.cancel();
  assert.equal(await model.prompt("7"), "abc");
});

test("what is full loses its oldest turns and says so; the initial prompts stay", async () => {
  const { model, host } = await made(["a"], { initialPrompts: [SYSTEM] });
  host.window = 3;
  let told = 0;
  model.addEventListener("contextoverflow", () => (told += 1));
  model.oncontextoverflow = function () { told += this === model ? 10 : 0; };
  for (const text of ["1", "2"]) await model.prompt(text);
  assert.equal(told, 0 + 11);
  assert.deepEqual(host.asked.at(-1)?.options["conversation"], { prefix: false, keep: 1, newest: 1 });
  const long = await failure(model.prompt([..."12345"].map((content) => ({ role: "user", content }))));
  assert.equal(long.name, "QuotaExceededError");
  assert.ok(long instanceof DOMException);
  const { requested, quota } = long as unknown as { requested: number; quota: number };
  assert.deepEqual([requested, quota], [7 * 8, 100]);
  assert.equal(await model.prompt("still there"), "a");
});

test("initial prompts that are too long are refused, and nothing stays behind", async () => {
  const host = new FakeHost([]);
  host.window = 0;
  Thimble.create = () => Promise.resolve(session(host));
  assert.equal((await failure(LanguageModel.create({ initialPrompts: [SYSTEM] }))).name, "QuotaExceededError");
  assert.equal(host.sessions, 0);
});

test("a prompt is measured without being asked, with its constraint unless that is left out", async () => {
  const { model, host } = await made(["{}"]);
  assert.equal(await model.measureContextUsage("Q"), 7);
  await model.prompt("Q", { responseConstraint: { type: "object" } });
  assert.match(String(said(host)), /^user: Q\n\nAnswer with JSON that is valid against this JSON Schema: {"type":"object"}$/);
  assert.deepEqual(host.asked.at(-1)?.options["grammar"], { kind: "json_schema", source: '{"type":"object"}' });
  await model.prompt("R", { responseConstraint: /a+/, omitResponseConstraintInput: true });
  assert.match(String(said(host)), /user: R$/);
  assert.equal(host.asked.length, 2);
  const constraint = "x" as unknown as object;
  assert.equal((await failure(model.prompt("Q", { responseConstraint: constraint }))).name, "TypeError");
  assert.equal((await failure(model.prompt("Q", { omitResponseConstraintInput: true }))).name, "TypeError");
  assert.equal((await failure(model.measureContextUsage("Q", { omitResponseConstraintInput: true }))).name, "TypeError");
});

test("a session ends by destroy and by the signal that it was made with", async () => {
  const { model, host } = await made(["a", "b", "c"]);
  const pending = failure(model.prompt("1"));
  model.destroy();
  model.destroy();
  assert.equal((await pending).name, "AbortError");
  for (const asked of [model.prompt("2"), model.append("3"), model.clone(), model.measureContextUsage("4")]) {
    assert.equal((await failure(asked)).name, "AbortError");
  }
  assert.equal(host.sessions, 0);
  const stop = new AbortController();
  const other = await made(["a"], { signal: stop.signal });
  const late = failure(other.model.prompt("1"));
  stop.abort(new Error("enough"));
  assert.equal((await late).message, "enough");
  assert.equal(other.host.sessions, 0);
  assert.equal((await failure(LanguageModel.create({ signal: stop.signal }))).message, "enough");
});

test("a clone goes its own way, and may be given up", async () => {
  const { model, host } = await made(["a"], { initialPrompts: [SYSTEM], temperature: 0.5 });
  await model.prompt("1");
  const copy = await model.clone();
  assert.deepEqual([copy.temperature, copy.contextUsage], [0.5, model.contextUsage]);
  await copy.prompt("2");
  await model.prompt("3");
  assert.deepEqual(said(host), ["system: S", "user: 1", "assistant: a", "user: 3"]);
  const stop = new AbortController();
  const cloning = failure(model.clone({ signal: stop.signal }));
  stop.abort();
  assert.equal((await cloning).name, "AbortError");
  await new Promise((resolve) => setTimeout(resolve));
  assert.equal(host.sessions, 2);
});

test("what is wrong has the specification's name, in a stream too", async () => {
  const { model } = await made(["a"]);
  const of = (input: unknown): Promise<string> => failure(model.prompt(input as LanguageModelPrompt)).then(({ name }) => name);
  assert.equal(await of([{ role: "robot", content: "" }]), "TypeError");
  assert.equal(await of([{ role: "user" }]), "TypeError");
  assert.equal(await of({}), "TypeError");
  assert.equal(await of([{ role: "user", content: [{ type: "text", value: 1 }] }]), "TypeError");
  assert.equal(await of([{ role: "user", content: [{ type: "video", value: "" }] }]), "TypeError");
  assert.equal(await of([{ role: "user", content: [{ type: "image", value: "" }] }]), "NotSupportedError");
  assert.equal(await of([{ role: "user", content: "", prefix: true }]), "SyntaxError");
  assert.equal(await of([{ role: "assistant", content: "", prefix: true }, { role: "user", content: "" }]), "SyntaxError");
  assert.equal(await of([{ role: "user", content: "" }, SYSTEM]), "TypeError");
  await model.append([SYSTEM]);
  assert.equal(await of([SYSTEM]), "TypeError");
  assert.equal((await failure(model.promptStreaming([SYSTEM]).getReader().read())).name, "TypeError");
  assert.equal(await model.prompt("still there"), "a");
  assert.deepEqual(canonicalPrompt(7, true).messages, [{ role: "user", content: "7" }]);
});

test("what these models cannot do is unavailable, and create says so before it loads", async () => {
  Thimble.create = () => assert.fail("it was loaded");
  const audio = { expectedInputs: [{ type: "audio" }] } as const;
  assert.equal(await LanguageModel.availability(audio), "unavailable");
  assert.equal(await Thimble.availability(audio), "unavailable");
  assert.equal((await failure(LanguageModel.create(audio))).name, "NotSupportedError");
  const tool = { name: "a", description: "b", inputSchema: {}, execute: () => 1 };
  for (const wrong of [{ name: "a b" }, { description: 1 }, { inputSchema: null }, { execute: 1 }]) {
    assert.equal((await failure(LanguageModel.create({ tools: [{ ...tool, ...wrong }] } as never))).name, "TypeError");
  }
  assert.equal((await failure(LanguageModel.create({ tools: [tool, tool] }))).name, "TypeError");
  for (const [options, name] of [
    [{ expectedInputs: [{ type: "smell" }] }, "TypeError"], [{ expectedOutputs: [{ type: "text", languages: ["e"] }] }, "RangeError"],
    [{ samplingMode: "wild" }, "TypeError"], [{ temperature: -1 }, "RangeError"], [{ topK: 0 }, "RangeError"],
    [{ samplingMode: "balanced", topK: 3 }, "TypeError"], [{ initialPrompts: [{ role: "user", content: "" }, SYSTEM] }, "TypeError"],
  ] as [CreateOptions, string][]) {
    assert.equal((await failure(LanguageModel.create(options))).name, name);
  }
  assert.throws(() => new LanguageModel(Symbol("mine"), null as never), { name: "TypeError" });
});

test("sampling is a mode or numbers, clamped as specified", async () => {
  assert.deepEqual(samplingOf({ temperature: Infinity, topK: 3.9 }), { samplingMode: "balanced", temperature: 2, topK: 3, topP: 0.95 });
  assert.equal(samplingOf({ samplingMode: "most-predictable" }).temperature, 0);
  const { model, host } = await made(["a"], { samplingMode: "creative", seed: 4 });
  await model.prompt("1");
  const { temperature, top_k, seed } = host.asked.at(-1)?.options ?? {};
  assert.deepEqual([model.samplingMode, model.temperature, temperature, top_k, seed], ["creative", 1, 1, model.topK, 4]);
});

test("it takes the place of none, and of the browser's own where it is told to", () => {
  const own = Object.getOwnPropertyDescriptor(globalThis, "LanguageModel");
  assert.equal(own?.value, LanguageModel);
  Object.defineProperty(globalThis, "LanguageModel", { value: "the browser's", configurable: true });
  assert.equal(install(), false);
  assert.equal((globalThis as { LanguageModel?: unknown }).LanguageModel, "the browser's");
  assert.equal(install({ force: true }), true);
  assert.equal((globalThis as { LanguageModel?: unknown }).LanguageModel, LanguageModel);
});

test("Thimble's own sessions answer messages, and write no [object Object]", async () => {
  const host = new FakeHost(["a"]);
  assert.equal(await session(host).prompt([{ role: "user", content: "Q" }]), "a");
  assert.deepEqual(said(host), ["user: Q"]);
  const wrong = {} as unknown as string;
  assert.equal((await failure(session(host).prompt(wrong))).name, "TypeError");
  assert.equal(new DownloadProgressEvent({ loaded: 0.5, bytes: 1, totalBytes: 2, stage: "model" }).total, 1);
});

test("what the model calls is carried out, errors too, and it answers with what came of it", async () => {
  const asked: unknown[] = [];
  const about = { description: "", inputSchema: { type: "object" } };
  const { model, host } = await made(["x", "y"], {
    tools: [
      { name: "add", ...about, execute: (given: { a: number }) => Promise.resolve(asked.push(given) && { sum: given.a }) },
      { name: "fail", ...about, execute: () => { host.parts = null; throw new RangeError("no"); } },
    ],
  });
  host.parts = [[["call", "add"], ["arguments", '{"a":1}']], [["call", "fail", 1], ["arguments", "{}", 1]]];
  assert.equal(await model.prompt("Q"), "xy");
  assert.deepEqual(asked, [{ a: 1 }]);
  const told = host.asked.at(-1)?.prompt as readonly { role: string; content: string; tool_call_id?: string }[];
  assert.deepEqual(told.map(({ role }) => role), ["user", "assistant", "tool", "tool"]);
  assert.deepEqual(told.slice(2).map(({ content }) => content), ['{"sum":1}', '{"error":"RangeError: no"}']);
  assert.equal((host.asked[0]?.options["conversation"] as { tools: unknown[] }).tools.length, 2);
});

test("a model that calls without an end has to answer in words, and an abort in a call leaves no trace", async () => {
  let calls = 0;
  const stop = new AbortController();
  const tool = { name: "f", description: "", inputSchema: {}, execute: (): unknown => { calls += 1; return stop.signal.aborted ? 1 : new Promise(() => undefined); } };
  const { model, host } = await made(["x"], { tools: [tool] });
  host.parts = [[["call", "f"], ["arguments", "{}"]]];
  const hanging = failure(model.prompt("1", { signal: stop.signal }));
  while (calls === 0) await new Promise((resolve) => setTimeout(resolve));
  stop.abort();
  assert.equal((await hanging).name, "AbortError");
  calls = 0;
  await model.prompt("2");
  assert.equal(calls, 8);
  const choices = host.asked.map(({ options }) => (options["conversation"] as { tool_choice?: string }).tool_choice);
  assert.equal(choices.at(-1), "none");
  assert.equal((host.asked[1]?.prompt as unknown[]).length, 1);
});
