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
const NONE = "–";

export class StatusBar {
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
  #stageWords = "Starting";
  #timer = 0;

  constructor(live: LiveSession) {
    this.#live = live;
  }

  progress({ stage, loaded, bytes, totalBytes }: DownloadProgressEvent): void {
    this.#stageWords = STAGES[stage];
    this.#bytes.textContent = `${megabytes(bytes)} of ${megabytes(totalBytes)} MB`;
    this.#bar.value = loaded;
    this.#showStage();
  }

  show(): void {
    const { isOpen, state } = this.#live;
    this.#metrics.hidden = !isOpen;
    this.#loading.hidden = isOpen || state === "failed";
    this.#showStage();
    clearInterval(this.#timer);
    if (state === "writing") this.#timer = setInterval(() => this.#measure(), EVERY_MS);
    this.#measure();
  }

  #showStage(): void {
    const then = this.#live.state === "writing" ? ", then writing" : "";
    this.#stage.textContent = this.#stageWords + then;
  }

  #measure(): void {
    const { writing, contextUsage, contextWindow } = this.#live;
    const { tokens, speed, first } = writing?.measures ?? { tokens: 0, speed: null, first: null };
    this.#tokens.textContent = tokens ? count(tokens) : NONE;
    this.#speed.textContent = speed === null ? NONE : rate(speed);
    this.#first.textContent = first === null ? NONE : milliseconds(first);
    this.#context.textContent = `${count(contextUsage)} / ${count(contextWindow)}`;
  }
}
