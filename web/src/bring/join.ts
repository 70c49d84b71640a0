/** A model in several files, as one: what llama.cpp's gguf-split has cut is put together again. */

import type { LiveSession } from "../live";
import type { Joined, PartHead } from "../protocol/bring";

/** Only the first part has the vocabulary, so the others' heads are short. */
const FIRST_BYTES = [2 ** 20, 2 ** 16];

/** A part that can be read from its beginning. */
export interface Part {
  readonly name: string;
  readonly size: number;
  read(bytes: number): Promise<ArrayBuffer>;
}

/** Find out by the parts' first bytes how they become one; rejects where they are not one model's. */
export async function join(live: LiveSession, parts: readonly Part[]): Promise<Joined> {
  const wanted = parts.map((_, at) => FIRST_BYTES[Math.min(at, FIRST_BYTES.length - 1)] ?? 0);
  const heads: ArrayBuffer[] = [];
  for (const [at, part] of parts.entries()) heads.push(await part.read(wanted[at] ?? 0));
  for (;;) {
    const told = heads.map((head, at): PartHead => {
      const { name = "", size = 0 } = parts[at] ?? {};
      return [name, head.byteLength, size];
    });
    const together = await new Blob(heads).arrayBuffer();
    const answer = await live.ask((engine) => engine.bring.join(together, told));
    if (answer.joined) return answer.joined;
    const { part, more } = answer;
    const short = parts[part];
    if (!short) throw new Error(`there is no part ${part + 1}`);
    heads[part] = await short.read(more);
  }
}

/** The parts of a model that the visitor has opened, as one file; a file alone is itself. */
export async function joinFiles(live: LiveSession, files: readonly File[]): Promise<File> {
  const [first] = files;
  if (!first) throw new Error("there is no file");
  if (files.length === 1) return first;
  const { header, starts } = await join(live, files.map((file) => ({
    name: file.name, size: file.size, read: (bytes) => file.slice(0, bytes).arrayBuffer(),
  })));
  return new File([header, ...files.map((file, at) => file.slice(starts[at]))], first.name);
}
