import assert from "node:assert/strict";
import test from "node:test";
import { pieces } from "../src/talk/aloud";
import { attach, detach } from "../src/talk/attached";

test("files of a message are found in it again, whatever they hold", () => {
  for (const text of ["one", "a\n```\nb\n```\nc", "`````", "File “x”:\n\n```\ny\n```\n\n", "“”"]) {
    const files = [{ name: "a.md", text }, { name: "b.csv", text: "1,2" }];
    assert.deepEqual(detach(attach(files, "What is it?")), { files, words: "What is it?" });
  }
  assert.deepEqual(detach("File “a”: no fence"), { files: [], words: "File “a”: no fence" });
  assert.equal(detach(attach([{ name: "a”\nb", text: "x" }], "")).files[0]?.name, "a  b");
});

test("what is read aloud comes in pieces that lose no word", () => {
  const text = `One. Two!  ${"word ".repeat(100)}. ${"x".repeat(450)} End`;
  const found = pieces(text);
  assert.ok(found.every(({ length }) => length > 0 && length <= 200), String(found.map(({ length }) => length)));
  assert.equal(found.join("").replace(/\s/g, ""), text.replace(/\s/g, ""));
  assert.deepEqual(pieces("  \n "), []);
});
