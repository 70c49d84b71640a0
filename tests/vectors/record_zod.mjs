// Records what zod 4 writes as JSON Schema for a list of features, with values that it takes and
// others that it refuses. In a folder where `npm install zod@4` was run:
//   node record_zod.mjs > zod.json
import { createRequire } from "node:module";
import { pathToFileURL } from "node:url";

const require = createRequire(process.cwd() + "/");
const { z } = await import(pathToFileURL(require.resolve("zod")).href);
const version = require("zod/package.json").version;

const category = z.object({
  name: z.string(),
  get subcategories() {
    return z.array(category);
  },
});
const person = z.object({ name: z.string(), age: z.int().optional() });
const shapes = z.discriminatedUnion("kind", [
  z.object({ kind: z.literal("circle"), radius: z.number().positive() }),
  z.object({ kind: z.literal("square"), side: z.number().nonnegative() }),
]);
const tuple = z.tuple([z.string(), z.number()]);

const features = {
  string: [z.string(), ["", 'a"\\é\n'], [1]],
  number: [z.number(), [0, -1.5, 3e-7], ["1"]],
  int: [z.int(), [1, -12345], [1.5]],
  int32: [z.int32(), [2147483647], [2147483648]],
  uint32: [z.uint32(), [0, 4294967295], [-1]],
  float32: [z.float32(), [1.5], ["x"]],
  float64: [z.float64(), [1e300], ["x"]],
  boolean: [z.boolean(), [true], [0]],
  null: [z.null(), [null], [0]],
  any: [z.any(), [1, { a: [] }], []],
  unknown: [z.unknown(), ["x"], []],
  never: [z.array(z.never()), [[]], [[1]]],
  literal: [z.literal("a"), ["a"], ["b"]],
  literals: [z.literal(["a", 1, true, null]), ["a", 1, true, null], ["b", 2]],
  enum: [z.enum(["red", "green"]), ["red"], ["blue"]],
  "native enum": [z.enum({ A: 1, B: 2 }), [1, 2], [3]],
  nullable: [z.string().nullable(), ["a", null], [1]],
  optional: [z.object({ a: z.string().optional() }), [{}, { a: "x" }], [{ a: 1 }]],
  nullish: [z.object({ a: z.string().nullish() }), [{}, { a: null }], [{ a: 1 }]],
  default: [z.object({ a: z.string().default("x") }), [{ a: "y" }], [{ a: 1 }]],
  prefault: [z.object({ a: z.string().prefault("x") }), [{ a: "y" }], [{ a: 1 }]],
  catch: [z.object({ a: z.string().catch("x") }), [{ a: "y" }], []],
  readonly: [z.array(z.string()).readonly(), [["a"]], [[1]]],
  array: [z.array(z.number()), [[], [1, 2.5]], [["a"]]],
  "array with length": [z.array(z.int()).min(1).max(2), [[1]], [[], [1, 2, 3]]],
  "array of one length": [z.array(z.int()).length(2), [[1, 2]], [[1]]],
  "array that is not empty": [z.array(z.string()).nonempty(), [["a"]], [[]]],
  set: [z.array(z.enum(["a", "b"])), [["a", "b"]], [["c"]]],
  tuple: [tuple, [["a", 1]], [["a"], ["a", "b"]]],
  "tuple with rest": [z.tuple([z.string()], z.number()), [["a", 1, 2]], [["a", "b"]]],
  object: [person, [{ name: "a", age: 1 }, { name: "b" }], [{ age: 1 }]],
  "strict object": [z.strictObject({ a: z.string() }), [{ a: "x" }], [{ a: "x", b: 1 }]],
  "loose object": [z.looseObject({ a: z.string() }), [{ a: "x", b: 1 }], [{ b: 1 }]],
  catchall: [z.object({ a: z.string() }).catchall(z.number()), [{ a: "x", b: 1 }], [{ a: "x", b: "y" }]],
  "extended object": [person.extend({ city: z.string() }), [{ name: "a", city: "b" }], [{ name: "a" }]],
  "picked object": [person.pick({ name: true }), [{ name: "a" }], [{}]],
  "omitted object": [person.omit({ age: true }), [{ name: "a" }], [{}]],
  "partial object": [person.partial(), [{}], [{ name: 1 }]],
  "required object": [person.required(), [{ name: "a", age: 1 }], [{ name: "a" }]],
  "nested object": [z.object({ a: z.object({ b: z.array(person) }) }), [{ a: { b: [{ name: "x" }] } }], [{ a: { b: [{}] } }]],
  record: [z.record(z.string(), z.number()), [{ a: 1 }], [{ a: "x" }]],
  "record with pattern": [z.record(z.string().regex(/^[a-z]+$/), z.number()), [{ ab: 1 }], [{ A1: 1 }]],
  "record of an enum": [z.record(z.enum(["a", "b"]), z.number()), [{ a: 1, b: 2 }], [{ a: 1 }, { a: 1, b: 2, c: 3 }]],
  "partial record": [z.partialRecord(z.enum(["a", "b"]), z.number()), [{ a: 1 }], [{ c: 3 }]],
  union: [z.union([z.string(), z.number()]), ["a", 1], [null]],
  "union of objects": [z.union([z.object({ a: z.string() }), z.object({ b: z.number() })]), [{ a: "x" }, { b: 1 }], [{}]],
  "discriminated union": [shapes, [{ kind: "circle", radius: 2.5 }, { kind: "square", side: 0 }], [{ kind: "circle", side: 1 }, { kind: "oval" }]],
  intersection: [z.intersection(z.object({ a: z.string() }), z.object({ b: z.number() })), [{ a: "x", b: 1 }], [{ a: "x" }]],
  "recursive object": [category, [{ name: "a", subcategories: [{ name: "b", subcategories: [] }] }], [{ name: "a", subcategories: [{}] }]],
  lazy: [z.object({ a: z.lazy(() => z.string()) }), [{ a: "x" }], [{ a: 1 }]],
  min: [z.string().min(2), ["ab", "éé"], ["a"]],
  max: [z.string().max(3), ["abc"], ["abcd"]],
  length: [z.string().length(3), ["abc"], ["ab"]],
  "long string": [z.string().max(20000), ["abc"], [1]],
  regex: [z.string().regex(/^\d{3}-[a-z]+$/), ["123-ab"], ["12-ab"]],
  "two expressions": [z.string().regex(/^a/).regex(/z$/), ["abcz"], ["abc"]],
  startsWith: [z.string().startsWith("ab"), ["abc"], ["xab"]],
  endsWith: [z.string().endsWith("yz"), ["xyz"], ["yzx"]],
  includes: [z.string().includes("mid"), ["a mid b"], ["mi"]],
  lowercase: [z.string().lowercase(), ["abc1"], ["Abc"]],
  uppercase: [z.string().uppercase(), ["ABC1"], ["aBC"]],
  "pattern and length": [z.string().regex(/^[a-z]*$/).min(2).max(4), ["abc"], ["a", "abcde", "AB"]],
  email: [z.email(), ["a.b@example.org"], ["a.b@"]],
  url: [z.url(), ["https://example.org/a?b=c"], ["no url"]],
  uuid: [z.uuid(), ["123e4567-e89b-12d3-a456-426614174000"], ["123e4567"]],
  uuidv4: [z.uuidv4(), ["f47ac10b-58cc-4372-a567-0e02b2c3d479"], ["f47ac10b-58cc-1372-a567-0e02b2c3d479"]],
  guid: [z.guid(), ["123e4567-e89b-12d3-a456-426614174000"], ["x"]],
  nanoid: [z.nanoid(), ["V1StGXR8_Z5jdHi6B-myT"], ["short"]],
  cuid: [z.cuid(), ["cjld2cjxh0000qzrmn831i7rn"], ["x"]],
  cuid2: [z.cuid2(), ["tz4a98xxat96iws9zmbrgj3a"], ["A"]],
  ulid: [z.ulid(), ["01ARZ3NDEKTSV4RRFFQ69G5FAV"], ["01ARZ3"]],
  xid: [z.xid(), ["9m4e2mr0ui3e8a215n4g"], ["x"]],
  ksuid: [z.ksuid(), ["0ujsswThIGTUYm2K8FjOOfXtY1K"], ["x"]],
  emoji: [z.emoji(), ["😀"], ["a"]],
  ipv4: [z.ipv4(), ["192.168.0.1"], ["256.1.1.1"]],
  ipv6: [z.ipv6(), ["2001:db8::1"], ["2001:::1"]],
  cidrv4: [z.cidrv4(), ["10.0.0.0/8"], ["10.0.0.0"]],
  cidrv6: [z.cidrv6(), ["2001:db8::/32"], ["2001:db8::"]],
  base64: [z.base64(), ["YWJj"], ["YWJ"]],
  base64url: [z.base64url(), ["YWJj"], ["Y/"]],
  jwt: [z.jwt(), ["eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.e30.ZRrHA1JJJW8opsbCGfG_HACGpVUMN_a9IV7pAx_Zmeo"], []],
  e164: [z.e164(), ["+14155552671"], ["123"]],
  hostname: [z.hostname(), ["example.org"], ["-a"]],
  "iso date": [z.iso.date(), ["2024-02-29", "2020-01-31"], ["2023-02-29"]],
  "iso time": [z.iso.time(), ["07:08:09"], ["25:08:09"]],
  "iso datetime": [z.iso.datetime(), ["2024-05-06T07:08:09Z"], ["2024-05-06"]],
  "iso duration": [z.iso.duration(), ["P3DT4H5M6S"], ["3 d"]],
  "template literal": [z.templateLiteral(["v", z.number(), "-", z.enum(["a", "b"])]), ["v1-a"], ["v1-c"]],
  gte: [z.number().gte(0.5), [0.5, 2], [0.25]],
  "bounds of fractions": [z.number().gt(-90.5).lt(90.5), [52.520008], [90.5]],
  positive: [z.number().positive(), [0.001], [0]],
  negative: [z.number().negative(), [-1.5], [0]],
  nonnegative: [z.number().nonnegative(), [0], [-0.5]],
  multipleOf: [z.number().multipleOf(5), [10, -15], [7]],
  step: [z.number().multipleOf(0.01), [1.25], [1.255]],
  "bounds of integers": [z.int().min(-3).max(10), [-3, 10], [11]],
  brand: [z.string().brand("x"), ["a"], [1]],
  refine: [z.string().refine((text) => text.length < 9), ["abc"], []],
  describe: [z.string().describe("words").meta({ title: "T", examples: ["x"] }), ["a"], [1]],
  pipe: [z.string().pipe(z.string().min(2)), ["ab"], ["a"]],
  keyof: [person.keyof(), ["name"], ["other"]],
  json: [z.json(), [{ a: [1, null, "x"] }], []],
};

const lines = [];
for (const [name, [schema, good, bad]] of Object.entries(features)) {
  for (const value of good) {
    if (!schema.safeParse(value).success) throw new Error(`${name} refuses ${JSON.stringify(value)}`);
  }
  for (const value of bad) {
    // An object without a word about others takes and drops them.
    if (schema.safeParse(value).success) throw new Error(`${name} takes ${JSON.stringify(value)}`);
  }
  const tests = [
    ...good.map((data) => ({ valid: true, data })),
    ...bad.map((data) => ({ valid: false, data })),
  ];
  lines.push(JSON.stringify({ name, schema: z.toJSONSchema(schema, { cycles: "ref" }), tests }));
}
console.log(`{"zod": ${JSON.stringify(version)}, "features": [\n${lines.join(",\n")}\n]}`);
