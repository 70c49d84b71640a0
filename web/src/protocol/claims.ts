/** What the worker answers to the panel of claims. */

/** A request that a context of this page made. */
export interface SeenRequest {
  readonly url: string;
  /** Bytes that came by the network, head included; 0 out of a cache. */
  readonly bytes: number;
  /** Milliseconds from the question to the whole answer. */
  readonly milliseconds: number;
  /** When it began, in milliseconds since 1970. */
  readonly began: number;
}

/** A head that was switched off, and what the text's passages then cost. */
export interface Ablated {
  readonly layer: number;
  readonly head: number;
  /** Its attention to the token before, from 0 to 1. */
  readonly score: number;
  /** Seconds that finding it took. */
  readonly search: number;
  readonly passages: readonly (readonly [bytes: number, before: number, after: number, seconds: number])[];
  /** Bits per byte of all of them, with the head and without. */
  readonly bits: readonly [before: number, after: number];
}

export interface AblationWork {
  readonly done: number;
  readonly total: number;
  /** Null until it is done. */
  readonly result: Ablated | null;
}

export interface ClaimsService {
  /** Milliseconds of the same piece of arithmetic, several times: what the machine gives now. */
  probe(): number[];
  /** Begin to note this worker's requests. */
  watch(): void;
  /** Those since then; it goes on noting. */
  seen(): SeenRequest[];
  /** Those since the worker began, as far as the browser keeps them. */
  fetched(): SeenRequest[];
  /** Ask for an address on purpose; whether an answer came. */
  askFor(url: string): Promise<boolean>;
  /** Bytes of the memory that Python, the engine and its models are in. */
  memory(): number;
  ablate(session: number, text: string): { readonly total: number };
  work(milliseconds: number): AblationWork;
  end(): void;
}
