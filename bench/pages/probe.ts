/** What this machine can do at best, asked in the page: kernels/probe.c as WebAssembly. */

interface Probe {
  readonly memory: WebAssembly.Memory;
  probe_buffer(): number;
  probe_read(at: number, bytes: number): number;
  probe_products_a_round(): number;
  probe_products(rounds: number): number;
  probe_floats_a_round(): number;
  probe_floats(rounds: number): number;
}

async function load(): Promise<Probe> {
  const { instance } = await WebAssembly.instantiateStreaming(fetch("/assets/bench/probe.wasm"));
  return instance.exports as unknown as Probe;
}

export interface Limits {
  /** Bytes read a second, one value a repetition. */
  readonly read: number[];
  /** 16-bit multiply-adds a second that never leave the registers. */
  readonly products: number[];
  /** The same in single precision. */
  readonly floats: number[];
}

/** Read `bytes` of memory, and multiply `rounds` times, `repeats` times each. */
export async function readBytes(bytes: number, rounds: number, repeats: number): Promise<Limits> {
  const probe = await load();
  const at = probe.probe_buffer();
  const missing = at + bytes - probe.memory.buffer.byteLength;
  if (missing > 0) probe.memory.grow(Math.ceil(missing / 65_536));
  new Uint8Array(probe.memory.buffer, at, bytes).fill(1); // pages that were never written are all one
  const limits: Limits = { read: [], products: [], floats: [] };
  for (let repeat = 0; repeat <= repeats; repeat += 1) {
    const began = performance.now();
    probe.probe_read(at, bytes);
    const between = performance.now();
    probe.probe_products(rounds);
    const after = performance.now();
    probe.probe_floats(rounds);
    const ended = performance.now();
    if (repeat === 0) continue; // compiled by now
    limits.read.push((1000 * bytes) / (between - began));
    limits.products.push((1000 * rounds * probe.probe_products_a_round()) / (after - between));
    limits.floats.push((1000 * rounds * probe.probe_floats_a_round()) / (ended - after));
  }
  return limits;
}
