/** How far a load has come: bytes of Pyodide and of the model, then the steps that follow them. */

import type { LoadProgress, ModelSource, Stage } from "../protocol";

/** Shares of the whole way; the steps after the bytes have no measure of their own. */
const BYTES = 0.8;
const PYTHON = 0.1;
const MODEL = 0.1;

const TICK_MS = 100;

export interface PyodideBytes {
  /** Of all files, or 0 where the build does not say. */
  readonly total: number;
  bytes(): number;
}

/** One load's progress, told to `report` as it changes, never backwards. */
export class Progress {
  readonly #report: (progress: LoadProgress) => void;
  readonly #pyodide: PyodideBytes;
  readonly #modelTotal: number | null;
  #modelBytes = 0;
  #modelFed = 0;
  #python = false;
  #ready = false;
  #last = "";
  #loaded = 0;

  constructor(
    source: ModelSource,
    pyodide: PyodideBytes,
    report: (progress: LoadProgress) => void,
  ) {
    this.#report = report;
    this.#pyodide = pyodide;
    this.#modelTotal = source.bytes;
    this.#tell();
  }

  /** Tell at a steady pace too, since Pyodide's files do not call back. */
  tick(): () => void {
    const timer = setInterval(() => this.#tell(), TICK_MS);
    return () => clearInterval(timer);
  }

  downloaded(bytes: number): void {
    this.#modelBytes = bytes;
  }

  pythonReady(): void {
    this.#python = true;
    this.#tell();
  }

  fed(bytes: number): void {
    this.#modelFed += bytes;
  }

  ready(): void {
    this.#ready = true;
    this.#tell();
  }

  #tell(): void {
    const modelTotal = this.#modelTotal ?? this.#modelBytes;
    const pyodideTotal = this.#pyodide.total || this.#pyodide.bytes();
    const pyodide = this.#python ? pyodideTotal : Math.min(this.#pyodide.bytes(), pyodideTotal);
    const bytes = pyodide + Math.min(this.#modelBytes, modelTotal);
    const totalBytes = pyodideTotal + modelTotal;
    const loaded = this.#ready
      ? 1
      : BYTES * (bytes / Math.max(totalBytes, 1)) +
        (this.#python ? PYTHON : 0) +
        MODEL * 0.9 * (this.#modelFed / Math.max(modelTotal, 1));
    this.#loaded = Math.max(this.#loaded, Math.min(loaded, 1));
    const progress = { stage: this.#stage(bytes, totalBytes), loaded: this.#loaded, bytes, totalBytes };
    const words = JSON.stringify(progress);
    if (words !== this.#last) this.#report(progress);
    this.#last = words;
  }

  #stage(bytes: number, totalBytes: number): Stage {
    if (this.#ready) return "ready";
    if (bytes < totalBytes) return "download";
    return this.#python ? "model" : "python";
  }
}
