/** `<thimble-task>`: its attributes, methods and events, and when it begins. */

import type { PropertyDeclaration, PropertyDeclarations, PropertyValues, TemplateResult } from "lit";
import { abortable } from "../api/abort";
import type { Task, TaskDetails } from "../thimble";
import { LOADING, asNumber, asText, number } from "./attributes";
import type { ErrorDetail, ProgressDetail } from "./events";
import { openTask } from "./opener";
import { taskStyles } from "./styles";
import { tellTask } from "./task-events";
import type { AnswerDetail, ThimbleTaskEventMap } from "./task-events";
import { TellingElement } from "./telling";
import { renderTask } from "./task-view";
import type { TaskState } from "./task-view";

/** Reflected; without its attribute a property has the value that the constructor gives it. */
const PLAIN: PropertyDeclaration = { reflect: true, useDefault: true };

export class ThimbleTask extends TellingElement<ThimbleTaskEventMap> {
  static override styles = taskStyles;
  static override properties: PropertyDeclarations = {
    src: PLAIN,
    model: PLAIN,
    label: PLAIN,
    value: PLAIN,
    threshold: { ...PLAIN, converter: number },
    loading: { ...PLAIN, converter: LOADING },
    file: { attribute: false },
  };

  /** The address of the task's file. */
  declare src: string | null;
  /** A name out of the site's models, where none of them is the one that the task names. */
  declare model: string | null;
  /** What stands over the field; the task's name without it. */
  declare label: string | null;
  /** What the field begins with. */
  declare value: string | null;
  /** Instead of the task's own, from 0 to 1. */
  declare threshold: number | null;
  /** "lazy": nothing is fetched before somebody uses the element; "eager": at once. */
  declare loading: "lazy" | "eager";
  /** The task's file itself, instead of `src`. */
  declare file: Blob | null;

  #state: TaskState = "idle";
  #typed: string | null = null;
  #answer: AnswerDetail | null = null;
  #progress: ProgressDetail | null = null;
  #details: TaskDetails | null = null;
  #failure: ErrorDetail | null = null;
  #opening: Promise<Task> | null = null;
  /** Ends the loading and, with it, the task. */
  #leaving = new AbortController();
  /** Ends the wait for an answer; another text takes its place. */
  #asking: AbortController | null = null;

  constructor() {
    super();
    this.src = this.model = this.label = this.value = this.threshold = this.file = null;
    this.loading = "lazy";
  }

  /** What it does: "idle", "loading", "ready", "answering", "answered" or "failed". */
  get state(): TaskState {
    return this.#state;
  }

  /** Answer a text, or what is in the field; the answer before is over. */
  async answer(text?: string): Promise<AnswerDetail> {
    if (text !== undefined) this.#typed = String(text);
    this.#asking?.abort(new DOMException("another text was asked", "AbortError"));
    const asking = (this.#asking = new AbortController());
    const given = this.#given;
    this.#failure = null;
    try {
      this.#become(this.#details ? "answering" : "loading");
      const task = await abortable(this.#task(), asking.signal);
      this.#become("answering");
      const { threshold } = this;
      const options = threshold === null ? {} : { threshold };
      const answer = { ...(await task(given, { ...options, signal: asking.signal })), given };
      this.#answer = answer;
      this.#become("answered");
      tellTask(this, "answer", answer);
      return answer;
    } catch (error) {
      if (asking.signal.aborted && this.#asking !== asking) throw error;
      throw this.#fail(error);
    } finally {
      if (this.#asking === asking) this.#asking = null;
    }
  }

  override disconnectedCallback(): void {
    super.disconnectedCallback();
    // An element that is moved is away for a moment only.
    queueMicrotask(() => {
      if (!this.isConnected) this.#leave();
    });
  }

  protected override willUpdate(changed: PropertyValues<this>): void {
    for (const name of ["src", "model", "label", "value"] as const) {
      if (changed.has(name)) this[name] = asText(this[name]);
    }
    if (changed.has("threshold")) this.threshold = asNumber(this.threshold);
    if (changed.has("loading")) this.loading = LOADING.fromAttribute(this.loading);
    if (changed.has("value")) this.#typed = null;
    if (this.hasUpdated && (changed.has("src") || changed.has("file") || changed.has("model"))) {
      this.#leave();
      this.#answer = this.#failure = null;
    }
  }

  protected override updated(): void {
    if (this.loading === "eager" && this.#state === "idle" && (this.src !== null || this.file)) this.#prepare();
  }

  protected override render(): TemplateResult {
    return renderTask({
      state: this.#state,
      label: this.label ?? this.#details?.name ?? "Text",
      given: this.#given,
      answer: this.#answer,
      kind: this.#details?.kind ?? null,
      progress: this.#progress,
      failure: this.#failure,
      type: (text) => (this.#typed = text),
      begin: () => this.#prepare(),
      ask: () => void this.answer().catch(() => undefined), // told by the state
    });
  }

  get #given(): string {
    return this.#typed ?? this.value ?? "";
  }

  /** Get ready without a text. */
  #prepare(): void {
    if (this.#opening || this.#state === "failed") return;
    this.#become("loading");
    this.#task().then(
      () => {
        if (this.#state === "loading" && !this.#asking) this.#become("ready");
      },
      (error: unknown) => {
        if (this.isConnected && !this.#asking) this.#fail(error);
      },
    );
  }

  #task(): Promise<Task> {
    if (this.#opening) return this.#opening;
    const source = this.file ?? this.src;
    if (source === null) {
      const missing = new Error('there is no task: give the element src="the address of a task\'s file"');
      missing.name = "OptionError";
      return Promise.reject(missing);
    }
    this.#leaving = new AbortController();
    const { signal } = this.#leaving;
    const opening = openTask(source, {
      model: this.model,
      signal,
      progress: ({ loaded, bytes, totalBytes, stage }) => {
        if (signal.aborted) return;
        this.#progress = { loaded, bytes, totalBytes, stage };
        tellTask(this, "progress", this.#progress);
        this.requestUpdate();
      },
    }).then(async (task) => {
      const details = await task.ready;
      signal.throwIfAborted();
      this.#details = details;
      tellTask(this, "load", { task: details });
      return task;
    });
    this.#opening = opening;
    opening.catch(() => {
      if (this.#opening === opening) this.#opening = null;
    });
    return opening;
  }

  /** Give back what the element holds of the engine. */
  #leave(): void {
    const gone = new DOMException("the element is gone, or has another task", "AbortError");
    this.#asking?.abort(gone);
    this.#asking = null;
    this.#leaving.abort(gone);
    this.#opening = this.#details = this.#progress = null;
    this.#become("idle");
  }

  #fail(error: unknown): Error {
    const failure = error instanceof Error ? error : new Error(String(error));
    if (failure.name === "CrashError") this.#leave();
    const { name, message } = failure;
    this.#failure = { name, message };
    this.#become("failed");
    tellTask(this, "error", { name, message });
    return failure;
  }

  #become(state: TaskState): void {
    this.#state = state;
    this.requestUpdate();
  }
}
