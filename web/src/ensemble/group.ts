/**
 * The ensemble that is in the worker, seen from the page: its method and weights, the text that it
 * writes, and what is expected where the visitor looks. It knows no element of the page.
 */

import type { RemoteEngine, FinishReason } from "../protocol";
import type { EnsembleInfo, EnsembleJob, EnsembleRow, EnsembleView, EnsembleWork, Method } from "../protocol/ensemble";
import type { SamplingOptions } from "../thimble";
import type { Member } from "./members";

/** Milliseconds of work between two answers: the page shows it, and can stop. */
const SLICE_MS = 24;
/** The same of what nobody watches as it comes. */
const STEP_MS = 60;

/** "state": something other than the text; "rows": new tokens; "view": other expectations. */
export class Group extends EventTarget {
  /** Those that came, the ones that take no part included. */
  #sessions: readonly Member[] = [];
  members: readonly Member[] = [];
  info: EnsembleInfo | null = null;
  method: Method = "mixture";
  /** As they were asked for; `view` has them as they count. */
  weights: readonly number[] = [];
  view: EnsembleView | null = null;
  prompt = "";
  rows: EnsembleRow[] = [];
  context = 0;
  writing = false;
  finishReason: FinishReason | null = null;
  /** Tokens a second of what was written last. */
  speed: number | null = null;
  failure: Error | null = null;
  /** The token that is looked at; null for the text's end. */
  looked: number | null = null;
  #stopped = false;
  readonly #insist: (work: Promise<unknown>) => Promise<void>;
  #running: Promise<void> = Promise.resolve();
  /** What is to be combined next, while the worker is busy with the one before. */
  #wanted: { method: Method; weights: readonly number[] | null } | null = null;
  #combining = false;

  /** `insist` brings work to its end that does not hear when it is told to stop. */
  constructor(insist: (work: Promise<unknown>) => Promise<void>) {
    super();
    this.#insist = insist;
  }

  get number(): number | null {
    return this.info?.ensemble ?? null;
  }

  /** Whether there is text that can be gone on with. */
  get canContinue(): boolean {
    const { contextWindow = 0 } = this.info ?? {};
    const isOpen = !this.writing && this.rows.length > 0 && this.finishReason !== "stop";
    return isOpen && this.context < contextWindow;
  }

  /** Ask the worker. */
  async ask<Value>(question: (engine: RemoteEngine) => Promise<Value>): Promise<Value> {
    const [first] = this.#sessions;
    if (!first) throw new Error("there are no members: load some first");
    return first.session.ask((engine) => question(engine));
  }

  /** Make one of these members, in place of the one that was; what does not fit stays out. */
  async make(members: readonly Member[]): Promise<void> {
    await this.close();
    this.#sessions = members;
    if (!members.length) return this.#tell("state");
    await this.#trying(async () => {
      const numbers = JSON.stringify(await Promise.all(members.map(numberOf)));
      const info = await this.ask((engine) => engine.ensemble.make(numbers, "mixture"));
      this.info = info;
      this.method = "mixture";
      this.weights = info.weights ?? [];
      this.members = info.members.flatMap((at) => members[at] ?? []);
    });
    this.#tell("state");
  }

  /** The names and reasons of those that take no part. */
  get refused(): (readonly [name: string, reason: string])[] {
    const refused = this.info?.refused ?? [];
    return refused.map(([at, reason]) => [this.#sessions[at]?.name ?? "", this.#titled(reason)]);
  }

  /** What is to be said although it works. */
  get note(): string {
    return this.#titled(this.info?.note ?? "");
  }

  /** The engine's names for the members as people know them. */
  #titled(words: string): string {
    return this.#sessions.reduce(
      (said, { session, title }) => said.replaceAll(`'${session.model.name}'`, `“${title}”`),
      words,
    );
  }

  /** Give the ensemble's memory back; its members stay. */
  async close(): Promise<void> {
    await this.stop();
    const { number } = this;
    if (number !== null) await this.ask((engine) => engine.ensemble.close(number)).catch(() => undefined);
    this.forget();
  }

  /** It is gone with its worker. */
  forget(): void {
    this.info = this.view = this.looked = this.finishReason = this.speed = null;
    this.members = this.#sessions = [];
    this.weights = [];
    this.rows = [];
    this.context = 0;
  }

  /** Another method or other weights, at once; null for the method's own weights. */
  async combine(method: Method, weights: readonly number[] | null): Promise<void> {
    this.method = method;
    if (weights) this.weights = weights;
    this.#wanted = { method, weights };
    if (this.#combining) return; // the last wish counts
    this.#combining = true;
    await this.#trying(async () => {
      while (this.#wanted && this.number !== null) {
        const { number } = this;
        const wanted = this.#wanted;
        this.#wanted = null;
        const asked = JSON.stringify(wanted.weights);
        const view = await this.ask((engine) => engine.ensemble.combine(number, wanted.method, asked));
        this.view = view;
        if (wanted.weights === null && !this.#wanted) this.weights = view.weights;
        this.#tell("view");
      }
    });
    this.#combining = false;
    this.#tell("state");
  }

  /** Look at another token; null for the text's end. */
  async look(at: number | null): Promise<void> {
    const { number } = this;
    if (number === null || at === this.looked) return;
    this.looked = at;
    await this.#trying(async () => {
      const view = await this.ask((engine) => engine.ensemble.look(number, at));
      if (this.looked === at) this.view = view;
    });
    this.#tell("view");
  }

  /** Read a prompt and write nothing: what comes next can be looked at. */
  async peek(prompt: string): Promise<void> {
    await this.write(prompt, { max_tokens: 0 });
  }

  /** Write a new text. */
  async write(prompt: string, options: SamplingOptions): Promise<void> {
    await this.stop();
    this.prompt = prompt;
    this.rows = [];
    this.#tell("rows");
    await this.#run(prompt, options);
  }

  /** Write on where the text ends. */
  async continue(options: SamplingOptions): Promise<void> {
    await this.stop();
    await this.#run("", { ...options, continue: true } as SamplingOptions);
  }

  /** Stop; what is written stays. */
  async stop(): Promise<void> {
    this.#stopped = true;
    if (this.writing) await this.#insist(this.#running);
  }

  async #run(prompt: string, options: SamplingOptions): Promise<void> {
    const { number } = this;
    if (number === null) return;
    this.#stopped = false;
    this.looked = this.finishReason = this.speed = null;
    this.writing = true;
    this.#tell("state");
    this.#running = this.#trying(async () => {
      const asked = JSON.stringify(options);
      await this.ask((engine) => engine.ensemble.begin(number, prompt, asked));
      await this.#follow(number);
    });
    await this.#running;
    this.writing = false;
    this.#tell("state");
  }

  /** Do what was begun to its end; null where the signal said stop before. */
  async follow<Result>(
    begun: EnsembleJob,
    signal: AbortSignal,
    progress: (share: number) => void,
  ): Promise<Result | null> {
    for (;;) {
      if (signal.aborted) {
        await this.ask((engine) => engine.ensemble.end(begun.job));
        return null;
      }
      const step = (await this.ask((engine) =>
        engine.ensemble.work(begun.job, STEP_MS),
      )) as EnsembleWork<Result>;
      progress(step.done / step.total);
      if (step.result) return step.result;
    }
  }

  /** Take what comes until the end, or until somebody stops it. */
  async #follow(number: number): Promise<void> {
    let [since, before] = [0, 0];
    while (!this.#stopped) {
      const batch = await this.ask((engine) => engine.ensemble.run(number, SLICE_MS));
      this.rows.push(...batch.rows);
      this.context = batch.context;
      if (batch.view && this.looked === null) this.view = batch.view;
      const now = performance.now();
      if (since) this.speed = ((this.rows.length - before) / (now - since)) * 1000;
      else if (batch.rows.length) [since, before] = [now, this.rows.length];
      this.finishReason = batch.finish_reason;
      this.#tell("rows");
      if (batch.finish_reason !== null) break;
    }
    await this.ask((engine) => engine.ensemble.stop(number));
    if (this.looked !== null) return;
    this.view = await this.ask((engine) => engine.ensemble.view(number));
    this.#tell("view");
  }

  /** Do something that may fail; the failure is kept for those who listen to "state". */
  async #trying(work: () => Promise<void>): Promise<void> {
    this.failure = null;
    try {
      await work();
    } catch (error) {
      this.failure = error instanceof Error ? error : new Error(String(error));
      if (this.failure.name === "CrashError") this.forget();
    }
  }

  #tell(what: "state" | "rows" | "view"): void {
    this.dispatchEvent(new Event(what));
  }
}

/** The number that the worker knows a member's session by. */
function numberOf({ session }: Member): Promise<number> {
  return session.ask((_engine, number) => Promise.resolve(number));
}
