/**
 * Small language models in this browser: the public API, in the shape of the web's Prompt API.
 *
 *     import { Thimble } from "https://example.org/thimble.js";
 *     const session = await Thimble.create();
 *     for await (const text of session.promptStreaming("Once upon a time")) console.log(text);
 *
 * All sessions of a page share one worker, and each model is in its memory once. Nothing that is
 * asked or answered leaves the machine.
 */

import { transfer } from "comlink";
import { abortable } from "./api/abort";
import { Build } from "./api/build";
import type { ModelListing } from "./api/build";
import { EngineHost } from "./api/engine";
import type { Wanted } from "./api/engine";
import { ThimbleError } from "./api/errors";
import { encodeOptions } from "./api/options";
import type { PromptOptions, SamplingOptions } from "./api/options";
import { hasSimd } from "./api/simd";
import { chooseSite, siteAddress } from "./api/site";
import { addressOf, partsOf } from "./bring/address";
import { failedStream, stream } from "./api/stream";
import type { TokenChunk } from "./api/stream";
import { baseOf, openedTask, readTask } from "./api/task";
import type { AskOptions, Task, TaskDetails, TaskResult, TaskSource } from "./api/task";
import { canonicalPrompt, isSupported } from "./prompt-api/messages";
import type { CoreOptions } from "./prompt-api/types";
import type { SavedModel } from "./storage/models";
import type { FromRun, KvType, LoadProgress, Message, Prompt, RemoteEngine, ModelInfo, Stage } from "./protocol";
import type { ComingModel } from "./protocol/bring";

export { ThimbleError };
export type { TokenChunk, ModelInfo, ModelListing, PromptOptions, SamplingOptions, Stage };
export type { AskOptions, Task, TaskDetails, TaskResult, TaskSource };
/** @deprecated It is called `TokenChunk` now. */
export type Chunk = TokenChunk;

export type Availability = "unavailable" | "downloadable" | "downloading" | "available";

/** A name out of `Thimble.models()`, an address, a GGUF file, or what the playground keeps or brings. */
export type ModelChoice = string | Blob | SavedModel | ComingModel;

export interface CreateOptions extends SamplingOptions {
  /** The site's default model without it. */
  model?: ModelChoice;
  /** As what this session keeps keys and values; without it "f32" for the site's models, and "f16"
   * for brought ones whose longest texts would take more than 64 MB. */
  kv_type?: KvType;
  /** Abort to wait no longer. */
  signal?: AbortSignal;
  /** Called with a target that hears "downloadprogress" until the session is there. */
  monitor?: (monitor: EventTarget) => void;
}

const ProgressBase = (globalThis.ProgressEvent ?? Event) as typeof ProgressEvent; // Node has none

/** How far a model and its engine have come. */
export class DownloadProgressEvent extends ProgressBase {
  /** Of the whole way, from 0 to `total`, which is 1. */
  override readonly loaded: number;
  override readonly total = 1;
  /** Unpacked bytes that have come, of so many. */
  readonly bytes: number;
  readonly totalBytes: number;
  readonly stage: Stage;

  constructor(progress: { loaded: number; bytes: number; totalBytes: number; stage: Stage }) {
    super("downloadprogress");
    this.loaded = progress.loaded;
    this.bytes = progress.bytes;
    this.totalBytes = progress.totalBytes;
    this.stage = progress.stage;
  }
}

let reading: Promise<Build> | null = null;
let host: EngineHost | null = null;
let keepsModels = false;
let files = 0;
const fileNames = new WeakMap<Blob, string>();

async function readBuild(): Promise<Build> {
  reading ??= Build.read(siteAddress()).catch((error: unknown) => {
    reading = null; // the next call may find the network again
    throw error;
  });
  return reading;
}

/** What is an address and no name. */
const IS_ADDRESS = /^\s*(?:[a-z][a-z0-9+.-]*:\/\/|hf\.co\/|huggingface\.co\/)/i;
const DIGEST = /#sha256=([0-9a-f]{64})$/i;

/** A file's address, and the digest that stands behind it. */
function addressed(model: string): { url: string; sha256: string | null } {
  try {
    const url = addressOf(model.replace(DIGEST, ""));
    if (partsOf(url).length > 1) throw new Error("it is one of several parts: join them first");
    return { url: url.href, sha256: DIGEST.exec(model)?.[1]?.toLowerCase() ?? null };
  } catch (error) {
    throw new ThimbleError("OptionError", `model: ${error instanceof Error ? error.message : String(error)}`);
  }
}

function sourceOf(build: Build, model: ModelChoice | undefined): Wanted {
  const encoders = !keepsModels; // every panel of the playground writes
  if (model instanceof Blob) {
    let name = fileNames.get(model);
    if (!name) {
      const given = model instanceof File ? model.name : "model.gguf";
      fileNames.set(model, (name = `file ${(files += 1)}: ${given}`));
    }
    return { name, from: model, keep: false, bytes: model.size, sha256: null, kvType: null, encoders };
  }
  if (typeof model === "object" && "port" in model) {
    const { name, port, bytes, sha256 } = model;
    return { name, from: port, keep: false, bytes, sha256, kvType: null, encoders };
  }
  if (typeof model === "object") {
    const { name, from, bytes, sha256 } = model;
    return { name, from, keep: true, bytes, sha256, kvType: null, encoders };
  }
  const listed = build.model(model);
  if (!listed && model !== undefined && IS_ADDRESS.test(model)) {
    const { url, sha256 } = addressed(model);
    return { name: url, from: url, keep: keepsModels, bytes: null, sha256, kvType: null, encoders };
  }
  if (!listed && model === undefined) {
    throw new ThimbleError("LoadError", "this site offers no model: give create a GGUF file");
  }
  if (!listed) {
    const names = build.models.map((one) => one.name).join(", ");
    throw new ThimbleError("OptionError", `there is no model "${String(model)}"; this site has ${names}`);
  }
  const { name, url, bytes, sha256 } = listed;
  return { name, from: url, keep: keepsModels, bytes, sha256, kvType: "f32", encoders };
}

/** A session with a model: a text that grows. */
export class Thimble {
  readonly #host: EngineHost;
  readonly #id: number;
  readonly #model: ModelInfo;
  readonly #destroyed = new AbortController();
  #usage = 0;
  /** Generations of one session take turns. */
  #turn: Promise<void> = Promise.resolve();

  private constructor(host: EngineHost, id: number, model: ModelInfo, usage: number) {
    this.#host = host;
    this.#id = id;
    this.#model = model;
    this.#usage = usage;
  }

  /**
   * Take engine and models from the site at this address: for bundles, which have no place of their
   * own. It comes before everything else.
   */
  static configure({ site }: { site: string | URL }): void {
    chooseSite(site);
  }

  /** The models that this site offers. */
  static async models(): Promise<readonly ModelListing[]> {
    return (await readBuild()).models;
  }

  /** Whether `create` would succeed, and whether it would have to download first. */
  static async availability(options: Pick<CoreOptions, "expectedInputs" | "expectedOutputs"> & { model?: ModelChoice } = {}): Promise<Availability> {
    const { model } = options;
    if (!isSupported(options)) return "unavailable";
    if (!hasSimd() || typeof Worker === "undefined") return "unavailable";
    try {
      const { name } = sourceOf(await readBuild(), model);
      if (host?.alive && host.isLoaded(name)) return "available";
      if (host?.alive && host.isLoading(name)) return "downloading";
      return "downloadable";
    } catch (error) {
      if (error instanceof ThimbleError) return "unavailable";
      throw error;
    }
  }

  /** A new session; the sampling options given here are its defaults. */
  static async create(options: CreateOptions = {}): Promise<Thimble> {
    const { model, signal, monitor } = options;
    signal?.throwIfAborted();
    const defaults = encodeOptions(options, { own: ["model", "signal", "monitor"], also: ["kv_type"] });
    if (!hasSimd()) {
      throw new ThimbleError("UnsupportedError", "this browser lacks WebAssembly SIMD: update it");
    }
    const target = new EventTarget();
    monitor?.(target);
    let told = -1;
    const tell = (progress: LoadProgress): void => {
      if (signal?.aborted || progress.loaded < told) return;
      told = progress.loaded;
      target.dispatchEvent(new DownloadProgressEvent(progress));
    };
    tell({ loaded: 0, bytes: 0, totalBytes: 0, stage: "download" });
    const build = await abortable(readBuild(), signal);
    const source = sourceOf(build, model);
    if (!host?.alive) host = new EngineHost(build);
    const mine = host;
    const info = await mine.load(source, tell, signal);
    if (told < 1) tell({ loaded: 1, bytes: info.bytes, totalBytes: info.bytes, stage: "ready" });
    const id = await mine.open(source.name, defaults);
    return new Thimble(mine, id, info, 0);
  }

  /**
   * A task out of its file, which answers when it is called with a text:
   *
   *     const intent = Thimble.task("intent.task.json");
   *     const { text, probabilities } = await intent("Where is my parcel?");
   *
   * The model is the one of this site that the file names by its SHA-256; `model` gives another.
   */
  static task(source: TaskSource, options: Pick<CreateOptions, "model" | "signal" | "monitor"> = {}): Task {
    return openedTask(
      () => readTask(source, options.signal),
      async (file) => {
        const model = options.model ?? baseOf(file, await readBuild());
        return Thimble.create({ ...options, model });
      },
    );
  }

  /** What is known about this session's model. */
  get model(): ModelInfo {
    return this.#model;
  }

  /** Tokens in the context now. */
  get contextUsage(): number {
    return this.#usage;
  }

  /** Tokens that the context holds. */
  get contextWindow(): number {
    return this.#model.contextWindow;
  }

  /** The whole text that the model writes after `text`, or its answer to messages. */
  async prompt(text: string | readonly Message[], options: PromptOptions = {}): Promise<string> {
    let answer = "";
    const reader = this.promptStreaming(text, { ...options, logprobs: false }).getReader();
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return answer;
      answer += value;
    }
  }

  /** The same as it is written: pieces of text, or with `logprobs` one `TokenChunk` a token. */
  promptStreaming(
    text: string | readonly Message[],
    options: PromptOptions & { logprobs: true },
  ): ReadableStream<TokenChunk>;
  promptStreaming(
    text: string | readonly Message[],
    options?: PromptOptions & { logprobs?: false },
  ): ReadableStream<string>;
  promptStreaming(
    text: string | readonly Message[], options: PromptOptions = {},
  ): ReadableStream<string | TokenChunk> {
    if (typeof text !== "object") return this.write(String(text), options);
    try {
      return this.write(canonicalPrompt(text, false).messages, options);
    } catch (error) {
      return failedStream(error);
    }
  }

  /** @internal The same after a text or a conversation; `hear` is told what the worker says. */
  write(
    prompt: Prompt, options: PromptOptions, hear?: (message: FromRun) => void,
  ): ReadableStream<string | TokenChunk> {
    let encoded: string;
    try {
      options.signal?.throwIfAborted();
      this.#destroyed.signal.throwIfAborted();
      encoded = encodeOptions(options, { own: ["signal"], also: ["continue", "conversation"] });
    } catch (error) {
      return failedStream(error);
    }
    const signals = [this.#destroyed.signal, options.signal];
    const turn = this.#turn;
    let over: () => void = () => undefined;
    this.#turn = new Promise((resolve) => (over = resolve));
    return stream({
      host: this.#host,
      session: this.#id,
      prompt,
      options: encoded,
      signal: AbortSignal.any(signals.filter((signal) => signal !== undefined)),
      turn,
      over,
      usage: (tokens) => (this.#usage = tokens),
      hear,
    });
  }

  /** The ids of a text's tokens, without marks of beginning and end. */
  async tokenize(text: string): Promise<number[]> {
    this.#destroyed.signal.throwIfAborted();
    return this.#host.call((engine) => engine.tokenize(this.#id, String(text)));
  }

  /**
   * A text as a vector of length 1, or several at once: texts that the model reads alike lie close,
   * by the product of their vectors. The session's tokens stay.
   */
  embed(text: string): Promise<Float32Array>;
  embed(texts: readonly string[]): Promise<Float32Array[]>;
  async embed(texts: string | readonly string[]): Promise<Float32Array | Float32Array[]> {
    const given = typeof texts === "string" ? [texts] : [...texts].map(String);
    const { numbers } = await this.ask((engine, session) => engine.embed.texts(session, given));
    const bytes = Uint8Array.from(atob(numbers), (byte) => byte.charCodeAt(0));
    const all = new Float32Array(bytes.buffer);
    const dim = all.length / given.length;
    const vectors = given.map((_, n) => all.slice(n * dim, (n + 1) * dim));
    return typeof texts === "string" ? (vectors[0] as Float32Array) : vectors;
  }

  /** An independent session with the same tokens and defaults; nothing is computed again. */
  async clone({ signal }: { signal?: AbortSignal } = {}): Promise<Thimble> {
    this.#destroyed.signal.throwIfAborted();
    signal?.throwIfAborted();
    const id = await this.#host.clone(this.#id, this.#model.name);
    return new Thimble(this.#host, id, this.#model, this.#usage);
  }

  /** Stop and free the session; the model stays for the others. */
  destroy(): void {
    if (this.#destroyed.signal.aborted) return;
    this.#destroyed.abort(new DOMException("the session was destroyed", "InvalidStateError"));
    this.#host.destroy(this.#id, this.#model.name);
  }

  /**
   * @internal For the playground: keep the models that are loaded, and start the engine before
   * anybody has said which; what fails, `create` tells.
   */
  static async prepare(): Promise<void> {
    keepsModels = true;
    if (!hasSimd() || typeof Worker === "undefined") return;
    const build = await readBuild().catch(() => null);
    if (build && !host?.alive) host = new EngineHost(build);
  }

  /** @internal What the site says of itself. */
  static site(): Promise<Build> {
    return readBuild();
  }

  /** @internal How the engine started, and what has become of the snapshot for the next visit. */
  static get start(): { from: string; because: string | null; snapshot: string } | null {
    return host?.start ? { ...host.start, snapshot: host.snapshot } : null;
  }

  /** @internal Interrupt a visitor's own Python code; false where that is impossible. */
  static interrupt(): boolean {
    return host?.interrupt() ?? false;
  }

  /** @internal End the worker with everything in it; the next `create` starts another one. */
  static end(): void {
    host?.end();
  }

  /** @internal The same unless somebody has a session, or waits for a model. */
  static endIfUnused(): void {
    if (host?.alive && !host.isUsed) host.end();
  }

  /** @internal Let go of models that no session uses. */
  static tidy(): void {
    host?.tidy();
  }

  /** @internal Ask the worker what the public API has no word for. */
  ask<Value>(
    question: (engine: RemoteEngine, session: number) => Promise<Value>,
  ): Promise<Value> {
    this.#destroyed.signal.throwIfAborted();
    return this.#host.call((engine) => question(engine, this.#id));
  }

  /** @internal The same where messages come before the answer, on a port; the last is null. */
  async listen<Value, Message>(
    question: (engine: RemoteEngine, session: number, port: MessagePort) => Promise<Value>,
    hear: (message: Message) => void,
  ): Promise<Value> {
    const { port1, port2 } = new MessageChannel();
    const over = new Promise<void>((resolve) => {
      port1.onmessage = ({ data }: MessageEvent<Message | null>) => {
        if (data === null) resolve();
        else hear(data);
      };
    });
    try {
      const port = transfer(port2, [port2]);
      const answer = await this.ask((engine, session) => question(engine, session, port));
      // The answer came by another way, maybe a quicker one; a worker that ends in between says no more.
      await this.#host.call(() => over);
      return answer;
    } finally {
      port1.close();
    }
  }

  /** @internal Told what `ask` made of the context: it has so many tokens now. */
  used(tokens: number): void {
    this.#usage = tokens;
  }

  /** @internal For the tests of the bit promise. */
  logitsHash(tokens: readonly number[]): Promise<string> {
    return this.#host.call((engine) => engine.logitsHash(this.#id, tokens));
  }
}
