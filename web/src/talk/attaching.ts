/** Choosing and dropping text files for the next message, with what each costs. */

import { html, render } from "lit";
import type { LiveSession } from "../live";
import { byId } from "../ui/dom";
import { plural } from "../ui/format";
import { readTextFile } from "../ui/text-file";
import { attach } from "./attached";
import type { Attached } from "./attached";

const MOST_FILES = 8;

export class Attaching {
  readonly #live: LiveSession;
  readonly #files = new Map<Attached, number | null>();
  readonly #fail: (error: unknown) => void;

  constructor(live: LiveSession, fail: (error: unknown) => void) {
    this.#live = live;
    this.#fail = fail;
    const field = byId("talk-attach-file", HTMLInputElement);
    byId("talk-attach", HTMLButtonElement).addEventListener("click", () => field.click());
    field.addEventListener("change", () => {
      void this.#take([...(field.files ?? [])]);
      field.value = "";
    });
    const sheet = byId("talk-sheet", HTMLElement);
    const texts = (event: DragEvent): File[] =>
      [...(event.dataTransfer?.files ?? [])].filter(({ name }) => !/\.gguf$/i.test(name)); // a model is the page's
    sheet.addEventListener("dragover", (event) => {
      if (event.dataTransfer?.types.includes("Files")) event.preventDefault();
    });
    sheet.addEventListener("drop", (event) => {
      const files = texts(event);
      if (files.length === 0) return;
      event.preventDefault();
      event.stopPropagation();
      void this.#take(files);
    });
  }

  get any(): boolean {
    return this.#files.size > 0;
  }

  /** The message with its files, which are then no longer here. */
  with(words: string): string {
    const message = attach([...this.#files.keys()], words);
    this.#files.clear();
    this.#draw();
    return message;
  }

  async #take(files: readonly File[]): Promise<void> {
    this.#fail(null);
    for (const file of files) {
      try {
        if (this.#files.size >= MOST_FILES) throw new Error(`a message takes at most ${MOST_FILES} files`);
        const attached = { name: file.name, text: (await readTextFile(file)).trimEnd() };
        if (!attached.text) throw new Error(`“${file.name}” is empty`);
        this.#files.set(attached, null);
        this.#draw();
        const ids = await this.#live.ask((engine, session) => engine.tokenize(session, attached.text));
        if (this.#files.has(attached)) this.#files.set(attached, ids.length);
      } catch (error) {
        this.#fail(error);
      }
    }
    this.#draw();
  }

  #draw(): void {
    const drop = (file: Attached) => (): void => {
      this.#files.delete(file);
      this.#draw();
      byId("talk-text", HTMLTextAreaElement).focus();
    };
    const rows = [...this.#files].map(([file, tokens]) => html`<li><span>${file.name}</span>
      <span class="hint">${tokens === null ? "…" : plural(tokens, "token")}</span>
      <button type="button" class="quiet" aria-label=${`Remove ${file.name}`} @click=${drop(file)}>Remove</button></li>`);
    render(rows, byId("talk-attached", HTMLElement));
    byId("talk-text", HTMLTextAreaElement).dispatchEvent(new Event("input"));
  }
}
