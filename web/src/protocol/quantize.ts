/** What the worker answers to whoever makes a model smaller. */

/** Told on the port: bytes of the model's tensors that were read, of all of them. */
export interface QuantizeNews {
  readonly done: number;
  readonly total: number;
}

export interface QuantizedFile {
  /** Null where it was stopped. */
  readonly file: Blob | null;
  /** Why the result is worse than it might be. */
  readonly warning: string | null;
}

/** An encoding, and the bytes of a weight in it. */
export type Encoding = readonly [name: string, bytes: number];

export interface QuantizeService {
  /** The encodings that a model can be given, and the bytes of a weight in each, the smallest first. */
  types(): Encoding[];
  /** Write a model's file anew, its matrices in another encoding. Null on the port is the end. */
  run(name: string, source: Blob, encoding: string, port: MessagePort): Promise<QuantizedFile>;
  stop(): void;
}
