/** One runner in one page, driven from outside through `window.bench`. */

import { readBytes } from "./probe";
import { products } from "./products";
import { shading } from "./shading";
import { trainProducts, trainStep } from "./training";
import { ThimbleRunner } from "./thimble";
import type { ModelSpec, Prompt, Runner, Sample } from "./types";

const PATIENCE_MS = 120_000;

/** A runner that hangs is a result, not the end of the bench. */
function patiently<Value>(work: Promise<Value>): Promise<Value> {
  return new Promise((resolve, reject) => {
    const words = `no answer within ${PATIENCE_MS / 1000} s`;
    const timer = setTimeout(() => reject(new Error(words)), PATIENCE_MS);
    work.then(resolve, reject).finally(() => clearTimeout(timer));
  });
}

const RUNNERS: Record<string, () => Promise<Runner>> = {
  thimble: async () => new ThimbleRunner(),
  "thimble-details": async () => new ThimbleRunner({ details: true }),
  wllama: async () => new (await import("./wllama")).WllamaRunner(),
  "transformers.js": async () => new (await import("./transformers")).TransformersRunner(),
};

class Bench {
  #runner: Runner | null = null;

  async load(model: ModelSpec, threads: number): Promise<string | null> {
    const name = new URLSearchParams(location.search).get("runner") ?? "";
    const make = RUNNERS[name];
    if (!make) throw new Error(`there is no runner ${name}`);
    this.#runner ??= await make();
    return patiently(this.#runner.load(model, threads));
  }

  generate(prompt: Prompt, tokens: number): Promise<Sample> {
    if (!this.#runner) throw new Error("no model is loaded");
    return patiently(this.#runner.generate(prompt, tokens));
  }

  readBytes = readBytes;
  products = products;
  shading = shading;
  trainProducts = trainProducts;
  trainStep = trainStep;
}

declare global {
  interface Window {
    bench: Bench;
  }
}

window.bench = new Bench();
