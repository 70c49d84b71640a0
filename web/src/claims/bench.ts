/**
 * What a measurement works with: the session it measures on, the worker that trains, the visitor's
 * entries, and a way to say how far it is. All measurements of a run share one.
 *
 * Nothing is measured while the tab is hidden, when browsers slow pages down: a sample that was
 * begun is thrown away and taken again when the visitor is back.
 */

import type { Build, CorpusListing } from "../api/build";
import type { LiveSession } from "../live";
import { TrainingHost } from "../train/host";
import type { TokenChunk, Thimble as Session } from "../thimble";
import type { Entries } from "./report";

/** How every text of a measurement begins; nothing depends on which. */
export const PROMPT = "Once upon a time";
/** Tries of one sample, where the tab keeps being hidden. */
const TRIES = 20;

export type Listed = CorpusListing & { readonly url: string };

export class Bench {
  readonly live: LiveSession;
  readonly build: Build;
  /** How many samples are taken where they cost little; where they cost seconds, fewer. */
  readonly samples: number;
  readonly signal: AbortSignal;
  entries: Entries;
  /** Told how much of the measurement is done, from 0 to 1, and what it does. */
  hear: (share: number, words: string) => void = () => undefined;
  /** Milliseconds that the tab was hidden in while something was measured. */
  hiddenFor = 0;
  #session: Promise<Session> | null = null;
  #trainer: Promise<TrainingHost> | null = null;
  #sample: Promise<string> | null = null;

  constructor(
    live: LiveSession, build: Build, entries: Entries, samples: number, signal: AbortSignal,
  ) {
    this.live = live;
    this.build = build;
    this.entries = entries;
    this.samples = samples;
    this.signal = signal;
  }

  /** The model that is measured: the site's first. */
  get model(): NonNullable<ReturnType<Build["model"]>> {
    const model = this.build.model();
    if (!model) throw new Error("this site offers no model, so there is nothing to measure");
    return model;
  }

  /** A session of its own on that model, beside the one that the visitor writes with. */
  session(): Promise<Session> {
    this.#session ??= this.live.createSession(this.model.name, () => undefined, this.signal);
    this.#session.catch(() => (this.#session = null));
    return this.#session;
  }

  /** The worker for training, with its own Python. */
  trainer(): Promise<TrainingHost> {
    this.#trainer ??= TrainingHost.open();
    this.#trainer.catch(() => (this.#trainer = null));
    return this.#trainer;
  }

  /** The site's short stories, which no model of it was trained on. */
  stories(): Promise<string> {
    const { sample } = this.build;
    if (!sample) throw new Error("this site has no text to measure models on");
    this.#sample ??= textOf(sample.url, sample.title);
    this.#sample.catch(() => (this.#sample = null));
    return this.#sample;
  }

  /** A text to train on, by its digest. */
  async corpus(sha256: string): Promise<string> {
    const found = this.build.corpora.find((corpus) => corpus.sha256 === sha256);
    if (!found) throw new Error(`this site has no text with the digest ${sha256.slice(0, 12)}…`);
    return textOf(found.url, found.title);
  }

  /** Write so many tokens with the model, each with the engine's clock. */
  async write(tokens: number, seed: number, prompt = PROMPT): Promise<Written> {
    const session = await this.session();
    const options = { max_tokens: tokens, seed, temperature: 1, logprobs: true as const };
    const chunks: TokenChunk[] = [];
    const began = performance.now();
    let first = NaN;
    const reader = session.promptStreaming(prompt, { ...options, signal: this.signal }).getReader();
    for (;;) {
      const { done, value } = await reader.read();
      if (done) break;
      if (!chunks.length) first = performance.now() - began;
      chunks.push(value);
    }
    if (!chunks.length) throw new Error("the model wrote nothing");
    return { chunks, first, milliseconds: performance.now() - began };
  }

  /** Take `n` samples, one after the other, each with its number. */
  async take<Value>(n: number, words: string, work: (at: number) => Promise<Value>): Promise<Value[]> {
    const taken: Value[] = [];
    for (let at = 0; at < n; at += 1) {
      this.hear(at / n, `${words}, ${at + 1} of ${n}`);
      taken.push(await this.seen(() => work(at)));
    }
    return taken;
  }

  /** The same once: again if the tab was hidden meanwhile. */
  async seen<Value>(work: () => Promise<Value>): Promise<Value> {
    for (let tries = 0; tries < TRIES; tries += 1) {
      await this.shown();
      const watch = watchHidden();
      const value = await work();
      this.signal.throwIfAborted();
      if (!watch()) return value;
    }
    throw new Error("the tab was hidden repeatedly: keep it visible while it measures");
  }

  /** Wait until the visitor looks at the page. */
  async shown(): Promise<void> {
    this.signal.throwIfAborted();
    if (!document.hidden) return;
    const began = performance.now();
    this.hear(NaN, "Paused while the tab is hidden");
    await new Promise<void>((resolve, reject) => {
      const look = (): void => {
        if (document.hidden && !this.signal.aborted) return;
        document.removeEventListener("visibilitychange", look);
        this.signal.removeEventListener("abort", look);
        if (this.signal.aborted) reject(this.signal.reason as Error);
        else resolve();
      };
      document.addEventListener("visibilitychange", look);
      this.signal.addEventListener("abort", look);
    });
    this.hiddenFor += performance.now() - began;
  }

  /** Give everything back. */
  close(): void {
    void this.#session?.then((session) => session.destroy(), () => undefined);
    void this.#trainer?.then((trainer) => trainer.close(), () => undefined);
    this.#session = this.#trainer = null;
  }
}

export interface Written {
  readonly chunks: readonly TokenChunk[];
  /** Milliseconds from the question in the page to the first token in it. */
  readonly first: number;
  readonly milliseconds: number;
}

/** Begin to look whether the tab is hidden; the answer says whether it was since. */
function watchHidden(): () => boolean {
  let hidden = document.hidden;
  const note = (): void => void (hidden ||= document.hidden);
  document.addEventListener("visibilitychange", note);
  return () => {
    document.removeEventListener("visibilitychange", note);
    return hidden;
  };
}

async function textOf(url: string, title: string): Promise<string> {
  const response = await fetch(url).catch(() => null);
  if (response?.ok) return response.text();
  const status = response ? `the server answered ${response.status}` : "check the connection";
  throw new Error(`“${title}” could not be loaded: ${status}`);
}
