/** The adapter on the loaded model: its strength, what that does to the next token, and its file. */

import type { LiveSession } from "../live";
import { AdapterEvent } from "../live/events";
import type { AdapterInfo, NextTokens } from "../protocol/adapter";
import { barTable } from "../ui/bars";
import { byId } from "../ui/dom";
import { count } from "../ui/format";
import { quoted } from "../ui/token";
import { acceptDrops } from "./files";
import { complaint } from "./host";

/** Adapters are small; what is larger is a model that was opened in the wrong place. */
const MOST_BYTES = 200_000_000;

export class AdapterView {
  readonly #live: LiveSession;
  readonly #on = byId("adapter-on", HTMLElement);
  readonly #name = byId("adapter-name", HTMLElement);
  readonly #strength = byId("adapter-strength", HTMLInputElement);
  readonly #output = byId("adapter-strength-words", HTMLElement);
  readonly #prompt = byId("adapter-prompt", HTMLInputElement);
  readonly #next = byId("adapter-next", HTMLElement);
  readonly #file = byId("adapter-file", HTMLInputElement);
  readonly #notice = byId("adapter-notice", HTMLElement);
  /** The model that was last looked at: another one has no adapter, or another. */
  #model = "";
  /** Whether the worker is at work on a change; what comes meanwhile waits, the last of it. */
  #turning = false;
  #wanted: number | null = null;
  #telling = false;

  constructor(live: LiveSession) {
    this.#live = live;
    const sheet = byId("adapter", HTMLElement);
    byId("adapter-open", HTMLButtonElement).addEventListener("click", () => this.#file.click());
    this.#file.addEventListener("change", () => {
      const [file] = this.#file.files ?? [];
      if (file) void this.#take(file);
      this.#file.value = "";
    });
    acceptDrops(sheet, (file) => void this.#take(file));
    byId("adapter-remove", HTMLButtonElement).addEventListener("click", () => void this.#remove());
    this.#strength.addEventListener("input", () => void this.#turn(this.#strength.valueAsNumber));
    this.#prompt.addEventListener("input", () => void this.#turn(this.#strength.valueAsNumber));
    live.addEventListener("state", () => void this.#look());
    live.addEventListener("adapter", (event) => {
      if (this.#telling) return;
      const { info } = event as AdapterEvent; // another panel put it on, or took it off
      this.#model = this.#live.model;
      this.#show(info);
      if (info) void this.#showNext().catch((error: unknown) => this.#complain(complaint(error)));
    });
    void this.#look();
  }

  /** Put an adapter's file on the loaded model; throws what is wrong with it. */
  async put(name: string, file: Uint8Array): Promise<void> {
    const strength = this.#on.hidden ? 1 : this.#strength.valueAsNumber;
    const info = await this.#live.ask((engine, session) =>
      engine.adapter.put(session, name, file, strength),
    );
    this.#complain("");
    this.#prompt.value ||= this.#live.draft().prompt.trim() || "Once upon a time";
    this.#show(info);
    this.#tell(info);
    await this.#showNext();
  }

  /** Tell the other panels. */
  #tell(info: AdapterInfo | null): void {
    this.#telling = true;
    this.#live.dispatchEvent(new AdapterEvent(info));
    this.#telling = false;
  }

  /** See what is on the model, when it has become another one. */
  async #look(): Promise<void> {
    if (!this.#live.isOpen || this.#live.model === this.#model) return;
    this.#model = this.#live.model;
    try {
      const info = await this.#live.ask((engine, session) => engine.adapter.describe(session));
      this.#show(info);
      if (!info) return;
      this.#tell(info);
      await this.#showNext();
    } catch (error) {
      this.#complain(complaint(error));
    }
  }

  async #take(file: File): Promise<void> {
    try {
      if (file.size > MOST_BYTES) throw new Error(`“${file.name}” is too large for an adapter.`);
      await this.put(file.name, new Uint8Array(await file.arrayBuffer()));
    } catch (error) {
      this.#complain(complaint(error));
    }
  }

  async #remove(): Promise<void> {
    await this.#live.ask((engine, session) => engine.adapter.remove(session));
    this.#show(null);
    this.#tell(null);
    byId("adapter-open", HTMLButtonElement).focus();
  }

  /** Let the strength be this, at once; of many changes in a row the last one counts. */
  async #turn(strength: number): Promise<void> {
    this.#say(strength);
    this.#wanted = strength;
    if (this.#turning) return;
    this.#turning = true;
    this.#next.ariaBusy = "true";
    try {
      while (this.#wanted !== null) {
        const value = this.#wanted;
        this.#wanted = null;
        const info = await this.#live.ask((engine, session) => engine.adapter.turn(session, value));
        await this.#showNext();
        this.#tell(info);
      }
    } catch (error) {
      this.#complain(complaint(error));
    } finally {
      this.#turning = false;
      this.#next.ariaBusy = "false";
    }
  }

  /** Show what may come next, with the model as it stands. */
  async #showNext(): Promise<void> {
    const prompt = this.#prompt.value;
    const next = await this.#live.ask((engine, session) => engine.adapter.next(session, prompt));
    this.#draw(next);
  }

  #draw(next: NextTokens): void {
    this.#next.replaceChildren(
      barTable({
        caption: "The most likely next tokens",
        heads: ["token", "probability"],
        bars: next.map(([text, probability]) => ({
          label: quoted(text),
          share: probability,
          words: `${(100 * probability).toFixed(1)} %`,
        })),
      }),
    );
  }

  #show(info: AdapterInfo | null): void {
    this.#on.hidden = info === null;
    byId("adapter-off", HTMLElement).hidden = info !== null;
    byId("adapter-remove", HTMLElement).hidden = info === null;
    if (!info) return;
    this.#name.textContent =
      `${info.name}: rank ${info.rank}, ${count(info.parameters)} numbers, on ${info.model}.`;
    this.#strength.value = String(info.strength);
    this.#say(info.strength);
  }

  #say(strength: number): void {
    this.#output.textContent = strength.toFixed(2);
    this.#strength.setAttribute("aria-valuetext", strength.toFixed(2));
  }

  #complain(words: string): void {
    byId("adapter-notice-words", HTMLElement).textContent = words;
    this.#notice.hidden = !words;
  }
}
