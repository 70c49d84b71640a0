import assert from "node:assert/strict";
import test from "node:test";
import { readReport } from "../src/claims/check";
import { quantity } from "../src/claims/report";

const RESULT = {
  claim: "hardware", title: "No specialised hardware", status: "done", began: "2026-11-30T12:00:00Z", seconds: 3, error: null,
  words: "", quantities: [quantity("speed", "speed", "tokens/s", [3, 1, 2])], facts: {}, series: [], doubts: [],
};
const REPORT = {
  claims: 1, thimble: "0.2.0", build: "0".repeat(64), made: "2026-11-30T12:00:00Z",
  machine: { cores: 2, memory: null, browser: "", isolated: false },
  model: { name: "story", sha256: "a".repeat(64), bytes: 1, parameters: 1 },
  entries: { price: null, latency: null }, samples: 3, results: [RESULT],
};

test("a report is read, and one of version 0.1 becomes the same", () => {
  assert.deepEqual(readReport(JSON.stringify(REPORT)), REPORT);
  const { claims, ...rest } = REPORT;
  assert.deepEqual(readReport(JSON.stringify({ ledger: claims, ...rest })), REPORT);
});

test("a quantity is what its samples say", () => {
  const { n, median, lowest, highest } = quantity("x", "x", "ms", [4, 1, 3, 2]);
  assert.deepEqual({ n, median, lowest, highest }, { n: 4, median: 2.5, lowest: 1, highest: 4 });
  assert.throws(() => quantity("x", "a time", "ms", []), /nothing was measured of a time/);
  assert.throws(() => quantity("x", "a time", "ms", [1, NaN]), /a sample of a time is NaN/);
});

test("what is no report says what is wrong with it", () => {
  const refused = (change: object, message: RegExp): void =>
    assert.throws(() => readReport(JSON.stringify({ ...REPORT, ...change })), message);
  assert.throws(() => readReport("{"), /it is not JSON/);
  assert.throws(() => readReport("[]"), /a report/);
  assert.throws(() => readReport(`"${"x".repeat(4_000_001)}"`), /at most 4000000/);
  refused({ claims: 2 }, /its format is 2; this page reads 1/);
  refused({ build: 7 }, /its build is 7, not text/);
  refused({ model: { sha256: "short" } }, /its model's sha256 is "short"/);
  refused({ results: {} }, /its results are .*, not a list/);
  refused({ results: [{ ...RESULT, claim: "magic" }] }, /no claim "magic"; there are train, local/);
  refused({ results: [RESULT, RESULT] }, /two results of the claim "hardware"/);
  refused({ results: [{ ...RESULT, status: "perhaps" }] }, /must be one of done, failed, cancelled/);
});
