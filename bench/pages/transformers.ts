/** transformers.js with its WebAssembly backend, through its public API. */

import { AutoModelForCausalLM, PreTrainedModel, Tensor, env } from "@huggingface/transformers";
import type { ModelSpec, Prompt, Runner, Sample } from "./types";
import { Stopwatch } from "./types";

export class TransformersRunner implements Runner {
  #model: PreTrainedModel | null = null;

  async load(model: ModelSpec, threads: number): Promise<string | null> {
    const { wasm } = env.backends.onnx;
    if (wasm) {
      const folder = new URL(".", import.meta.url).href;
      wasm.numThreads = threads;
      wasm.wasmPaths = {
        mjs: `${folder}ort-wasm-simd-threaded.mjs`,
        wasm: `${folder}ort-wasm-simd-threaded.wasm`,
      };
    }
    env.allowRemoteModels = false;
    env.allowLocalModels = true;
    env.useBrowserCache = false;
    const slash = model.onnx.lastIndexOf("/") + 1;
    env.localModelPath = model.onnx.slice(0, slash);
    await this.#model?.dispose();
    this.#model = await AutoModelForCausalLM.from_pretrained(model.onnx.slice(slash), {
      device: "wasm",
      dtype: "fp32", // the file as it is; what is in it is quantized already
    });
    return null;
  }

  async generate(prompt: Prompt, tokens: number): Promise<Sample> {
    if (!this.#model) throw new Error("no model is loaded");
    const shape = [1, prompt.ids.length];
    const ids = new Tensor("int64", BigInt64Array.from(prompt.ids, BigInt), shape);
    const mask = new Tensor("int64", new BigInt64Array(prompt.ids.length).fill(1n), shape);
    let written = -1; // the prompt is put in first, and is not a token of its own
    const watch = new Stopwatch();
    await this.#model.generate({
      input_ids: ids,
      attention_mask: mask,
      max_new_tokens: tokens,
      do_sample: false,
      streamer: {
        put: () => {
          if (written >= 0) watch.piece();
          written += 1;
        },
        end: () => undefined,
      },
    } as never);
    return watch.sample(prompt.ids.length, written);
  }
}
