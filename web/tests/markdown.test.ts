import assert from "node:assert/strict";
import test from "node:test";
import { markdown } from "../src/talk/markdown";

const WAYS = { copy: (): void => undefined };

test("what is nested too deep to be read quickly stays as it was written", () => {
  const list = Array.from({ length: 400 }, (_, depth) => `${"  ".repeat(depth)}- x`).join("\n");
  for (const text of ["> ".repeat(400) + "deep", list, ">".repeat(400)]) {
    const shown = markdown(text, WAYS);
    assert.deepEqual(shown.map((one) => (one as { values: unknown[] }).values), [[text]]);
  }
  assert.ok(markdown("> a\n\n- b", WAYS).length > 1);
});

test("formulas are told from prices, and what TeX itself writes", () => {
  const seen = (text: string): [string, boolean][] => {
    const found: [string, boolean][] = [];
    markdown(text, { ...WAYS, formula: (tex, display) => {
      found.push([tex, display]);
      return null;
    } });
    return found;
  };
  assert.deepEqual(seen("It is $x^2$, and \\(y_1\\), and **$a$**."), [["x^2", false], ["y_1", false], ["a", false]]);
  assert.deepEqual(seen("$$\n\\frac{1}{2}\n$$\n\n\\[ z \\]"), [["\n\\frac{1}{2}\n", true], [" z ", true]]);
  for (const text of ["It costs $5 and $10.", "$ x $", "`$x$`", "a $x", "```\n$x$\n```", "$".repeat(9000)]) assert.deepEqual(seen(text), []);
});
