import assert from "node:assert/strict";
import test from "node:test";
import { JSON_OPTIONS } from "../src/api/json-options";
import { isAddress, readLink, writeLink } from "../src/ui/link";

const PAGE = "https://example.org/thimble/?a=1#before";
Object.assign(globalThis, { location: { href: PAGE } });

const fragmentOf = (link: string): string => new URL(link).hash;

test("a link says everything that makes its text again", () => {
  const constraint = { kind: "regex", source: "(Yes|No), [a-z]+\\." } as const;
  const settings = { temperature: 0, top_k: 40, seed: 7, min_p: undefined };
  const link = writeLink("Once & for all\n#1", { model: "story" }, settings, constraint, ["head:4:3:zero", "mlp:1::mean"]);
  assert.ok(link.startsWith("https://example.org/thimble/?a=1#"));
  assert.deepEqual(readLink(fragmentOf(link)), {
    prompt: "Once & for all\n#1",
    model: "story",
    settings: new Map([["temperature", "0"], ["top_k", "40"], ["seed", "7"]]),
    constraint,
  });
  assert.deepEqual(new URLSearchParams(fragmentOf(link).slice(1)).getAll("change"), ["head:4:3:zero", "mlp:1::mean"]);
});

test("a link says how its JSON is written, where that is not as usual", () => {
  for (const [name, [usual, other]] of Object.entries(JSON_OPTIONS)) {
    const constraint = { kind: "json_schema", source: "{}", options: { [name]: other } } as const;
    const fragment = fragmentOf(writeLink("", { model: "story" }, {}, constraint));
    assert.deepEqual(readLink(fragment)?.constraint, constraint);
    assert.deepEqual(readLink(`#json_schema={}&${name}=${usual}`)?.constraint, { kind: "json_schema", source: "{}" });
    assert.deepEqual(readLink(`#regex=a&${name}=${other}`)?.constraint, { kind: "regex", source: "a" });
  }
});

test("a model that a link has brought goes on by its address and digest", () => {
  const reference = { model: "https://example.org/a.gguf", sha256: "5eed".repeat(16) };
  const read = readLink(fragmentOf(writeLink("", reference, {}, null)));
  assert.deepEqual([read?.model, read?.sha256, read?.prompt], [reference.model, reference.sha256, ""]);
});

test("links of version 0.1 still say what they said", () => {
  const read = readLink("#panel=play&prompt=A+cat&model=story&max_tokens=60&gbnf=root+%3A%3A%3D+%22a%22");
  assert.equal(read?.prompt, "A cat");
  assert.equal(read?.settings.get("max_tokens"), "60");
  assert.deepEqual(read?.constraint, { kind: "gbnf", source: 'root ::= "a"' });
});

test("what is none of ours is left alone, and nothing is longer than a link may be", () => {
  for (const fragment of ["", "#", "#panel=lens&view=attention", "#%E0%A4%A"]) assert.equal(readLink(fragment), null);
  assert.equal(readLink(`#prompt=${"a".repeat(9000)}`)?.prompt?.length, 8000);
});

test("an address is told from a name", () => {
  for (const model of ["https://example.org/a.gguf", "HTTP://x", "file:///a"]) assert.ok(isAddress(model));
  for (const model of ["story", "my model", "a/b.gguf", "c:\\a.gguf", "//x"]) assert.ok(!isAddress(model));
});
