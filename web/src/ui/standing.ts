/** How a load goes, and how fast the model writes: one place of one height. */

import type { LiveSession } from "../live";
import type { DownloadProgressEvent, Stage } from "../thimble";
import { byId } from "./dom";
import { count, megabytes, milliseconds, rate } from "./format";

const STAGES: Record<Stage, string> = {
  download: "Downloading",
  python: "Starting Python",
  model: "Loading the model",
  ready: "Ready",
};
/** Numbers that change more often than this cannot be read. */
const EVERY_MS = 200;

export class Standing {
  readonly #live: LiveSession;
  readonly #loading = byId("loading", HTMLElement);
  readonly #stage = byId("stage", HTMLElement);
  readonly #bytes = byId("bytes", HTMLElement);
  readonly #bar = byId("progress", HTMLProgressElement);
  readonly #metrics = byId("metrics", HTMLElement);
  readonly #tokens = byId("m-tokens", HTMLElement);
  readonly #speed = byId("m-speed", HTMLElement);
  readonly #first = byId("m-first", HTMLElement);
  readonly #context = byId("m-context", HTMLElement);
  #timer = 0;

  constructor(live: LiveSession) {
    this.#live = live;
  }

  progress({ stage, loaded, bytes, totalBytes }: DownloadProgressEvent): void {
    this.#stage.textContent = STAGES[stage];
    this.#bytes.textContent = `${megabytes(bytes)} of ${megabytes(totalBytes)} MB`;
    this.#bar.value = loaded;
  }

  show(): void {
    const { state, contextWindow } = this.#live;
    const ready = contextWindow > 0;
    this.#loading.hidden = ready || state === "failed";
    this.#metrics.hidden = !ready;
    if (!ready && state === "writing") this.#stage.textContent += ", then writing";
    clearInterval(this.#timer);
    if (state === "writing") {
      this.#timer = setInterval(() => this.#measure(), EVERY_MS);
    }
    this.#measure();
  }

  #measure(): void {
    const { measures, contextUsage, contextWindow } = this.#live;
    if (contextWindow > 0 && this.#metrics.hidden) {
      this.#metrics.hidden = false;
      this.#loading.hidden = true;
    }
    this.#tokens.textContent = count(measures.tokens);
    this.#speed.textContent = measures.speed === null ? "–" : rate(measures.speed);
    this.#first.textContent = measures.first === null ? "–" : milliseconds(measures.first);
    this.#context.textContent = `${count(contextUsage)} / ${count(contextWindow)}`;
  }
}
