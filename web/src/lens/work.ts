/** A long question to the worker: its progress, its end, and Cancel. */

import type { LiveSession } from "../live";
import type { RemoteEngine } from "../protocol";
import type { LensJob, LensWork } from "../protocol/lens-change";
import { byId } from "../ui/dom";
import { milliseconds, sentence } from "../ui/format";

/** Milliseconds of work between two answers: the page shows it, and can cancel. */
const STEP_MS = 60;
/** From when on it is told how long it will take. */
const TOLD_MS = 1500;

/** How questions are asked, and how work that was cancelled is brought to its end. */
type Asker = Pick<LiveSession, "ask" | "insist">;

/** The places of one kind of work: `ID-job`, `ID-progress`, `ID-cancel`, `ID-notice`, `ID-words`. */
export class Work {
  readonly #job: HTMLElement;
  readonly #progress: HTMLProgressElement;
  readonly #cancel: HTMLButtonElement;
  readonly #words: HTMLElement;
  readonly #notice: HTMLElement;
  readonly #noticeWords: HTMLElement;
  #abort: AbortController | null = null;
  #insist: () => void = () => undefined;

  constructor(id: string, notice = id) {
    this.#job = byId(`${id}-job`, HTMLElement);
    this.#progress = byId(`${id}-progress`, HTMLProgressElement);
    this.#cancel = byId(`${id}-cancel`, HTMLButtonElement);
    this.#words = byId(`${id}-words`, HTMLElement);
    this.#notice = byId(`${notice}-notice`, HTMLElement);
    this.#noticeWords = byId(`${notice}-notice-words`, HTMLElement);
    this.#cancel.addEventListener("click", () => this.cancel());
  }

  cancel(): void {
    this.#abort?.abort();
    this.#insist();
  }

  say(words: string): void {
    this.#words.textContent = words;
  }

  fail(error: unknown): void {
    const words = error instanceof Error ? error.message : error === null ? "" : String(error);
    this.#notice.hidden = !words;
    this.#noticeWords.textContent = words ? sentence(words) : "";
  }

  /** Do what `begin` asks for to its end; null where it was cancelled or has failed, which is said. */
  async run<Result>(
    words: string,
    live: Asker,
    begin: (engine: RemoteEngine, session: number) => Promise<LensJob>,
  ): Promise<Result | null> {
    this.cancel();
    const abort = new AbortController();
    this.#abort = abort;
    const pressed = document.activeElement;
    this.fail(null);
    this.say(words);
    this.#progress.value = 0;
    this.#job.hidden = false;
    if (pressed instanceof HTMLButtonElement) this.#cancel.focus();
    const working = live.ask(begin).then((begun) => this.#follow<Result>(words, live, begun, abort.signal));
    this.#insist = () => void live.insist(working);
    try {
      const result = await working;
      if (this.#abort === abort) this.say(result ? "" : "Cancelled.");
      return result;
    } catch (error) {
      if (this.#abort !== abort) return null;
      this.say(abort.signal.aborted ? "Cancelled." : "");
      if (!abort.signal.aborted) this.fail(error);
      return null;
    } finally {
      if (this.#abort === abort) {
        const focused = document.activeElement === this.#cancel;
        this.#job.hidden = true;
        this.#abort = null;
        this.#insist = () => undefined;
        if (focused && pressed instanceof HTMLElement) pressed.focus();
      }
    }
  }

  async #follow<Result>(
    words: string,
    live: Asker,
    begun: LensJob,
    signal: AbortSignal,
  ): Promise<Result | null> {
    const since = performance.now();
    for (;;) {
      if (signal.aborted) {
        await live.ask((engine) => engine.lensChange.end(begun.job));
        return null;
      }
      const step = (await live.ask((engine) =>
        engine.lensChange.work(begun.job, STEP_MS),
      )) as LensWork<Result>;
      if (step.result) return step.result;
      if (signal.aborted) continue;
      this.#progress.value = step.done / step.total;
      const took = performance.now() - since;
      const left = step.done ? (took / step.done) * (step.total - step.done) : 0;
      if (took > TOLD_MS && left > TOLD_MS) this.say(`${words} About ${milliseconds(left)} more.`);
    }
  }
}
