/** Training: its matrix products by themselves, and whole steps in the page's own training worker. */

import { Build } from "../../web/src/api/build";
import { EngineHost } from "../../web/src/api/engine";
import { bestKernels } from "../../web/src/api/simd";
import { FILES, Kernels, measure } from "./products";

/** Square single-precision products of this width: multiply-adds a second, one thread. */
export async function trainProducts(width: number, repeats: number): Promise<number[]> {
  const kernels = await Kernels.load(FILES[bestKernels()]);
  const bytes = 4 * width * width;
  const [a, b, c] = [kernels.alloc(bytes), kernels.alloc(bytes), kernels.alloc(bytes)];
  for (const at of [a, b]) new Float32Array(kernels.memory.buffer, at, width * width).fill(0.5);
  const work = (): void => void kernels.call("train_product", c, a, b, width, width, width, 1);
  return measure(work, repeats).map((each) => each * width ** 3);
}

let host: EngineHost | null = null;

/** Seconds that one step of a recipe takes, when all is warm. */
export async function trainStep(recipe: string, text: string): Promise<number> {
  host ??= new EngineHost(await Build.read(new URL("/thimble.js", location.href).href), {
    keepsSnapshot: false,
  });
  return host.call((engine) => engine.train.measure(recipe, text));
}
