/** What the worker says of a model that is not here yet. */

export interface ModelEstimate {
  readonly name: string;
  readonly architecture: string;
  readonly parameters: number;
  /** Encodings of its matrices, the most used first. */
  readonly types: readonly string[];
  /** Whether it has a chat template. */
  readonly chat: boolean;
  /** Of the file. */
  readonly bytes: number;
  /** Tokens of its context. */
  readonly window: number;
  /** Bytes of memory: weights with the cache of a short text, and of the longest one. */
  readonly needed: number;
  readonly neededFull: number;
  /** Bytes that a model may take in a page, and whether this one stays below. */
  readonly limit: number;
  readonly fits: boolean;
  /** What a token reads, and its multiply-adds with quantized and with other matrices. */
  readonly reads: number;
  readonly quantized: number;
  readonly floats: number;
}

/** What was found, or how many bytes it takes to find it. */
export interface Examined {
  readonly estimate: ModelEstimate | null;
  readonly more: number;
}

/** One of a model's files, and how many of its first bytes are here. */
export type PartHead = readonly [name: string, here: number, size: number];

/** How the parts of a model become one file. */
export interface Joined {
  /** What stands before the tensors' bytes; behind it comes each part, from its start on. */
  readonly header: ArrayBuffer;
  readonly starts: readonly number[];
}

/** What was found, or of which part how many bytes it takes to find it. */
export interface JoinAnswer {
  readonly joined: Joined | null;
  readonly part: number;
  readonly more: number;
}

/** What one thread could do at best. */
export interface ModelSpeed {
  /** Tokens a second. */
  readonly speed: number;
  readonly by: "memory" | "arithmetic";
  /** Bytes a second. */
  readonly read: number;
}

/** A model whose bytes come by a port, from the page that fetches them; see bring/feed.ts. */
export interface ComingModel {
  /** Unlike that of any model in memory. */
  readonly name: string;
  readonly bytes: number;
  /** Null where nobody said it. */
  readonly sha256: string | null;
  readonly port: MessagePort;
}

export interface BringService {
  /** What a file's first bytes say. */
  examine(head: ArrayBuffer, total: number | null): Examined;
  /** The parts' first bytes, one behind the other; or which part's are too few. */
  join(heads: ArrayBuffer, parts: readonly PartHead[]): JoinAnswer;
  /** Measures for about a quarter of a second. */
  speed(reads: number, quantized: number, floats: number): ModelSpeed;
  /** Whether the browser gives so many bytes to one page now. */
  hasMemory(bytes: number): boolean;
}
