/**
 * The matrix products by themselves: the site's own kernels, in a memory of their own, one thread.
 * bench/micro.py asks the same of the native library.
 */

import { bestKernels } from "../../web/src/api/simd";

export const FILES = { base: "kernels.wasm", relaxed: "kernels_relaxed.wasm" };
const PAGE = 65_536;
const MOST = 2 ** 31;
/** Long enough against the clock and short enough against a change of mind of the machine. */
const AT_LEAST_MS = 60;

type Kernel = (...args: number[]) => number;

/** One product's speed; the fields are bench/results.py's. */
interface Micro {
  /** With which kernels. */
  readonly where: string;
  readonly encoding: string;
  readonly rows: number;
  readonly cols: number;
  readonly tokens: number;
  /** Of the packed matrix. */
  readonly bytes: number;
  /** Multiply-adds a second, one value a repetition. */
  readonly values: number[];
}

/** Encodings by ggml's numbers, with the bytes of a block of so many columns in a file. */
const ENCODINGS: Record<string, { type: number; block: number; columns: number }> = {
  Q8_0: { type: 8, block: 34, columns: 32 },
  Q4_0: { type: 2, block: 18, columns: 32 },
  F16: { type: 1, block: 2, columns: 1 },
  F32: { type: 0, block: 4, columns: 1 },
};

/** A layer's product, and a vocabulary's, which no cache holds. */
const SHAPES: readonly (readonly [rows: number, cols: number])[] = [
  [768, 288],
  [768, 768],
  [32_000, 768],
];
const TOKENS = [1, 32];

export class Kernels {
  private constructor(
    readonly memory: WebAssembly.Memory,
    private readonly exports: Record<string, Kernel>,
  ) {}

  static async load(name: string): Promise<Kernels> {
    const build = (await (await fetch("/build.json")).json()) as { assets: Record<string, string> };
    const file = build.assets[name];
    if (!file) throw new Error("not there yet: the site has no kernels of their own");
    const memory = new WebAssembly.Memory({ initial: 256, maximum: MOST / PAGE, shared: true });
    const loaded = await WebAssembly.instantiateStreaming(fetch(`/${file}`), { env: { memory } });
    return new Kernels(memory, loaded.instance.exports as unknown as Record<string, Kernel>);
  }

  call(name: string, ...args: number[]): number {
    const kernel = this.exports[`tk_${name}`];
    if (!kernel) throw new Error(`not there yet: there is no kernel ${name}`);
    return kernel(...args);
  }

  alloc(bytes: number): number {
    const at = this.call("alloc", bytes);
    if (at === 0) throw new Error(`no memory for ${bytes} bytes`);
    return at;
  }

  /** A matrix of zeros: as fast as any other, and finite in every encoding. */
  matrix(type: number, rows: number, cols: number, rowBytes: number): number {
    const tensor = this.call("tensor_new", type, rows, cols);
    if (tensor === 0) throw new Error(`no memory for ${rows} × ${cols}`);
    const row = this.alloc(rowBytes);
    for (let at = 0; at < rows; at += 1) this.call("pack_rows", tensor, at, 1, row);
    this.call("free", row);
    return tensor;
  }
}

export function measure(work: () => void, repeats: number): number[] {
  const values: number[] = [];
  let rounds = 1;
  for (;;) {
    const began = performance.now();
    for (let round = 0; round < rounds; round += 1) work();
    const took = performance.now() - began;
    if (took < AT_LEAST_MS) rounds *= 2;
    else if (values.push(rounds / (took / 1000)) > repeats) return values.slice(1);
  }
}

/** Every encoding, shape and number of tokens, with the kernels that the page would take; and the
 * one encoding that relaxed SIMD is for without it. */
export async function products(repeats: number): Promise<Micro[]> {
  const best = bestKernels();
  const found = await measureAll("page", FILES[best], Object.keys(ENCODINGS), repeats);
  if (best === "base") return found;
  return [...found, ...(await measureAll("page, plain SIMD", FILES.base, ["Q4_0"], repeats))];
}

async function measureAll(
  where: string,
  file: string,
  encodings: readonly string[],
  repeats: number,
): Promise<Micro[]> {
  const kernels = await Kernels.load(file);
  const found: Micro[] = [];
  for (const encoding of encodings) {
    const { type, block, columns } = ENCODINGS[encoding]!;
    for (const [rows, cols] of SHAPES) {
      const tensor = kernels.matrix(type, rows, cols, (cols / columns) * block);
      const bytes = kernels.call("tensor_bytes", tensor);
      const most = Math.max(...TOKENS);
      const x = kernels.alloc(4 * cols * most);
      new Float32Array(kernels.memory.buffer, x, cols * most).fill(0.5);
      const y = kernels.alloc(4 * (rows + 64) * most);
      for (const tokens of TOKENS) {
        const work = (): void => void kernels.call("product", tensor, x, tokens, y);
        const values = measure(work, repeats).map((each) => each * rows * cols * tokens);
        found.push({ where, encoding, rows, cols, tokens, bytes, values });
      }
      kernels.call("free", x);
      kernels.call("free", y);
      kernels.call("tensor_free", tensor);
    }
  }
  return found;
}
