/** What of WebAssembly's vector instructions this browser has, asked with the smallest modules. */

import type { Kernels } from "../protocol";

const HEAD = [0, 97, 115, 109, 1, 0, 0, 0];
/** (module (func (result v128) (i8x16.splat (i32.const 0)))) */
const SIMD = [1, 5, 1, 96, 0, 1, 123, 3, 2, 1, 0, 10, 8, 1, 6, 0, 65, 0, 253, 15, 11];
/** A function of three vectors: i32x4.relaxed_dot_i8x16_i7x16_add_s of them. */
const RELAXED = [
  1, 8, 1, 96, 3, 123, 123, 123, 1, 123, 3, 2, 1, 0, 10, 13, 1, 11, 0, 32, 0, 32, 1, 32, 2, 253,
  147, 2, 11,
];

function accepts(body: readonly number[]): boolean {
  return (
    typeof WebAssembly === "object" && WebAssembly.validate(new Uint8Array([...HEAD, ...body]))
  );
}

/** SIMD is what the kernels are made of. */
export function hasSimd(): boolean {
  return accepts(SIMD);
}

/** The fastest compilation of the kernels that runs here. */
export function bestKernels(): Kernels {
  return accepts(RELAXED) ? "relaxed" : "base";
}
