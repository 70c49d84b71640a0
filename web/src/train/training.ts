/**
 * The run that the panel shows: what it is doing, its curves and samples so far, how fast it goes.
 *
 * It knows the worker's words and no element of the page. "state" says that something other than
 * numbers changed, "news" that there are new numbers or a sample.
 */

import type { ErrorWords } from "../protocol";
import type {
  FromTraining,
  TrainHistory,
  TrainInfo,
  TrainNews,
  TrainOrder,
} from "../protocol/train";
import type { TrainingHost } from "./host";

export type TrainState = "idle" | "starting" | "running" | "stopping" | "stopped" | "finished" | "failed";

/** Steps that take longer than this are not waited for when the visitor says stop. */
const PATIENCE_MS = 1500;

const NOTHING: TrainHistory = { loss: [], heldout: [], samples: [], seconds: 0, tokens: 0 };

export class Training extends EventTarget {
  readonly #host: TrainingHost;
  #stop: () => void = () => undefined;
  /** Whether the worker that has the model lives. */
  #inMemory = false;
  /** Milliseconds of the last step, and when its numbers came. */
  #stepMs = 0;
  #newsAt = 0;
  /** It would go wrong again at the same step: its bits are settled. */
  #diverged = false;
  /** Where this run was when it began or went on: speed is of what came since. */
  #since = { step: 0, seconds: 0, tokens: 0 };
  state: TrainState = "idle";
  info: TrainInfo | null = null;
  history: TrainHistory = NOTHING;
  step = 0;
  gradNorm: number | null = null;
  failure: ErrorWords | null = null;
  /** Why nothing of it would outlive the tab. */
  unsaved: string | null = null;

  constructor(host: TrainingHost) {
    super();
    this.#host = host;
  }

  get busy(): boolean {
    return ["starting", "running", "stopping"].includes(this.state);
  }

  /** Whether there is a model that could be taken away. */
  get hasModel(): boolean {
    return this.#inMemory && !this.busy && this.failure?.name !== "CrashError";
  }

  get canContinue(): boolean {
    const { info, busy, step } = this;
    return info !== null && !busy && step < info.steps && !this.#diverged;
  }

  /** Tokens a second since it began or went on. */
  get speed(): number | null {
    const seconds = this.history.seconds - this.#since.seconds;
    return seconds > 0 ? (this.history.tokens - this.#since.tokens) / seconds : null;
  }

  /** Seconds that the rest of the run takes, going by what came since it began or went on. */
  get secondsLeft(): number | null {
    const steps = this.step - this.#since.step;
    if (!this.info || steps <= 0) return null;
    return ((this.history.seconds - this.#since.seconds) / steps) * (this.info.steps - this.step);
  }

  begin(order: Exclude<TrainOrder, { kind: "verify" }>): void {
    if (this.busy) return;
    this.failure = null;
    this.unsaved = null;
    this.#become("starting");
    this.#stop = this.#host.follow(order, (message) => this.#hear(message));
  }

  /** Stop after the step that is being made; everything so far stays. */
  stop(): void {
    if (this.state !== "starting" && this.state !== "running") return;
    this.#stop();
    this.#become("stopping");
    const isLong = this.#stepMs > PATIENCE_MS && this.unsaved === null;
    if (this.info === null || isLong) setTimeout(() => this.#insist(), PATIENCE_MS);
  }

  /** What does not stop between two slices of work loses its worker; what was saved can go on. */
  #insist(): void {
    if (this.state !== "stopping") return;
    this.#host.close();
    this.failure = null;
    this.#inMemory = false;
    this.#become("stopped");
  }

  #hear(message: FromTraining): void {
    switch (message.type) {
      case "begun":
        this.info = message.info;
        this.#inMemory = true;
        this.#newsAt = performance.now();
        this.history = message.info.history;
        this.step = message.info.step;
        this.gradNorm = null;
        this.#diverged = false;
        this.#since = {
          step: this.step, seconds: this.history.seconds, tokens: this.history.tokens,
        };
        if (this.state === "starting") this.#become("running");
        break;
      case "news":
        this.#take(message.news);
        break;
      case "unsaved":
        this.unsaved = message.because;
        this.dispatchEvent(new Event("state"));
        break;
      case "ended":
        this.#become(this.step >= (this.info?.steps ?? 0) ? "finished" : "stopped");
        break;
      case "failed":
        if (this.state === "stopped") break; // its worker was ended
        this.failure = message.error;
        this.#become("failed");
    }
  }

  #take(news: TrainNews): void {
    const { loss, heldout, samples } = this.history;
    const now = performance.now();
    this.#stepMs = (now - this.#newsAt) / Math.max(1, news.step - this.step);
    this.#newsAt = now;
    this.step = news.step;
    this.gradNorm = news.grad_norm ?? this.gradNorm;
    this.history = {
      loss: [...loss, ...news.loss],
      heldout: [...heldout, ...news.heldout],
      samples: [...samples, ...news.samples],
      seconds: news.seconds,
      tokens: news.tokens,
    };
    this.#diverged = news.failed !== null;
    this.dispatchEvent(new Event("news"));
  }

  #become(state: TrainState): void {
    this.state = state;
    this.dispatchEvent(new Event("state"));
  }
}
