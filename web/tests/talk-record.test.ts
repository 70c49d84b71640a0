import assert from "node:assert/strict";
import test from "node:test";
import { asJson, asMarkdown, readTalks } from "../src/talk/files";
import { FORMAT, headOf, readBody, readHead } from "../src/talk/record";
import type { Body } from "../src/talk/record";
import { Tree } from "../src/talk/tree";
import type { Turn } from "../src/talk/tree";

const turn = (id: string, parent: string | null, text: string): Turn => ({
  id, parent, text, role: parent === null || parent.startsWith("a") ? "user" : "assistant", tokens: 3, finish: "stop",
});

const BODY: Body = {
  format: FORMAT, id: "one", system: "Be brief.", settings: { temperature: 0.8 }, leaf: "a2",
  turns: [turn("q1", null, "Who?\n\nMe?"), { ...turn("a1", "q1", "Mia."), model: "tiny" }, turn("a2", "q1", "A duck.")],
};
const HEAD = headOf(BODY, null, 1e12);

const file = (text: string): File => new File([text], "talks.json");

test("two tabs that go on with one conversation lose nothing, in whichever order they are saved", () => {
  const [here, there] = [new Tree(BODY.turns, "a1"), new Tree(BODY.turns, "a1")];
  here.add(here.path.at(-1) ?? null, { role: "user", text: "Here?", tokens: 0, finish: null });
  there.add(there.path.at(-1) ?? null, { role: "user", text: "There?", tokens: 0, finish: null });
  for (const [one, other] of [[here, there], [there, here]] as const) {
    const united = new Tree(one.all, one.leaf);
    united.merge(other.all);
    const last = united.path.at(-1);
    assert.ok(last);
    assert.deepEqual(united.versions(last).map(({ text }) => text).sort(), ["Here?", "There?"]);
    assert.equal(united.merge(other.all), false);
  }
});

test("an answer that grew in both of two tabs stays in both ways, and one that grew in one grows", () => {
  const grown = (words: string): Turn[] => BODY.turns.map((one) => (one.id === "a1" ? { ...one, text: one.text + words } : one));
  const tree = new Tree(grown(" Here."), "a1");
  assert.equal(tree.merge(BODY.turns), false);
  tree.merge(grown(" Here. More."));
  assert.equal(tree.path.at(-1)?.text, "Mia. Here. More.");
  tree.merge(grown(" There."));
  tree.merge(grown(" There."));
  assert.deepEqual(tree.all.map(({ text }) => text).slice(1), ["Mia. Here. More.", "A duck.", "Mia. There."]);
});

test("what is exported is imported as it was", async () => {
  const { talks, refused, damaged } = await readTalks(file(asJson([{ head: HEAD, body: BODY }])));
  assert.deepEqual([refused, damaged], [0, 0]);
  assert.deepEqual(talks, [{ head: HEAD, body: BODY }]);
  assert.equal(HEAD.title, "Who? Me?");
  const text = asMarkdown({ head: HEAD, body: { ...BODY, leaf: "a1" } });
  assert.equal(text, "# Who? Me?\n\n## System prompt\n\nBe brief.\n\n## You\n\nWho?\n\nMe?\n\n## tiny\n\nMia.\n");
});

test("a file that is none of ours, or of another version, is refused by name", async () => {
  const none = { thimble: "conversations", format: FORMAT, conversations: [] };
  for (const [text, words] of [
    ["", "“talks.json” is not JSON"], ["null", "holds no conversations"], ['{"a": 1}', "holds no conversations"],
    [JSON.stringify({ ...none, format: 2 }), "has format 2"],
    [JSON.stringify({ ...none, conversations: Array(10_001).fill(0) }), "at most 10000"],
  ] as const) await assert.rejects(readTalks(file(text)), new RegExp(words));
  const mixed = { ...none, conversations: [null, 7, { head: HEAD, body: BODY }, { head: HEAD }, { head: { ...HEAD, id: "x" }, body: BODY }] };
  const { talks, refused } = await readTalks(file(JSON.stringify(mixed)));
  assert.deepEqual([talks.length, refused], [1, 4]);
});

test("what is damaged is counted, and of the rest a tree is made", () => {
  const bad = [turn("v", "v", "itself"), turn("x", "y", "nowhere"), { ...turn("z", "q1", ""), role: "tool" }, { ...turn("w", "q1", ""), text: 7 }, null, "a"];
  const { body, damaged } = readBody({ ...BODY, turns: [...BODY.turns, ...bad], leaf: "gone", settings: { a: NaN, b: "c", top_k: 4 }, system: 7 });
  assert.equal(damaged, bad.length);
  assert.deepEqual(body.turns, BODY.turns);
  assert.deepEqual([body.leaf, body.settings, body.system], ["a2", { top_k: 4 }, ""]);
  assert.throws(() => readBody({ ...BODY, format: 2 }), /newer version.*format 2, this one reads 1/);
  for (const value of [null, 3, [], {}, { ...BODY, format: "1" }, { ...BODY, id: "<b>" }, { ...BODY, turns: {} }]) {
    assert.throws(() => readBody(value), /damaged/);
  }
  assert.throws(() => readBody({ ...BODY, turns: Array(20_001).fill(null) }), /at most 20000/);
});

test("no change of one field of what is stored does more than be refused or read", () => {
  const values: unknown[] = [null, undefined, -1, NaN, 1e300, "", "__proto__", "x".repeat(300), [], {}, true];
  for (const value of values) {
    for (const name of Object.keys(HEAD)) {
      try {
        const head = readHead({ ...HEAD, [name]: value });
        new Intl.DateTimeFormat("en").format(head.changed);
        assert.ok(head.title.length <= 200);
      } catch (error) {
        assert.match((error as Error).message, /damaged|newer/);
      }
    }
    for (const name of [...Object.keys(BODY.turns[0] as object), "seed", "rate", "model"]) {
      const { body } = readBody({ ...BODY, turns: [{ ...BODY.turns[0], [name]: value }, ...BODY.turns.slice(1)] });
      assert.ok(new Tree(body.turns, body.leaf).path.length <= 3);
    }
  }
});
