import assert from "node:assert/strict";
import test from "node:test";
import { milliseconds, plural, rate, sentence } from "../src/ui/format";
import { limitOf, percentile, timingOf } from "../src/ui/timing";

test("a run's first token is its latency, and each other one a step", () => {
  const timing = timingOf([50, 52, 54, 60].map((milliseconds) => ({ milliseconds })));
  assert.deepEqual([timing.first, timing.tokens, timing.p50, timing.tick], [50, [2, 2, 6], 2, 4]);
  assert.equal(timing.speed, 300);
});

test("another run begins where the clock does, and what came by other means is not timed", () => {
  const timing = timingOf([{ milliseconds: 50 }, { milliseconds: 52 }, {}, { milliseconds: 70 }, { milliseconds: 30 }, { milliseconds: 31 }]);
  assert.deepEqual([timing.first, timing.tokens], [30, [2, 1]]);
  assert.deepEqual(timingOf([]), { first: null, tokens: [], p50: null, p90: null, p99: null, speed: null, tick: null });
});

test("percentiles lie between two numbers where they have to", () => {
  assert.equal(percentile([4, 1, 3, 2], 0.5), 2.5);
  assert.equal(percentile([1], 0.99), 1);
  assert.equal(percentile([], 0.5), null);
});

test("the machine's limit is the slower of memory and arithmetic", () => {
  const limits = { name: "", parameters: 0, contextWindow: 0, bytes: 10e6, products: 20e6, floats: 0, read: 1e9, productRate: 1e9, floatRate: null, threads: 1 };
  assert.deepEqual(limitOf(limits), { speed: 50, by: "arithmetic" });
  assert.deepEqual(limitOf({ ...limits, productRate: 4e9, threads: 2 }), { speed: 200, by: "memory" });
});

test("numbers and messages read as people write them", () => {
  assert.deepEqual([milliseconds(12.6), milliseconds(1250), rate(99.94), rate(1234.5)], ["13 ms", "1.3 s", "99.9", "1,235"]);
  assert.deepEqual([plural(1, "token"), plural(2048, "token")], ["1 token", "2,048 tokens"]);
  assert.equal(sentence("it broke\n  at line 3"), "It broke.\n  at line 3");
  assert.equal(sentence("Really?"), "Really?");
});
