/** What the worker says of the machine. */

/** What a token costs a session's model at least, and what one thread of this machine can do. */
export interface MachineLimits {
  readonly name: string;
  readonly parameters: number;
  readonly contextWindow: number;
  /** Of the matrices that each token reads. */
  readonly bytes: number;
  /** Multiply-adds of a token: with quantized matrices, and with others. */
  readonly products: number;
  readonly floats: number;
  /** Bytes of these matrices read a second. */
  readonly read: number;
  /** Multiply-adds a second; null where the model has none of the kind. */
  readonly productRate: number | null;
  readonly floatRate: number | null;
  /** Threads that compute the model; the rates are those of one. */
  readonly threads: number;
}

export interface LimitsService {
  /** Measures for about a quarter of a second. */
  of(session: number): MachineLimits;
}
