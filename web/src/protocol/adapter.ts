/** What is said about an adapter on a session's model (docs/training-panel.md). */

export interface AdapterInfo {
  readonly name: string;
  /** The model's own name. */
  readonly model: string;
  readonly strength: number;
  readonly rank: number;
  readonly parameters: number;
}

/** Tokens as texts, with their probabilities, the likeliest first. */
export type NextTokens = readonly (readonly [text: string, probability: number])[];

/** What fine-tuning the session's model will take. */
export interface TuningCost {
  /** Why it cannot be; empty where it can. */
  readonly refused: string;
  /** Of memory, at most. */
  readonly bytes: number;
  /** Of the whole run, about. */
  readonly seconds: number;
}

export interface AdapterService {
  /** Put an adapter's file on the session's model; another one that is on is taken off. */
  put(session: number, name: string, file: Uint8Array, strength: number): Promise<AdapterInfo>;
  /** 0 is the model alone, 1 the adapter as trained. All sessions of the model follow. */
  turn(session: number, strength: number): Promise<AdapterInfo | null>;
  remove(session: number): Promise<void>;
  describe(session: number): Promise<AdapterInfo | null>;
  /** What fine-tuning by a recipe will take, before it begins. */
  cost(session: number, recipe: string): Promise<TuningCost>;
  /** Next tokens after a prompt, with the adapter as it stands. */
  next(session: number, prompt: string): Promise<NextTokens>;
}
