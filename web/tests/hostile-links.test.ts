import assert from "node:assert/strict";
import test from "node:test";
import { codeIn, linkTo } from "../src/console/link";
import { PLAIN, changeWords, decode, encode } from "../src/lens/change-code";
import { readLink, writeLink } from "../src/ui/link";

/** So many links; `make fuzz-links` reads a million. */
const LINKS = Number(process.env["THIMBLE_LINKS"] ?? 5000);
Object.assign(globalThis, { location: { href: "https://example.org/" } });

/** Mulberry32 (Tommy Ettinger, 2017, public domain): numbers below `n`, always the same. */
function dice(seed: number): (n: number) => number {
  return (n) => {
    seed = (seed + 0x6d2b79f5) | 0;
    let t = Math.imul(seed ^ (seed >>> 15), 1 | seed);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) % n;
  };
}

const GOOD = [
  writeLink("Once & for all\n#1", { model: "https://example.org/a.gguf", sha256: "5e".repeat(32) },
    { temperature: 0.5, top_k: 40, seed: 7 }, { kind: "regex", source: "(Yes|No), [a-z]+\\." },
    [encode({ ...PLAIN, kind: "steer", towards: "a:b", away: "é%", factor: -2 }), "-mlp:1::mean"]),
  writeLink("", { model: "story" }, {}, { kind: "json_schema", source: '{"type":"object"}' }),
  String(linkTo("x = 'länk'\nx")),
  "#panel=play&prompt=A+cat&change=head:4:3:zero&change=patch:1:2:scale:1e9:%25:x&code=%20",
].map((link) => link.slice(link.indexOf("#")));
const PIECES = ["", "%", "%FF", "%00", "&", "=", "#", "+", "&change=", "&code=", "&regex=", "&model=javascript:", ":", "-",
  "\u{1f999}", "\ud800", "__proto__=1&", "constructor=", "1e999", "NaN", "9".repeat(400), "(".repeat(9000), "&prompt=" + "%F0%9F".repeat(4000)];

function mutated(roll: (n: number) => number): string {
  let text = GOOD[roll(GOOD.length)] ?? "";
  for (let i = 1 + roll(4); i > 0; i -= 1) {
    const at = roll(text.length + 1);
    const cut = [0, 1, 3, 30][roll(4)] ?? 0;
    const other = GOOD[roll(GOOD.length)] ?? "";
    const piece = [PIECES[roll(PIECES.length)], other.slice(roll(other.length)), String.fromCharCode(roll(65536))][roll(3)];
    text = text.slice(0, at) + (piece ?? "") + text.slice(at + cut);
  }
  return text;
}

test("whatever a link says, it is read or left alone, and says no more than a link may", () => {
  const outcomes = new Map<string, number>();
  const count = (word: string): void => void outcomes.set(word, (outcomes.get(word) ?? 0) + 1);
  for (let seed = 0; seed < LINKS; seed += 1) {
    const link = mutated(dice(seed));
    const read = readLink(link);
    count(read ? "read" : "nothing of ours");
    if (read) {
      assert.ok((read.prompt?.length ?? 0) <= 8000 && (read.constraint?.source.length ?? 0) <= 8000);
      for (const value of read.settings.values()) assert.equal(typeof value, "string");
    }
    const code = codeIn(link);
    count(code === null ? "no code" : code instanceof Error ? "code refused" : "code");
    for (const change of new URLSearchParams(link.slice(1)).getAll("change")) {
      try {
        const made = decode(change);
        assert.deepEqual(decode(encode(made)), made);
        assert.ok(changeWords(made).length < 500);
        count("change");
      } catch (error) {
        assert.ok(error instanceof Error && /^the change “[^]{0,41}” (is|has) /.test(error.message));
        count("change refused");
      }
    }
  }
  assert.equal(outcomes.size, 7); // were all refused, nothing behind that would be tested
});
