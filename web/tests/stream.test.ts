import assert from "node:assert/strict";
import test from "node:test";
import { chunksOf } from "../src/api/stream";
import type { Texts } from "../src/api/stream";
import { addToken, count, nothingYet } from "../src/live/writing";
import type { Writing } from "../src/live/writing";

/** Records as thimble/browser/engine.py packs them. */
function packed(...records: readonly { readonly whole: readonly number[]; readonly real: readonly number[]; readonly top: readonly (readonly [number, number])[] }[]): string {
  const bytes: number[] = [];
  for (const { whole, real, top } of records) {
    const ints = [top.length, ...whole];
    bytes.push(...new Uint8Array(new Int32Array(ints).buffer), ...new Uint8Array(new Float32Array(real).buffer));
    bytes.push(...new Uint8Array(new Int32Array(top.map(([id]) => id)).buffer));
    bytes.push(...new Uint8Array(new Float32Array(top.map(([, logprob]) => logprob)).buffer));
  }
  return btoa(String.fromCharCode(...bytes));
}

const FIRST = { whole: [17, 1500], real: [-0.5, 1.25], top: [[17, -0.5], [9, -2]] } as const;
const SECOND = { whole: [4, 2750], real: [-8, 0.5], top: [[9, -0.25]] } as const;

test("a batch's numbers are the tokens that were packed", () => {
  const batch = { count: 2, context: 5, finish_reason: "stop", tokens: ["Once", ""], numbers: packed(FIRST, SECOND), texts: { 17: "Once", 9: " up" } } as const;
  const [one, two] = chunksOf(batch, new Map([[4, { text: ".", bytes: [46] }]]));
  assert.ok(typeof one === "object" && typeof two === "object");
  assert.deepEqual([one.text, one.id, one.logprob, one.entropy, one.milliseconds, one.finish_reason], ["Once", 17, -0.5, 1.25, 1.5, null]);
  assert.deepEqual(one.top_logprobs, [
    { id: 17, text: "Once", bytes: [79, 110, 99, 101], logprob: -0.5 }, { id: 9, text: " up", bytes: [32, 117, 112], logprob: -2 },
  ]);
  assert.deepEqual([two.text, two.id, two.milliseconds, two.finish_reason], ["", 4, 2.75, "stop"]);
  assert.deepEqual(two.top_logprobs, [{ id: 9, text: " up", bytes: [32, 117, 112], logprob: -0.25 }]);
});

test("a token has its own text and bytes, whatever can be shown of it", () => {
  const numbers = packed({ whole: [17, 1], real: [-1, 1], top: [] }, { whole: [4, 2], real: [-1, 1], top: [] });
  const told = { texts: { 17: "\ufffd", 4: " the" }, bytes: { 17: [0xc3] } };
  const [half, held] = chunksOf({ count: 2, context: 2, finish_reason: null, tokens: ["", ""], numbers, ...told }, new Map());
  assert.ok(typeof half === "object" && typeof held === "object");
  assert.deepEqual([half.text, half.token, half.bytes], ["", "\ufffd", [0xc3]]);
  assert.deepEqual([held.text, held.token, held.bytes], ["", " the", [32, 116, 104, 101]]);
});

test("alternatives keep the texts that a batch before has told", () => {
  const texts = new Map() as Texts;
  const batch = { count: 1, context: 1, finish_reason: null, tokens: ["a"], numbers: packed(SECOND) } as const;
  chunksOf({ ...batch, texts: { 9: "nine" } }, texts);
  const [again] = chunksOf(batch, texts);
  assert.ok(typeof again === "object");
  assert.equal(again.top_logprobs[0]?.text, "nine");
});

test("a batch without numbers is its text", () => {
  assert.deepEqual(chunksOf({ count: 2, context: 2, finish_reason: null, text: "ab" }, new Map()), ["ab"]);
  assert.deepEqual(chunksOf({ count: 0, context: 2, finish_reason: null, text: "" }, new Map()), []);
});

test("a text grows by its tokens and is timed from the first of them", () => {
  const writing: Writing = { request: { prompt: "", model: "", settings: {} }, text: "", tokens: [], measures: nothingYet(), finishReason: null };
  for (const [at, text] of ["a", "", "b"].entries()) {
    count(writing.measures, 100 + 10 * at);
    addToken(writing, { text, id: at, logprob: 0, entropy: 0, top_logprobs: [], finish_reason: at === 2 ? "length" : null });
  }
  assert.deepEqual([writing.text, writing.tokens.length, writing.finishReason], ["ab", 3, "length"]);
  assert.deepEqual(writing.measures, { tokens: 3, first: 100, speed: 100 });
});
