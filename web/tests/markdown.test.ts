import assert from "node:assert/strict";
import test from "node:test";
import { markdown } from "../src/talk/markdown";

test("what is nested too deep to be read quickly stays as it was written", () => {
  const list = Array.from({ length: 400 }, (_, depth) => `${"  ".repeat(depth)}- x`).join("\n");
  for (const text of ["> ".repeat(400) + "deep", list, ">".repeat(400)]) {
    const shown = markdown(text, () => undefined);
    assert.deepEqual(shown.map((one) => (one as { values: unknown[] }).values), [[text]]);
  }
  assert.ok(markdown("> a\n\n- b", () => undefined).length > 1);
});
