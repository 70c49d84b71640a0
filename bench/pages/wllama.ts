/** wllama, which is llama.cpp in WebAssembly, through its public API. */

import type { RawCompletionChunk, RawCompletionParams } from "@wllama/wllama";
import { LoggerWithoutDebug, Wllama } from "@wllama/wllama";
import type { ModelSpec, Prompt, Runner, Sample } from "./types";
import { Stopwatch } from "./types";

/** A fresh instance; its WebAssembly lies beside this script. */
export function create(): Wllama {
  const wasm = new URL("wllama.wasm", import.meta.url).href;
  return new Wllama({ default: wasm }, { logger: LoggerWithoutDebug, suppressNativeLog: true });
}

/**
 * The fastest greedy choice that its server knows: one sampler, one candidate. The prompt is read
 * each time.
 */
export const GREEDY = {
  temperature: 0,
  top_k: 1,
  samplers: ["top_k"],
  ignore_eos: true,
  cache_prompt: false,
};

export class WllamaRunner implements Runner {
  #wllama: Wllama | null = null;

  async load(model: ModelSpec, threads: number): Promise<string | null> {
    await this.#wllama?.exit();
    this.#wllama = create();
    await this.#wllama.loadModelFromUrl(model.url, {
      useCache: false,
      n_ctx: 1024,
      n_threads: threads,
      n_gpu_layers: 0,
      n_parallel: 1,
    });
    const given = this.#wllama.getNumThreads();
    return given === threads ? null : `${threads} threads were asked for and ${given} given`;
  }

  async generate(prompt: Prompt, tokens: number): Promise<Sample> {
    if (!this.#wllama) throw new Error("no model is loaded");
    const watch = new Stopwatch();
    let read = 0;
    let written = 0;
    const options: RawCompletionParams = { prompt: prompt.text, max_tokens: tokens, ...GREEDY };
    await this.#wllama.createCompletion({
      ...options,
      stream: true,
      onData: (chunk: RawCompletionChunk) => {
        if (chunk.choices[0]?.text) watch.piece();
        if (!chunk.usage) return;
        read = chunk.usage.prompt_tokens;
        written = chunk.usage.completion_tokens;
      },
    });
    return watch.sample(read, written);
  }
}
