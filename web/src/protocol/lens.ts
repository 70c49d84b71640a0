/** What the worker answers to the Lens panel: the views. Numbers come as buffers. */

/** A token, its text, and a number that the question was about. */
export type Named = readonly [id: number, text: string, value: number];

/** Of each view that needs a pass over the text: bytes that it keeps, or products that it computes. */
export interface LookCosts {
  readonly patterns: number;
  readonly neurons: number;
  readonly grid: number;
  readonly parts: number;
}

/** A text that is looked into; nothing of it is computed yet. */
export interface LookInfo {
  /** The number that the other questions name. */
  readonly look: number;
  readonly tokens: readonly (readonly [text: string, id: number])[];
  /** The first so many come from the prompt. */
  readonly given: number;
  readonly layers: number;
  readonly heads: number;
  readonly dim: number;
  readonly hidden: number;
  readonly vocabulary: number;
  readonly parameters: number;
  /** Of one layer, but for the logit lens, which needs all. */
  readonly bytes: LookCosts;
  readonly products: LookCosts;
  /** Bytes and products from which on the visitor is asked first. */
  readonly most: readonly [bytes: number, products: number];
}

/** The logit lens: records of `best` ids, `best` log-probabilities, rank, log-probability, entropy. */
export interface LensGrid {
  readonly best: number;
  readonly depths: number;
  readonly texts: Readonly<Record<number, string>>;
  readonly records: ArrayBuffer;
}

export type LensPart = readonly [
  kind: "embed" | "position" | "head" | "conv" | "scan" | "mlp" | "bias",
  layer: number | null,
  head: number | null,
  value: number,
];

/** A logit, or a difference of two, as a sum; `rest` is what rounding leaves. */
export interface LensParts {
  readonly token: number;
  readonly text: string;
  readonly value: number;
  readonly rest: number;
  readonly parts: readonly LensPart[];
  /** The tokens with the largest logits there. */
  readonly best: readonly Named[];
}

export interface NeuronWrites {
  readonly promoted: readonly Named[];
  readonly suppressed: readonly Named[];
}

export interface Similar {
  readonly nearest: readonly Named[];
  /** Cosines to the text's tokens. */
  readonly text: readonly number[];
}

export type TensorRow = readonly [name: string, type: string, shape: readonly number[]];

/** A matrix, every so many rows of it: float32 weights, then how far storing has moved each. */
export interface LensMatrix {
  readonly type: string;
  readonly every: number;
  readonly rows: number;
  readonly cols: number;
  readonly numbers: ArrayBuffer;
}

export interface LensService {
  /** Look at a text: a prompt, and a JSON list of the tokens that were written after it. */
  begin(session: number, prompt: string, ids: string): LookInfo;
  close(look: number): void;
  /** Seconds that a pass takes, by a pass over the first tokens. */
  passSeconds(look: number): number;
  /** float32, [layer, head, pos, key], of the layers `first` to `last`. */
  patterns(look: number, first: number, last: number): ArrayBuffer;
  grid(look: number): LensGrid;
  parts(look: number, position: number, token: number | null, against: number | null): LensParts;
  /** float32, [pos, neuron]. */
  neurons(look: number, layer: number): ArrayBuffer;
  writes(look: number, layer: number, neuron: number): NeuronWrites;
  similar(look: number, position: number): Similar;
  tensors(look: number): TensorRow[];
  matrix(look: number, name: string): LensMatrix;
}
