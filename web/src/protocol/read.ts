/** What the worker answers to the Read panel. */

/** A token: like TokenRow, with nulls where nothing came before that could predict it. */
export type ReadRow = readonly [
  text: string,
  id: number,
  logprob: number | null,
  entropy: number | null,
  top: readonly (readonly [id: number, text: string, logprob: number])[],
];

/** A line of the text: its tokens, the bytes and nats of those that were predicted, its words. */
export type ReadPart = readonly [
  start: number,
  end: number,
  bytes: number,
  nats: number,
  words: string,
];

export interface ReadPlan {
  /** The number that the other questions name. */
  readonly reading: number;
  readonly tokens: number;
  /** Tokens that are looked at together; longer texts are read in windows. */
  readonly window: number;
}

export interface ReadStep {
  readonly done: number;
  readonly total: number;
  readonly nats: number;
  /** Of the tokens that were predicted. */
  readonly bytes: number;
  readonly rows: readonly ReadRow[];
}

export interface ReadService {
  /** Get ready to read a text with a session's model, in a session of its own. */
  begin(session: number, text: string, top: number): ReadPlan;
  /** Read on for about so long; the rows are those new ones that are from `start` to `end`. */
  step(reading: number, milliseconds: number, start: number, end: number): ReadStep;
  rows(reading: number, start: number, end: number): ReadRow[];
  parts(reading: number): ReadPart[];
  close(reading: number): void;
}
