/** The panel where the visitor programs the model: a console, and examples to begin with. */

import { examples } from "../console/examples";
import { Editor } from "../console/editor";
import { History } from "../console/history";
import { codeIn, linkTo } from "../console/link";
import { Log } from "../console/log";
import { showTokens } from "../console/reread";
import type { LiveSession } from "../live";
import { offlineApp } from "../offline/app";
import type { Completions, ConsoleAnswer, Shown } from "../protocol/console";
import { copy } from "../ui/clipboard";
import { byId } from "../ui/dom";
import { milliseconds } from "../ui/format";
import { tellSampler } from "../ui/sampler";

const button = (id: string): HTMLButtonElement => byId(`python-${id}`, HTMLButtonElement);
const element = (id: string): HTMLElement => byId(`python-${id}`, HTMLElement);

/** Python looks for an interrupt between two of its steps; one that takes longer may never end. */
const PATIENCE_MS = 2000;
/** A larger file is no code that somebody reads before running it. */
const LARGEST_FILE = 200_000;

class PythonPanel {
  readonly #live: LiveSession;
  readonly #editor: Editor;
  readonly #history = new History();
  readonly #log = new Log(element("log"));
  readonly #empty = element("empty");
  readonly #run = button("run");
  readonly #stop = button("stop");
  readonly #outcome = element("outcome");
  readonly #origin = element("origin");
  #version = "";
  #running = false;
  /** Whether the visitor has had the worker ended. */
  #restarting = false;
  /** The failure that the log has already. */
  #told: Error | null = null;
  #late = 0;

  constructor(live: LiveSession) {
    this.#live = live;
    this.#editor = new Editor(element("editor"), "Python code", element("keys").textContent ?? "", {
      run: () => void this.#start(),
      interrupt: () => this.#running && (this.#interrupt(), true),
      recall: (step, shown) => (step < 0 ? this.#history.back(shown) : this.#history.forward()),
      complete: (before) => this.#complete(before),
    });
    this.#say(""); // the page's script is here
    this.#listen();
    this.#restore();
    live.addEventListener("state", () => {
      this.#show();
      this.#showFailure();
    });
    this.#show();
    void this.#greet();
  }

  #listen(): void {
    this.#run.addEventListener("click", () => void this.#start());
    this.#stop.addEventListener("click", () => this.#interrupt());
    button("clear").addEventListener("click", () => {
      this.#log.clear();
      this.#empty.hidden = false;
    });
    button("link").addEventListener("click", () => void this.#copyLink());
    const file = byId("python-file", HTMLInputElement);
    button("open").addEventListener("click", () => file.click());
    file.addEventListener("change", () => {
      const chosen = file.files?.[0];
      file.value = "";
      if (chosen) void this.#openFile(chosen);
    });
    for (const one of document.querySelectorAll<HTMLButtonElement>("[data-example]")) {
      one.disabled = false;
      one.addEventListener("click", () => this.#bring(examples[one.dataset["example"] ?? ""] ?? ""));
    }
    addEventListener("hashchange", () => this.#restore());
  }

  async #greet(): Promise<void> {
    try {
      const { python, sampler } = await this.#live.ask((engine, session) => engine.console.hello(session));
      this.#version = python;
      this.#live.sampledBy(sampler);
      this.#show();
    } catch {
      // The state tells, and the first run asks again.
    }
  }

  /** Show what the state allows. */
  #show(): void {
    const hadFocus = document.activeElement;
    element("version").textContent = `Python ${this.#version} · ${this.#live.model}`;
    this.#run.disabled = false;
    this.#run.hidden = this.#running;
    this.#stop.hidden = !this.#running;
    this.#stop.disabled = !this.#live.isOpen; // nothing has begun
    if (hadFocus === this.#run && this.#running) this.#stop.focus();
    if (hadFocus === this.#stop && !this.#running) this.#run.focus();
    if (this.#running) return;
    if (!this.#live.isOpen && this.#live.state !== "failed") this.#say("The model is loading.");
    else if (this.#outcome.textContent === "The model is loading.") this.#say("");
  }

  /** What a sampler did wrong while the page wrote, with its lines. */
  #showFailure(): void {
    const { state, failure } = this.#live;
    if (state !== "failed" || failure === this.#told) return;
    this.#told = failure;
    if (failure?.name !== "SamplerError") return;
    this.#empty.hidden = true;
    this.#log.add({ kind: "trace", text: failure.message, words: "" });
  }

  #say(words: string): void {
    this.#outcome.textContent = words;
  }

  /** Run what stands in the editor. */
  async #start(): Promise<void> {
    const code = this.#editor.text;
    if (this.#running || !code.trim()) return;
    this.#running = true;
    this.#say(this.#live.isOpen ? "Running." : "Waiting for the model.");
    this.#begin(code);
    this.#show();
    try {
      await this.#ended(
        await this.#live.listen(
          (engine, session, port) => engine.console.run(session, code, port),
          (shown: Shown) => this.#log.show(shown),
        ),
      );
    } catch (error) {
      this.#failed(error);
    } finally {
      this.#over();
    }
  }

  #begin(code: string): void {
    this.#empty.hidden = true;
    this.#origin.hidden = true;
    this.#history.add(code);
    this.#log.begin(code);
    // One line is done with; a longer text is what somebody works on.
    if (!code.includes("\n") && this.#editor.text === code) this.#editor.set("");
  }

  async #ended(answer: ConsoleAnswer): Promise<void> {
    const { status, sampler = null, changed, brought = [], milliseconds: took = 0 } = answer;
    if (brought.length) void offlineApp()?.keepExtras(brought).catch(() => undefined);
    const ends = { done: "Done", error: "An error", interrupted: "Stopped" };
    this.#say(`${ends[status]}, after ${milliseconds(took)}.`);
    this.#live.sampledBy(sampler);
    if (changed) await showTokens(this.#live);
  }

  /** The run was never answered: with its worker gone there is another one to come. */
  #failed(error: unknown): void {
    const { name, message } = error instanceof Error ? error : new Error(String(error));
    if (name !== "CrashError") {
      this.#log.show({ kind: "trace", text: message, words: "" });
      this.#say("It could not run.");
      return;
    }
    const why = this.#restarting ? "" : `Python died (${message}). `;
    const text = `${why}Python was restarted: its variables are lost, your code and text are still here.`;
    this.#log.show({ kind: "note", text, words: "" });
    this.#say("Python was restarted.");
    if (!this.#restarting) void this.#live.restart();
    this.#restarting = false;
  }

  #over(): void {
    clearTimeout(this.#late);
    this.#running = false;
    this.#stop.textContent = "Stop";
    this.#show();
  }

  /** Stop the code: by an interrupt where that is possible, else with the worker. */
  #interrupt(): void {
    if (!this.#live.isOpen) return;
    if (this.#stop.textContent !== "Stop" || !this.#live.interrupt()) {
      this.#restarting = true;
      void this.#live.restart();
      return;
    }
    this.#say("Stopping.");
    this.#late = window.setTimeout(() => {
      this.#stop.textContent = "Restart Python";
      this.#say("It does not respond. A restart loses Python’s variables; the text stays.");
    }, PATIENCE_MS);
  }

  async #complete(before: string): Promise<Completions> {
    if (this.#running || !this.#live.isOpen) return { start: 0, options: [] };
    return this.#live.ask((engine, session) => engine.console.complete(session, before));
  }

  /** Put code into the editor; nothing runs until the visitor says so. */
  #bring(code: string, origin = ""): void {
    this.#editor.set(code.trimEnd(), "beginning");
    this.#origin.hidden = origin === "";
    this.#origin.textContent = origin;
    this.#editor.focus();
  }

  #restore(): void {
    const code = codeIn(location.hash);
    if (code instanceof Error) this.#say(code.message);
    else if (code !== null) this.#bring(code, "This code came with the link. Read it before you press Run.");
  }

  async #openFile(file: File): Promise<void> {
    if (file.size > LARGEST_FILE) {
      this.#say(`${file.name} has ${file.size} bytes; the editor takes up to ${LARGEST_FILE}.`);
      return;
    }
    const code = (await file.text()).replaceAll("\r\n", "\n");
    this.#bring(code, `This code came from ${file.name}. Read it before you press Run.`);
  }

  async #copyLink(): Promise<void> {
    const link = linkTo(this.#editor.text);
    if (link instanceof Error) this.#say(link.message);
    else this.#say((await copy(link)) ? "Link copied." : "Copying is not allowed here.");
  }
}

export function mount(root: HTMLElement, live: LiveSession): void {
  tellSampler(root, live);
  new PythonPanel(live);
}
