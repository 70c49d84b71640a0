/** What the driver and the pages agree on; bench/browser.py is the other side. */

/** A model as the driver names it. */
export interface ModelSpec {
  /** In `build.json`, for Thimble. */
  readonly name: string;
  /** The same file, for the peers. */
  readonly url: string;
  /** Folder of the equivalent ONNX model, for transformers.js. */
  readonly onnx: string;
}

export interface Prompt {
  readonly text: string;
  readonly ids: readonly number[];
}

/** One generation, as the page received it. */
export interface Sample {
  readonly promptTokens: number;
  /** From the question to the first token. */
  readonly promptMs: number;
  readonly tokens: number;
  /** From the first token to the last. */
  readonly decodeMs: number;
}

/** Something that runs models; one of them to a page. */
export interface Runner {
  /** Load a model in place of the one before; the text says why it cannot, or is null. */
  load(model: ModelSpec, threads: number): Promise<string | null>;
  /** Write `tokens` tokens greedily after the prompt, which is read afresh. */
  generate(prompt: Prompt, tokens: number): Promise<Sample>;
}

/** When the first and the last piece of a text came. */
export class Stopwatch {
  readonly #began = performance.now();
  #first = 0;
  #last = 0;

  piece(): void {
    this.#last = performance.now();
    this.#first ||= this.#last;
  }

  sample(promptTokens: number, tokens: number): Sample {
    return {
      promptTokens,
      promptMs: this.#first - this.#began,
      tokens,
      decodeMs: this.#last - this.#first,
    };
  }
}
