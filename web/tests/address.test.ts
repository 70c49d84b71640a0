import assert from "node:assert/strict";
import test from "node:test";
import { addressOf, fileOf, nameOf, orderFiles, partsOf } from "../src/bring/address";

test("a place on Hugging Face is written in any of its ways", () => {
  const file = "https://huggingface.co/somebody/models/resolve/main/a/tiny.gguf";
  for (const words of [
    "hf.co/somebody/models/a/tiny.gguf",
    " https://huggingface.co/somebody/models/blob/main/a/tiny.gguf ",
    "https://www.huggingface.co/somebody/models/resolve/main/a/tiny.gguf?download=true",
  ]) {
    assert.equal(addressOf(words).href, file);
  }
  const branch = "huggingface.co/somebody/models/blob/v2/tiny.gguf";
  assert.equal(addressOf(branch).href, "https://huggingface.co/somebody/models/resolve/v2/tiny.gguf");
});

test("any other address is taken as it is, over https or from this machine", () => {
  for (const address of ["https://example.org/a.gguf", "http://localhost:8000/a.gguf", "http://127.0.0.1/a.gguf"]) {
    assert.equal(addressOf(address).href, address);
  }
});

test("what is none says what would be right", () => {
  assert.throws(() => addressOf("tiny"), /^Error: tiny is not an address; use https:/);
  assert.throws(() => addressOf(" "), /nothing is not an address/);
  assert.throws(() => addressOf("http://example.org/a.gguf"), /http:\/\/; only https:/);
  assert.throws(() => addressOf("file:///etc/passwd"), /begins with file:/);
  assert.throws(() => addressOf("hf.co/somebody/models"), /somebody\/models names no file/);
  assert.throws(() => addressOf("hf.co/somebody/models/blob/main"), /names no file/);
});

test("a file's name says all parts of its model", () => {
  const one = new URL("https://example.org/m/large-00002-of-00003.gguf?x=1");
  assert.deepEqual(partsOf(one), [1, 2, 3].map((n) => `https://example.org/m/large-0000${n}-of-00003.gguf?x=1`));
  const alone = new URL("https://example.org/m/tiny.gguf");
  assert.deepEqual(partsOf(alone), [alone.href]);
  for (const of of ["00000", "00065", "99999"]) {
    assert.throws(() => partsOf(new URL(`https://example.org/a-00001-of-${of}.gguf`)), /at most 64 are supported/);
  }
});

test("chosen parts are put in order, and a missing one is named", () => {
  const files = [2, 3, 1].map((n) => new File([], `large-0000${n}-of-00003.gguf`));
  assert.deepEqual(orderFiles(files).map(({ name }) => name.slice(6, 11)), ["00001", "00002", "00003"]);
  assert.throws(() => orderFiles(files.slice(1)), /part 2 of 3 is missing: choose large-00002-of-00003.gguf too/);
  const single = new File([], "tiny.gguf");
  assert.deepEqual(orderFiles([single]), [single]);
  assert.throws(() => orderFiles([single, single]), /2 files were chosen/);
});

test("a model is called after its file", () => {
  assert.equal(nameOf("tiny.GGUF"), "tiny");
  assert.equal(nameOf("large-00001-of-00003.gguf"), "large");
  assert.equal(nameOf(".gguf"), "model");
  assert.equal(fileOf("https://example.org/a/my%20model.gguf?x"), "my model.gguf");
});
