/**
 * Measures claims, one after the other, and keeps what came of each.
 *
 * A failure is a result like any other: the rest goes on. Before and after each measurement a fixed
 * piece of arithmetic is timed, so that a machine that was busy or slowed down is found out.
 *
 * "change": a result came, or something begins or ends; "progress": a measurement has come further.
 */

import type { Build } from "../api/build";
import type { LiveSession } from "../live";
import { Bench } from "./bench";
import { claims } from "./experiments";
import type { Claim } from "./experiments/claim";
import { CLAIMS, FORMAT, spread } from "./report";
import type { ClaimId, Entries, Quantity, Report, Result } from "./report";

/** Samples where one takes a fraction of a second. */
const SAMPLES = 7;
/** The arithmetic may take so many times what it takes at its best before it is told. */
const BUSY = 1.35;
/** And the samples of one quantity may be so far apart. */
const FAR_APART = 2.5;
const TIMES = ["s", "ms", "tokens/s", "core-seconds"];
/** Fewer samples say nothing about their spread. */
const FEWEST = 3;

export interface Running {
  readonly claim: ClaimId;
  /** Of this measurement; not a number where nobody knows. */
  readonly share: number;
  readonly words: string;
  /** Its place among those that were asked for, and how many these are. */
  readonly at: number;
  readonly of: number;
}

export class Runner extends EventTarget {
  readonly #live: LiveSession;
  readonly #build: Build;
  readonly #titles: ReadonlyMap<ClaimId, string>;
  readonly results = new Map<ClaimId, Result>();
  running: Running | null = null;
  #abort: AbortController | null = null;
  #measuring: Promise<void> = Promise.resolve();
  #entries: Entries = { price: null, latency: null };
  /** Milliseconds of the arithmetic at its best, in this visit. */
  #best = Infinity;

  constructor(live: LiveSession, build: Build, titles: ReadonlyMap<ClaimId, string>) {
    super();
    this.#live = live;
    this.#build = build;
    this.#titles = titles;
  }

  get busy(): boolean {
    return this.#abort !== null;
  }

  /** Measure these, in this order, until all are done or somebody cancels. */
  async measure(ids: readonly ClaimId[], entries: Entries): Promise<void> {
    if (this.#abort) return;
    await (this.#measuring = this.#measure(ids, entries));
  }

  async #measure(ids: readonly ClaimId[], entries: Entries): Promise<void> {
    const abort = (this.#abort = new AbortController());
    this.#entries = entries;
    this.#tell("change");
    await this.#live.stop(); // two at a time would measure each other
    const bench = new Bench(this.#live, this.#build, entries, SAMPLES, abort.signal);
    try {
      for (const [at, id] of ids.entries()) {
        if (abort.signal.aborted) break;
        const claim = claims.find((one) => one.id === id);
        if (claim) await this.#one(bench, claim, at, ids.length);
      }
    } finally {
      bench.close();
      this.#abort = this.running = null;
      this.#tell("change");
    }
  }

  /** Stop; the results so far stay. */
  cancel(): void {
    if (!this.#abort) return;
    this.#abort.abort(new DOMException("the measurement was cancelled", "AbortError"));
    void this.#live.insist(this.#measuring);
  }

  /** Everything that was measured in this visit. */
  report(): Report {
    const model = this.#build.model();
    if (!model) throw new Error("this site offers no model");
    const { deviceMemory } = navigator as { deviceMemory?: number };
    return {
      claims: FORMAT,
      thimble: this.#build.version,
      build: this.#build.hash,
      made: new Date().toISOString(),
      machine: {
        cores: navigator.hardwareConcurrency, memory: deviceMemory ?? null,
        browser: navigator.userAgent, isolated: crossOriginIsolated,
      },
      model: { name: model.name, sha256: model.sha256, bytes: model.bytes, parameters: model.parameters },
      entries: this.#entries,
      samples: SAMPLES,
      results: CLAIMS.flatMap((id) => this.results.get(id) ?? []),
    };
  }

  async #one(bench: Bench, claim: Claim, at: number, of: number): Promise<void> {
    const say = (share: number, words: string): void => {
      this.running = { claim: claim.id, share, words, at, of };
      this.#tell("progress");
    };
    bench.hear = say;
    bench.hiddenFor = 0;
    this.running = { claim: claim.id, share: 0, words: "Starting", at, of };
    this.#tell("change");
    const began = new Date();
    const clock = performance.now();
    const parts = {
      claim: claim.id, title: this.#titles.get(claim.id) ?? claim.id, began: began.toISOString(),
    };
    const took = (): number => (performance.now() - clock) / 1000;
    try {
      await bench.shown();
      const before = await this.#probe(bench);
      const found = await claim.measure(bench);
      const after = await this.#probe(bench);
      const doubts = [...found.doubts, ...this.#doubts(bench, before, after, found.quantities)];
      this.results.set(claim.id, { ...parts, ...found, doubts, status: "done", error: null, seconds: took() });
    } catch (error) {
      const cancelled = bench.signal.aborted;
      // What was measured before it was cancelled is still true.
      if (cancelled && this.results.get(claim.id)?.status === "done") return;
      const words = error instanceof Error ? error.message : String(error);
      this.results.set(claim.id, {
        ...parts, quantities: [], facts: {}, words: "", series: [], doubts: [], seconds: took(),
        status: cancelled ? "cancelled" : "failed", error: cancelled ? null : words,
      });
    } finally {
      bench.hear = () => undefined; // what still runs of a failed one has nothing to say
    }
  }

  /** How many times its best the arithmetic takes now; null where it cannot be asked for. */
  async #probe(bench: Bench): Promise<number | null> {
    try {
      const session = await bench.session();
      const times = await session.ask((engine) => engine.claims.probe());
      const { median, lowest } = spread(times);
      this.#best = Math.min(this.#best, lowest);
      return median / this.#best;
    } catch {
      bench.signal.throwIfAborted();
      return null; // the measurement will tell what is wrong
    }
  }

  #doubts(
    bench: Bench, before: number | null, after: number | null, quantities: readonly Quantity[],
  ): string[] {
    const doubts: string[] = [];
    const slowest = Math.max(before ?? 1, after ?? 1);
    if (slowest > BUSY) {
      doubts.push(
        `The machine was busy or throttled: a fixed computation took ${slowest.toFixed(1)} times ` +
          "its best time here.",
      );
    }
    for (const { name, unit, n, lowest, highest, id } of quantities) {
      const apart = highest / lowest;
      if (!TIMES.includes(unit) || n < FEWEST || id === "token" || !(apart >= FAR_APART)) continue;
      doubts.push(`The ${n} samples of “${name}” differ by a factor of ${apart.toFixed(1)}.`);
    }
    if (bench.hiddenFor > 0) {
      const seconds = Math.max(1, Math.round(bench.hiddenFor / 1000));
      doubts.push(`It paused for ${seconds} s while the tab was hidden.`);
    }
    return doubts;
  }

  #tell(what: "change" | "progress"): void {
    this.dispatchEvent(new Event(what));
  }
}
