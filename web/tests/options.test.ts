import assert from "node:assert/strict";
import test from "node:test";
import { encodeOptions } from "../src/api/options";

const encode = (options: object): unknown => JSON.parse(encodeOptions(options, { own: ["signal"], also: ["continue"] }));

test("options go to the engine under their names, without those that are not given", () => {
  assert.deepEqual(encode({ temperature: 0, top_p: undefined, stop: ["\n"], continue: true, signal: 1 }), {
    temperature: 0, stop: ["\n"], continue: true,
  });
});

test("a constraint is a schema, an expression or a grammar", () => {
  assert.deepEqual(encode({ responseConstraint: { type: "integer" } }), {
    grammar: { kind: "json_schema", source: '{"type":"integer"}' },
  });
  assert.deepEqual(encode({ responseConstraint: true }), { grammar: { kind: "json_schema", source: "true" } });
  assert.deepEqual(encode({ responseConstraint: /a+b/u }), { grammar: { kind: "regex", source: "a+b" } });
  assert.deepEqual(encode({ responseConstraint: /^a.b$/gims }), { grammar: { kind: "regex", source: "(?ims:^a.b$)" } });
  assert.deepEqual(encode({ responseConstraint: {}, json_options: { property_order: "any" } }), {
    grammar: { kind: "json_schema", source: "{}", options: { property_order: "any" } },
  });
  assert.deepEqual(encode({ grammar: 'root ::= "a"' }), { grammar: 'root ::= "a"' });
});

test("what is wrong is named with what would be right", () => {
  const refused = (options: object, message: RegExp): void => assert.throws(() => encode(options), { name: "OptionError", message });
  refused({ temprature: 1 }, /no option "temprature"; there are temperature, top_k/);
  refused({ responseConstraint: /a/, json_options: { whitespace: "free" } }, /go with a responseConstraint that is a JSON Schema/);
  refused({ responseConstraint: "yes" }, /it must be a JSON Schema or a RegExp/);
  refused({ responseConstraint: true, grammar: "x" }, /not both/);
});

test("numbers that JSON lacks cross as their names", () => {
  assert.deepEqual(encode({ temperature: NaN, top_p: -Infinity }), { temperature: "NaN", top_p: "-Infinity" });
});
