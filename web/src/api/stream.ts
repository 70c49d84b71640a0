/** A generation as a ReadableStream. */

import type { Batch, FinishReason, FromRun, PartRow, Prompt } from "../protocol";
import { abortable } from "./abort";
import type { EngineHost } from "./engine";
import { ThimbleError } from "./errors";

/** One of the most probable tokens at a position. */
export interface TopLogprob {
  readonly id: number;
  readonly text: string;
  /** The token's own, which may be a part of a character. */
  readonly bytes?: readonly number[];
  readonly logprob: number;
}

/** One token. `text` may be "" while a character or a stop text is incomplete. */
export interface TokenChunk {
  readonly text: string;
  readonly id: number;
  /** The token's own text, whatever of it can be shown yet; U+FFFD for a part of a character. */
  readonly token?: string;
  readonly bytes?: readonly number[];
  /** Natural logarithm of the model's own probability, before temperature and the rest. */
  readonly logprob: number;
  /** Of the model's distribution at this position, in nats. */
  readonly entropy: number;
  readonly top_logprobs: readonly TopLogprob[];
  /** Milliseconds from the question until this token was there, by the engine's clock. */
  readonly milliseconds?: number;
  /** In a conversation where an answer may be more than words: what the token brought to it. */
  readonly parts?: readonly Part[];
  /** On the last token: "stop" (the text's end, or a stop text), "length" or "tool_calls". */
  readonly finish_reason: FinishReason | null;
}

/** A piece of an answer. A call's text is the tool's name; its arguments are pieces of JSON. */
export interface Part {
  readonly kind: PartRow[1];
  readonly text: string;
  /** Of which call of the answer, from 0. */
  readonly call: number;
}

/** Tokens' own texts and bytes by their ids: what this generation has been told. */
export type Texts = Map<number, { readonly text: string; readonly bytes: readonly number[] }>;

const UNKNOWN = { text: "", bytes: [] } as const;
const utf8 = new TextEncoder();

/** Take note of what a batch says of tokens. */
function learn({ texts: fresh = {}, bytes = {} }: Batch, texts: Texts): void {
  for (const [name, text] of Object.entries(fresh)) {
    const id = Number(name);
    const part = bytes[id];
    texts.set(id, { text, get bytes() { return part ?? [...utf8.encode(text)]; } });
  }
}

/** What a batch says to the user. */
export function wordsOf({ parts, text = "" }: Batch): string {
  return parts ? parts.filter(([, kind]) => kind === "content").map(([, , words]) => words).join("") : text;
}

/** int32 or float32 numbers ahead of a record's alternatives: see `Batch`. */
const HEAD = 5;

/** What a batch brings: a text, or a chunk a token where it has their numbers. */
export function chunksOf(batch: Batch, texts: Texts): (string | TokenChunk)[] {
  if (!batch.tokens) {
    const text = wordsOf(batch);
    return text ? [text] : [];
  }
  learn(batch, texts);
  const bytes = Uint8Array.from(atob(batch.numbers ?? ""), (byte) => byte.charCodeAt(0));
  const whole = new Int32Array(bytes.buffer);
  const real = new Float32Array(bytes.buffer);
  const last = batch.tokens.length - 1;
  const parts = batch.parts?.map(([token, kind, text, call]) => ({ token, part: { kind, text, call } }));
  let next = 0;
  return batch.tokens.map((text, token) => {
    const at = next;
    const count = whole[at] ?? 0;
    next += HEAD + 2 * count;
    let alternatives: readonly TopLogprob[] | null = null;
    const own = texts.get(whole[at + 1] ?? 0) ?? UNKNOWN;
    return {
      text,
      id: whole[at + 1] ?? 0,
      token: own.text,
      get bytes() { return own.bytes; },
      logprob: real[at + 3] ?? 0,
      entropy: real[at + 4] ?? 0,
      ...(parts ? { parts: parts.filter((one) => one.token === token).map(({ part }) => part) } : {}),
      finish_reason: token === last ? batch.finish_reason : null,
      milliseconds: (whole[at + 2] ?? 0) / 1000,
      // Few are ever looked at.
      get top_logprobs() {
        alternatives ??= Array.from({ length: count }, (_, n) => {
          const id = whole[at + HEAD + n] ?? 0;
          const { text, bytes } = texts.get(id) ?? UNKNOWN;
          return { id, text, bytes, logprob: real[at + HEAD + count + n] ?? 0 };
        });
        return alternatives;
      },
    };
  });
}

export interface Generation {
  readonly host: EngineHost;
  readonly session: number;
  readonly prompt: Prompt;
  /** The options as JSON. */
  readonly options: string;
  /** Aborted to stop; its reason is the stream's error. */
  readonly signal: AbortSignal;
  /** Resolves when the session is free for this generation. */
  readonly turn: Promise<void>;
  /** Told when the worker is done with the session. */
  over(): void;
  /** Told how many tokens are in the session's context. */
  usage(tokens: number): void;
  /** Told all that the worker says, as it says it. */
  hear?: ((message: FromRun) => void) | undefined;
}

/**
 * The tokens of a generation. An abort or a cancel stops the worker within one batch; an aborted
 * stream first gives what was written until then, so that its reader has what the session has.
 */
export function stream(generation: Generation): ReadableStream<string | TokenChunk> {
  const { host, session, prompt, options, signal, turn, over, usage } = generation;
  const cancelled = new AbortController();
  const ended = AbortSignal.any([signal, cancelled.signal]);
  const pending: (string | TokenChunk)[] = [];
  const texts: Texts = new Map();
  let end: (() => void) | null = null;

  function flush(to: ReadableStreamDefaultController<string | TokenChunk>): void {
    while ((to.desiredSize ?? 0) > 0) {
      const chunk = pending.shift();
      if (chunk === undefined) break;
      to.enqueue(chunk);
    }
    if (pending.length > 0 || !end) return;
    const finish = end;
    end = null;
    finish();
  }

  function run(to: ReadableStreamDefaultController<string | TokenChunk>): void {
    const hear = (message: FromRun): void => {
      generation.hear?.(message);
      if (message.type === "begun") return;
      if (message.type === "batch") {
        usage(message.batch.context);
        pending.push(...chunksOf(message.batch, texts));
      } else {
        over();
        ended.removeEventListener("abort", stop);
        if (message.type === "done") usage(message.context);
        if (ended.aborted) end = () => to.error(ended.reason);
        else if (message.type === "done") end = () => to.close();
        else {
          const { name, message: words } = message.error;
          end = () => to.error(new ThimbleError(name, words));
        }
      }
      if (!cancelled.signal.aborted) flush(to);
    };
    const stop = host.generate(session, prompt, options, hear);
    ended.addEventListener("abort", stop, { once: true });
  }

  return new ReadableStream<string | TokenChunk>({
    async start(to): Promise<void> {
      try {
        await abortable(turn, ended);
      } catch (error) {
        void turn.then(over); // given up while waiting: the next one's turn comes with this one's
        throw error;
      }
      run(to);
    },
    pull: flush,
    cancel: () => cancelled.abort(),
  });
}

/** A stream that has failed before it began. */
export function failedStream(error: unknown): ReadableStream<never> {
  return new ReadableStream<never>({ start: (to) => to.error(error) });
}
