import assert from "node:assert/strict";
import test from "node:test";
import { KINDS, PLAIN, WAYS, changeWords, decode, encode } from "../src/lens/change-code";
import type { Change } from "../src/lens/change-code";

test("whatever a change is, its link says it", () => {
  const texts = ["", "a:b", "%25 — “x”\n"];
  for (const kind of KINDS) for (const how of WAYS) for (const towards of texts) for (const unit of [null, 0, 12]) for (const on of [true, false]) {
    const change: Change = { ...PLAIN, kind, how, towards, away: towards && "no", unit, layer: 5, factor: -1.5, on };
    assert.deepEqual(decode(encode(change)), change);
  }
});

test("a plain change is a short one", () => {
  assert.equal(encode({ ...PLAIN, layer: 4, unit: 3 }), "head:4:3:zero");
  assert.equal(encode({ ...PLAIN, kind: "mlp", layer: 1, how: "mean", on: false }), "-mlp:1::mean");
});

test("what says nothing of ours is refused by name", () => {
  assert.throws(() => decode("nose:1:2:zero"), /“nose:1:2:zero” is none of head, mlp/);
  assert.throws(() => decode("head:1:2:never"), /none of the ways zero, mean, scale/);
  for (const code of ["head", "head:x:1", "head:1:1.5", "head:1:1:scale:much"]) assert.throws(() => decode(code), /has no layer, or no number/);
  assert.throws(() => decode("steer:1::scale:2:%E0%A4%A"), /a text that cannot be read/);
  assert.throws(() => decode("x".repeat(99)), /“x{40}…”/);
});

test("a change is told in words", () => {
  assert.equal(changeWords({ ...PLAIN, layer: 4, unit: 3 }), "layer 4, head 3 off");
  assert.equal(changeWords({ ...PLAIN, kind: "steer", layer: 2, factor: -2, towards: "sad", away: "happy" }), "layer 2 steered −2 times from “happy” to “sad”");
});
