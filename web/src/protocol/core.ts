/** What page and worker say to each other whichever panel is shown: models, sessions, their tokens. */

/** Raised when either side would misunderstand the other; a mismatch asks for a reload. */
export const PROTOCOL = 3;

/** Compilations of the kernels: with relaxed SIMD they are faster, and give the same bits. */
export type Kernels = "base" | "relaxed";

/** Where Pyodide lies, and how large its files are, unpacked, where the build says so. */
export interface Boot {
  readonly protocol: number;
  /** What the interpreter is made of: a snapshot of anything else is of no use. */
  readonly build: string;
  readonly pyodide: string;
  /** The engine's wheel. */
  readonly engine: string;
  /** The part of Python's standard library that the engine needs. */
  readonly stdlib: string;
  /** The lock file of the packages that Pyodide can load. */
  readonly lock: string;
  /** The whole of Python's standard library, for imports that the engine does not need. */
  readonly library: string;
  readonly pyodideBytes: number;
  /** Which of the engine's kernels this browser can run. */
  readonly kernels: Kernels;
  /** What threads are made of, where the page may have them. */
  readonly threads: Threads | null;
  /** Memory of two numbers: 2 in the first interrupts what a visitor's own code does, a session in
   * the second stops the work at its constraint; null without. */
  readonly interrupt: SharedArrayBuffer | null;
  /** Nothing of it is in the browser's cache yet, as far as we know. */
  readonly firstVisit: boolean;
}

/** How Python started: from the last visit's snapshot, or anew because of something. */
export interface Start {
  readonly from: "snapshot" | "packages";
  /** Why not from a snapshot. */
  readonly because: string | null;
}

/** The kernels for a shared memory, the script of a thread, and how many there may be. */
export interface Threads {
  readonly kernels: string;
  readonly script: string;
  readonly count: number;
}

/** Where a model comes from: an address, a file that the visitor chose, or a port that brings it. */
/** As what keys and values are kept: exactly, in half precision, or in 8 bits. */
export type KvType = "f32" | "f16" | "q8_0";

export interface ModelSource {
  readonly name: string;
  readonly from: string | Blob | MessagePort;
  /** Whether it is looked for among the saved models, and saved when it has come. */
  readonly keep: boolean;
  /** Of the whole file; null if nobody knows. */
  readonly bytes: number | null;
  readonly sha256: string | null;
  /** As what its sessions keep keys and values unless told otherwise; null: by how much they take. */
  readonly kvType: KvType | null;
  /** Whether one that gives vectors, and writes nothing, is of use. */
  readonly encoders: boolean;
  /** Past the browser's cache: what came last time was no good. */
  readonly fresh: boolean;
  /** Models in memory that no session uses and that make room for this one. */
  readonly instead: readonly string[];
}

export interface ModelInfo {
  readonly name: string;
  readonly parameters: number;
  readonly bytes: number;
  readonly architecture: string;
  readonly layers: number;
  readonly dim: number;
  readonly vocabulary: number;
  readonly contextWindow: number;
  /** Threads that compute it. */
  readonly threads: number;
}

/** What the visitor is waiting for: bytes, then Python, then the model's way into its memory. */
export type Stage = "download" | "python" | "model" | "ready";

export interface LoadProgress {
  readonly stage: Stage;
  /** Of the whole way, from 0 to 1. */
  readonly loaded: number;
  readonly bytes: number;
  readonly totalBytes: number;
}

/** One token: text, id, log-probability, entropy, and the best [id, text, log-probability]. */
export type TokenRow = readonly [
  text: string,
  id: number,
  logprob: number,
  entropy: number,
  top: readonly (readonly [id: number, text: string, logprob: number])[],
];

export type FinishReason = "stop" | "length" | "tool_calls";

/** A piece of an answer: the batch's token that brought it, what it is, its text, and of which call
 * it is. A call's text is the tool's name; its arguments are pieces of JSON. */
export type PartRow = readonly [
  token: number, kind: "content" | "reasoning" | "call" | "arguments", text: string, call: number,
];

/**
 * The tokens of about one frame: `text`, or `tokens` with their numbers, as was asked for.
 *
 * The numbers are a base64 text, since as JSON they would cost a small model a tenth of its speed.
 * A token's record is: how many alternatives, id, microseconds since the question (int32),
 * log-probability, entropy (float32), then the alternatives' ids and their log-probabilities.
 */
export interface Batch {
  readonly count: number;
  /** Tokens in the session's context now. */
  readonly context: number;
  readonly finish_reason: FinishReason | null;
  readonly text?: string;
  /** In a conversation where an answer may be more than words: what it is made of. */
  readonly parts?: readonly PartRow[];
  readonly tokens?: readonly string[];
  readonly numbers?: string;
  /** The own texts of tokens and alternatives that this generation has not had before, by id. */
  readonly texts?: Readonly<Record<number, string>>;
  /** The bytes of those among them that are a part of a character. */
  readonly bytes?: Readonly<Record<number, readonly number[]>>;
}

export interface ErrorWords {
  readonly name: string;
  readonly message: string;
}

/** Worker to page, unasked and once: before a visitor's code runs there; see worker/renounce.ts. */
export interface NoStorage {
  readonly thimble: "no storage";
}

/** What a model answers to: words of the conversation that a chat template writes down. */
export interface Message {
  readonly role: "system" | "user" | "assistant" | "tool";
  readonly content: string;
  /** Who says it, where a template tells. */
  readonly name?: string;
  /** What the assistant thought, and which tools it called. */
  readonly reasoning_content?: string;
  readonly tool_calls?: readonly ToolCall[];
  /** Which call a tool answers. */
  readonly tool_call_id?: string;
}

/** A tool that is called, its arguments as JSON. */
export interface ToolCall {
  readonly id: string;
  readonly type: "function";
  readonly function: { readonly name: string; readonly arguments: string };
}

/** A function that a model may call; its parameters are a JSON Schema. */
export interface Tool {
  readonly type: "function";
  readonly function: {
    readonly name: string;
    readonly description?: string;
    readonly parameters?: object;
    readonly strict?: boolean | null;
  };
}

/** Which tools may or must be called. */
export type ToolChoice =
  | "auto" | "none" | "required"
  | { readonly type: "function"; readonly function: { readonly name: string } };

/** A text to go on from, or a conversation to answer. */
export type Prompt = string | readonly Message[];

/** How large a prompt is, kept tokens before it included, and what of it was in the cache. */
export interface Begun {
  readonly prompt: number;
  readonly reused: number;
  /** How many of the oldest messages, those to keep aside, had no place in the context. */
  readonly left_out: number;
  /** The answer that goes on, as far as it has whole characters. */
  readonly resumed?: { readonly text: string; readonly tokens: number; readonly parts?: readonly PartRow[] };
}

/** Worker to page, on a generation's port, the prompt first; the last is "done" or "failed". */
export type FromRun =
  | ({ readonly type: "begun" } & Begun)
  | { readonly type: "batch"; readonly batch: Batch }
  | { readonly type: "done"; readonly context: number }
  | { readonly type: "failed"; readonly error: ErrorWords };

/** Page to worker, on a generation's port. */
export type ToRun = { readonly type: "stop" };

/** What every page asks. */
export interface Core {
  boot(boot: Boot): Promise<Start>;
  /** Make the snapshot that the next visit starts from; for a worker that does nothing else. */
  keepSnapshot(boot: Boot): Promise<void>;
  load(source: ModelSource, progress: (progress: LoadProgress) => void): Promise<ModelInfo>;
  cancelLoad(name: string): void;
  /** Free a model that no session uses. */
  drop(name: string): void;
  open(model: string, defaults: string): number;
  clone(session: number): number;
  destroy(session: number): void;
  tokenize(session: number, text: string): number[];
  generate(session: number, prompt: Prompt, options: string, port: MessagePort): void;
  /** For tests of the bit promise: SHA-256 over the logits at every position. */
  logitsHash(session: number, tokens: readonly number[]): string;
}
