/**
 * The tools of Talk as the visitor has them: which are on, the texts that are searched, and the
 * question before each piece of code that a model wants to run.
 *
 * It tells "change" when a call waits for the visitor's word, or no longer does.
 */

import { html, render } from "lit";
import { abortable } from "../api/abort";
import { showTokens } from "../console/reread";
import type { LiveSession } from "../live";
import { offlineApp } from "../offline/app";
import type { ConsoleAnswer, Shown } from "../protocol/console";
import { byId } from "../ui/dom";
import { readTextFile } from "../ui/text-file";
import type { Call } from "./asides";
import { TextIndex } from "./search-texts";
import { TOOLS, carryOut } from "./tools";
import type { ToolName } from "./tools";

/** Which are on; the same at the next visit. */
const ON = "thimble.talk.tools";
const FIRST = "first";
const MOST_TEXTS = 50;

export class Toolbox extends EventTarget {
  readonly #live: LiveSession;
  readonly #fail: (error: unknown) => void;
  readonly #switches = new Map<ToolName, HTMLInputElement>();
  readonly #first = byId("talk-tool-first", HTMLInputElement);
  readonly #texts = new TextIndex();
  #answer: ((allowed: boolean) => void) | null = null;
  /** The call whose code waits for the visitor's word. */
  waiting: Call | null = null;

  constructor(live: LiveSession, fail: (error: unknown) => void) {
    super();
    this.#live = live;
    this.#fail = fail;
    const on = readOn();
    for (const name of TOOLS) {
      const field = byId(`talk-tool-${name}`, HTMLInputElement);
      field.checked = on.includes(name);
      field.addEventListener("change", () => this.#changed());
      this.#switches.set(name, field);
    }
    const files = byId("talk-texts-file", HTMLInputElement);
    byId("talk-texts-add", HTMLButtonElement).addEventListener("click", () => files.click());
    files.addEventListener("change", () => {
      void this.#add([...(files.files ?? [])]);
      files.value = "";
    });
    const area = byId("talk-tools", HTMLElement);
    area.addEventListener("drop", (event) => {
      event.preventDefault();
      event.stopPropagation(); // it is no part of the message
      void this.#add([...(event.dataTransfer?.files ?? [])]);
    });
    this.#first.checked = on.includes(FIRST);
    this.#first.addEventListener("change", () => this.#changed());
    this.#draw();
  }

  /** The tools that may be called now; there is nothing to search without texts. */
  get names(): ToolName[] {
    return TOOLS.filter((name) => this.#switches.get(name)?.checked && (name !== "search" || this.#texts.files.length > 0));
  }

  /** Whether an answer begins with a call. */
  get first(): boolean {
    return this.#first.checked;
  }

  /** Carry a call out; its result, whatever it comes to. Rejects where the signal ends it. */
  async carryOut(call: Call, signal: AbortSignal): Promise<string> {
    const python = (code: string): Promise<string> => this.#python(call, code, signal);
    return carryOut(call.name, call.arguments, this.names, { python, texts: this.#texts }, signal);
  }

  /** The visitor's word on the code that waits. */
  allow(allowed: boolean): void {
    this.#answer?.(allowed);
  }

  async #python(call: Call, code: string, signal: AbortSignal): Promise<string> {
    this.waiting = call;
    this.#tell();
    try {
      const asked = new Promise<boolean>((resolve) => (this.#answer = resolve));
      if (!(await abortable(asked, signal))) return "The user did not allow this code to run.";
    } finally {
      this.waiting = this.#answer = null;
      this.#tell();
    }
    return this.#run(code, signal);
  }

  /** Run code in the console's worker, with its interrupt. */
  async #run(code: string, signal: AbortSignal): Promise<string> {
    const live = this.#live;
    let said = "";
    const hear = ({ kind, text }: Shown): void => {
      if (kind === "out" || kind === "err" || kind === "trace" || kind === "value") said += kind === "value" ? `${text}\n` : text;
    };
    const interrupt = (): void => void live.interrupt();
    signal.addEventListener("abort", interrupt);
    try {
      const answer = await live.listen<ConsoleAnswer, Shown>((engine, session, port) => engine.console.run(session, code, port), hear);
      if (answer.brought?.length) void offlineApp()?.keepExtras(answer.brought).catch(() => undefined);
      live.sampledBy(answer.sampler ?? null);
      if (answer.changed) await showTokens(live);
      signal.throwIfAborted();
      return said.trimEnd() || "(it printed nothing)";
    } finally {
      signal.removeEventListener("abort", interrupt);
    }
  }

  #changed(): void {
    const on = [...TOOLS.filter((name) => this.#switches.get(name)?.checked), ...(this.first ? [FIRST] : [])];
    try {
      localStorage.setItem(ON, JSON.stringify(on));
    } catch {
      // Then they are off at the next visit.
    }
    this.#draw();
    this.#tell();
  }

  async #add(files: readonly File[]): Promise<void> {
    this.#fail(null);
    for (const file of files) {
      try {
        if (this.#texts.files.length >= MOST_TEXTS) throw new Error(`at most ${MOST_TEXTS} texts are searched`);
        this.#texts.add(file.name, await readTextFile(file));
      } catch (error) {
        this.#fail(error);
      }
    }
    this.#draw();
  }

  #draw(): void {
    byId("talk-texts", HTMLElement).hidden = !this.#switches.get("search")?.checked;
    const remove = (file: string) => (): void => {
      this.#texts.remove(file);
      this.#draw();
      byId("talk-texts-add", HTMLElement).focus();
    };
    render(this.#texts.files.map((file) => html`<li><span>${file}</span>
      <button type="button" class="quiet" aria-label=${`Remove ${file}`} @click=${remove(file)}>Remove</button></li>`),
    byId("talk-texts-list", HTMLElement));
  }

  #tell(): void {
    this.dispatchEvent(new Event("change"));
  }
}

function readOn(): readonly unknown[] {
  try {
    const on: unknown = JSON.parse(localStorage.getItem(ON) ?? "[]");
    return Array.isArray(on) ? on : [];
  } catch {
    return [];
  }
}
