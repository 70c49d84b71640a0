import assert from "node:assert/strict";
import test from "node:test";
import { grow, messagesOf, open, readAsides } from "../src/talk/asides";
import type { Answer } from "../src/talk/asides";
import { calculate } from "../src/talk/calculator";
import { asMarkdown } from "../src/talk/files";
import { headOf } from "../src/talk/record";
import { TextIndex, passagesOf } from "../src/talk/search-texts";
import { argumentOf, carryOut, toldOf } from "../src/talk/tools";

test("formulas come to what they should", () => {
  const right: readonly (readonly [string, number])[] = [
    ["1 + 2 * 3", 7], ["(1 + 2) * 3", 9], ["-2 ^ 2", -4], ["2 ** 3 ^ 2", 512], ["7 % 4 / 2", 1.5], ["0.1 + 0.2", 0.3],
    ["sqrt(2) ^ 2", 2], ["max(1, 2.5, pi)", 3.14159265359], [" 6 × 7 ÷ 2 − 1 ", 20], ["1e3 - .5", 999.5], ["LN(e)", 1],
    ["10 - 4 - 3", 3], ["2^-1", 0.5],
  ];
  for (const [formula, value] of right) assert.equal(calculate(formula), value, formula);
});

test("what is no formula is told, with its place", () => {
  const wrong: readonly (readonly [string, RegExp])[] = [
    ["", /the end stands where a number/], ["1 +", /the end/], ["(1", /“\)” is missing/], ["1 2", /“2” stands where nothing more/],
    ["alert(1)", /“alert” is no function/], ["constructor(1)", /no function/], ["2 & 3", /“& 3” is nothing/], ["1/0", /no number/],
    ["sqrt(-1)", /no number/], ["sqrt 2", /“\(” is missing/], ["1".repeat(1001), /at most 1000/], [`${"(".repeat(900)}`, /the end/],
  ];
  for (const [formula, words] of wrong) assert.throws(() => calculate(formula), words);
});

test("passages keep their lines, and end with paragraphs", () => {
  const paragraph = "A line of some words.\n".repeat(40);
  const text = `\n# Ducks\n\n${paragraph}\nSad ducks.\n\n${"x".repeat(5000)}`;
  const passages = passagesOf("a.md", text);
  const lines = text.split("\n");
  for (const { line, text: said } of passages) assert.ok((lines[line - 1] ?? "").startsWith(said.split("\n")[0]?.slice(0, 20) ?? "?"));
  assert.equal(passages.map(({ text: said }) => said.replace(/\s/g, "")).join(""), text.replace(/\s/g, ""));
  assert.ok(passages.every(({ text: said }) => said.length <= 1500));
});

test("a search finds the passage with the rare words first, whatever their case and accents", () => {
  const index = new TextIndex();
  index.add("birds.txt", `The duck was glad.\n\n${"Filler words of no use. ".repeat(40)}\n\nThe CAFÉ served the duck an éclair.`);
  index.add("cats.txt", "The cat was glad, and the duck was not.");
  assert.equal(index.search("cafe eclair", 3)[0]?.text.slice(0, 8), "The CAFÉ");
  assert.deepEqual(index.search("cat", 3).map(({ file }) => file), ["cats.txt"]);
  assert.deepEqual(index.search("zebra", 3), []);
  index.add("cats.txt", "No such animal.");
  assert.deepEqual(index.search("cat", 3), []);
  index.remove("cats.txt");
  assert.deepEqual(index.files, ["birds.txt"]);
});

const hands = { python: (code: string) => Promise.resolve(`ran ${code}`), texts: new TextIndex() };
const { signal } = new AbortController();

test("calls are carried out, and what is wrong in them is their result", async () => {
  const call = (name: string, given: string): Promise<string> => carryOut(name, given, ["calculator", "clock", "python"], hands, signal);
  assert.equal(await call("calculator", '{"formula": "6*7"}'), "42");
  assert.equal(await call("python", '{"code": "print(1)"}'), "ran print(1)");
  assert.match(await call("clock", "{}"), /^\w+day, \d{4}-\d\d-\d\d \d\d:\d\d, /);
  assert.match(await call("calculator", '{"formula": "6*"}'), /^Error: the end stands/);
  assert.match(await call("calculator", "{"), /^Error: /);
  assert.match(await call("calculator", '{"formula": 6}'), /takes a text as formula/);
  assert.match(await call("search", '{"query": "a"}'), /there is no tool search/);
  assert.match(await call("constructor", "{}"), /there is no tool constructor/);
  assert.throws(() => argumentOf("toString", "{}"), /no tool/);
  assert.deepEqual(toldOf(["clock"])[0]?.function.parameters, { type: "object", properties: {}, required: [], additionalProperties: false });
});

test("an answer of thoughts, words and calls becomes the messages of its rounds", () => {
  const answer: Answer = { text: "" };
  grow(answer, [[0, "reasoning", "Hm", 0], [1, "reasoning", "m.", 0], [2, "content", "Let me see.", 0]], 0);
  grow(answer, [[0, "call", "calculator", 0], [0, "arguments", '{"formula"', 0], [1, "arguments", ': "1"}', 0]], 0);
  assert.equal(open(answer).length, 1);
  assert.deepEqual(messagesOf(answer), [{ role: "assistant", content: "Let me see." }]);
  for (const call of open(answer)) call.result = "1";
  grow(answer, [[0, "content", " It is 1.", 0]], 1);
  assert.deepEqual(messagesOf(answer), [
    {
      role: "assistant", content: "Let me see.", reasoning_content: "Hmm.",
      tool_calls: [{ id: "call_0_0", type: "function", function: { name: "calculator", arguments: '{"formula": "1"}' } }],
    },
    { role: "tool", name: "calculator", tool_call_id: "call_0_0", content: "1" },
    { role: "assistant", content: " It is 1." },
  ]);
  assert.deepEqual(readAsides(JSON.parse(JSON.stringify(answer.asides)), answer.text.length), answer.asides);
});

test("of stored asides only what is well-formed is believed", () => {
  const good = { kind: "thought", at: 0, text: "a" };
  const bad = [null, 7, { ...good, at: 9 }, { ...good, at: -1 }, { ...good, text: 1 }, { ...good, kind: "html" }, { kind: "call", at: 0, round: 0, name: "x" }];
  assert.deepEqual(readAsides([...bad, good], 3), [good]);
  assert.deepEqual(readAsides("x", 3), []);
});

test("a conversation as Markdown has what was called and what came of it, and no thoughts", () => {
  const answer: Answer = { text: "" };
  grow(answer, [[0, "reasoning", "Hmm.", 0], [0, "content", "Let me see.", 0], [0, "call", "clock", 0], [0, "arguments", "{}", 0]], 0);
  for (const call of open(answer)) call.result = "Monday\nnoon";
  grow(answer, [[0, "content", " Noon.", 0]], 1);
  const asked = { id: "a", parent: null, role: "user", text: "When?", tokens: 0, finish: null } as const;
  const turns = [asked, { id: "b", parent: "a", role: "assistant", model: "tiny", tokens: 3, finish: "stop", ...answer } as const];
  const body = { format: 1, id: "x", system: "", settings: {}, turns, leaf: "b" } as const;
  const text = asMarkdown({ head: headOf(body, null, 0), body });
  assert.equal(text, "# When?\n\n## You\n\nWhen?\n\n## tiny\n\nLet me see.\n\n> clock {}\n> \n> Monday\n> noon\n\nNoon.\n");
});
