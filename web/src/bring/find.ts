/** Finding a model on Hugging Face, in “This machine”: a search, its repositories, their files. */

import { html, nothing, render } from "lit";
import type { TemplateResult } from "lit";
import type { HubFile, HubModel } from "../save-model";
import type { LiveSession } from "../live";
import { byId } from "../ui/dom";
import { plural, rate, sentence } from "../ui/format";
import { size } from "./estimate";
import { openKeeper } from "./keeper";
import { wantModel } from "./wanted";

/** What a model takes beside its file, about: scratch, and a text of some length. */
const ROOM = 1.1;
/** Bytes that the kernels can give a model at most; the exact ones are told before it is loaded. */
const LARGEST = 1.9e9;

interface Opened {
  readonly id: string;
  readonly files: readonly HubFile[] | null;
  readonly why: string | null;
}

class Find {
  readonly #live: LiveSession;
  readonly #words = byId("find-words", HTMLInputElement);
  readonly #go = byId("find-go", HTMLButtonElement);
  readonly #outcome = byId("find-outcome", HTMLElement);
  readonly #list = byId("find-list", HTMLElement);
  #models: readonly HubModel[] = [];
  #opened: Opened | null = null;
  /** Bytes that one thread reads a second here; null before it was measured. */
  #speed: number | null = null;
  /** Which models the browser gives memory, by their bytes. */
  readonly #fits = new Map<number, boolean>();

  constructor(live: LiveSession) {
    this.#live = live;
    byId("find-form", HTMLFormElement).addEventListener("submit", (event) => {
      event.preventDefault();
      void this.#search();
    });
  }

  async #search(): Promise<void> {
    const words = this.#words.value.trim();
    if (!words || this.#go.disabled) return;
    this.#go.disabled = true;
    this.#say("Asking huggingface.co.");
    try {
      this.#models = await asked((keeper) => keeper.searchHub(words));
      this.#opened = null;
      this.#say(this.#models.length ? "The most fetched first; press one to see its files." : `No repository with GGUF files has “${words}” in its name.`);
    } catch (error) {
      this.#say(sentence(wordsOf(error)));
    }
    this.#go.disabled = false;
    this.#draw();
  }

  async #open(id: string): Promise<void> {
    if (this.#opened?.id === id) {
      this.#opened = null;
      return this.#draw();
    }
    this.#opened = { id, files: null, why: null };
    this.#draw();
    try {
      const files = await asked((keeper) => keeper.filesOfHub(id));
      await this.#measure(files);
      this.#opened = { id, files, why: null };
    } catch (error) {
      this.#opened = { id, files: null, why: sentence(wordsOf(error)) };
    }
    this.#draw();
  }

  /** How fast this machine reads weights, and which files it has room for. */
  async #measure(files: readonly HubFile[]): Promise<void> {
    this.#speed ??= (await this.#live.ask((engine) => engine.bring.speed(1 << 26, 0, 0))).read;
    for (const { bytes } of files) {
      const needed = Math.ceil(bytes * ROOM);
      if (needed > LARGEST) this.#fits.set(bytes, false);
      else if (!this.#fits.has(bytes)) this.#fits.set(bytes, await this.#live.ask((engine) => engine.bring.hasMemory(needed)).catch(() => false));
    }
  }

  #draw(): void {
    render(this.#models.map((model) => this.#model(model)), this.#list);
  }

  #model({ id, downloads, isGated, licence }: HubModel): TemplateResult {
    const opened = this.#opened?.id === id ? this.#opened : null;
    const facts = [licence, plural(downloads, "download"), ...(isGated ? ["gated: its owner lets people in on huggingface.co"] : [])].filter(Boolean);
    return html`<li>
      <button type="button" class="quiet find-repository" aria-expanded=${opened !== null} @click=${() => void this.#open(id)}><strong>${id}</strong><span class="hint">${facts.join(" · ")}</span></button>
      ${opened ? this.#files(opened) : nothing}
    </li>`;
  }

  #files({ files, why }: Opened): TemplateResult {
    if (why !== null) return html`<p class="hint" role="status">${why}</p>`;
    if (files === null) return html`<p class="hint" role="status">Asking for its files.</p>`;
    const isGated = this.#models.some((model) => model.id === this.#opened?.id && model.isGated);
    return html`<ul class="find-files">${files.map((file) => this.#file(file, isGated))}</ul>`;
  }

  #file({ path, url, bytes, sha256, encoding }: HubFile, isGated: boolean): TemplateResult {
    const fits = this.#fits.get(bytes) === true;
    const speed = this.#speed === null ? "" : `, at best ${rate(this.#speed / bytes)} tokens a second here`;
    const words = fits ? `fits${speed}` : "does not fit into this page's memory";
    return html`<li><span class="what"><strong>${path}</strong><span class="hint">${encoding ? `${encoding}, ` : ""}${size(bytes)}, ${words}</span></span>
      <button type="button" aria-label=${`Get ${path}`} ?disabled=${!fits || isGated} @click=${() => wantModel(new URL(url), sha256)}>Get</button></li>`;
  }

  #say(words: string): void {
    this.#outcome.textContent = words;
  }
}

/** Have the hub asked, by the one page that may. */
async function asked<Value>(question: (keeper: Awaited<ReturnType<typeof openKeeper>>["keeper"]) => Promise<Value>): Promise<Value> {
  const { keeper, close } = await openKeeper();
  try {
    return await question(keeper);
  } finally {
    close();
  }
}

function wordsOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

export function mountFind(live: LiveSession): void {
  new Find(live);
}
