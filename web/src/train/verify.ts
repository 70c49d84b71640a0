/** A receipt checked by training again. */

import type { ModelSource } from "../protocol";
import type { FromTraining, VerifyNews } from "../protocol/train";
import { byId } from "../ui/dom";
import { count, sentence } from "../ui/format";
import { readTextFile } from "../ui/text-file";
import { acceptDrops } from "./files";
import { complaint } from "./host";
import type { TrainingHost } from "./host";
import { duration } from "./plan";
import type { Texts } from "./texts";

export class Verifier {
  readonly #host: TrainingHost;
  readonly #texts: Texts;
  readonly #text = byId("verify-text", HTMLTextAreaElement);
  readonly #start = byId("verify-start", HTMLButtonElement);
  readonly #stop = byId("verify-stop", HTMLButtonElement);
  readonly #words = byId("verify-words", HTMLElement);
  readonly #progress = byId("verify-progress", HTMLProgressElement);
  readonly #notice = byId("verify-notice", HTMLElement);
  readonly #noticeWords = byId("verify-notice-words", HTMLElement);
  readonly #verdict = byId("verify-verdict", HTMLElement);
  #running = false;
  #last: VerifyNews | null = null;

  /** `base` is where the loaded model is; `changed` is told when a check begins and ends. */
  constructor(
    host: TrainingHost,
    texts: Texts,
    private readonly base: () => ModelSource | null,
    private readonly changed: () => void,
  ) {
    this.#host = host;
    this.#texts = texts;
    const form = byId("verify-form", HTMLFormElement);
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      void this.#begin();
    });
    acceptDrops(form, (file) => void this.#take(file));
  }

  get busy(): boolean {
    return this.#running;
  }

  /** Whether a check may begin: one thing at a time is trained. */
  allow(allowed: boolean): void {
    this.#start.disabled = !allowed;
  }

  async #take(file: File): Promise<void> {
    try {
      this.#text.value = await readTextFile(file);
    } catch (error) {
      this.#fail(error);
    }
  }

  async #begin(): Promise<void> {
    this.#notice.hidden = true;
    this.#verdict.hidden = true;
    this.#last = null;
    const receipt = this.#text.value;
    try {
      const text = await this.#textOf(receipt);
      this.#run(true);
      this.#words.textContent = "Starting";
      const stop = this.#host.follow({ kind: "verify", receipt, text, base: this.base() }, (message) => this.#hear(message));
      this.#stop.onclick = stop;
    } catch (error) {
      this.#fail(error);
    }
  }

  /** The text that a receipt is about: ours, by its digest, or the visitor's own. */
  async #textOf(receipt: string): Promise<string> {
    if (!receipt.trim()) throw new Error("Paste a receipt first, or drop its file here.");
    let digest: unknown;
    try {
      const parsed = JSON.parse(receipt) as { recipe?: { data_sha256?: unknown } } | null;
      digest = parsed?.recipe?.data_sha256;
    } catch {
      return ""; // the engine says what is wrong with it
    }
    if (typeof digest !== "string") return "";
    const ours = await this.#texts.builtIn(digest);
    if (ours !== null) return ours;
    if (this.#texts.own) return this.#texts.own; // the engine looks whether it is the one
    throw new Error(
      `This receipt refers to a text that is not on this site (SHA-256 ${digest.slice(0, 12)}…): ` +
        'paste that text under "Your own text" above, and check again.',
    );
  }

  #hear(message: FromTraining): void {
    if (message.type === "verified") this.#show(message.news);
    if (message.type === "failed") this.#fail(new Error(message.error.message));
    if (message.type === "ended") {
      this.#run(false);
      if (this.#last?.agrees === null) this.#words.textContent = `Stopped at step ${count(this.#last.step)}.`;
    }
  }

  #show(news: VerifyNews): void {
    this.#last = news;
    const { step, steps, seconds, agrees, differences } = news;
    this.#progress.value = steps ? step / steps : 0;
    const left = step && seconds ? `, ${duration((seconds / step) * (steps - step))} left` : "";
    this.#words.textContent = `Step ${count(step)} of ${count(steps)}${agrees === null ? left : ""}`;
    if (agrees === null) return;
    const words = document.createElement("p");
    words.textContent = agrees
      ? `Every bit matches, after ${count(step)} steps in ${duration(seconds)}.`
      : "It does not match.";
    const list = document.createElement("ul");
    list.append(
      ...differences.map((difference) => {
        const item = document.createElement("li");
        item.textContent = sentence(difference);
        return item;
      }),
    );
    this.#verdict.replaceChildren(words, ...(differences.length ? [list] : []));
    this.#verdict.classList.toggle("agrees", agrees);
    this.#verdict.hidden = false;
  }

  #run(running: boolean): void {
    const focused = document.activeElement;
    this.#running = running;
    this.#start.hidden = running;
    this.#stop.hidden = !running;
    this.#progress.hidden = !running;
    if (running) this.#progress.value = 0;
    if (focused === this.#start && running) this.#stop.focus();
    if (focused === this.#stop && !running) this.#start.focus();
    this.changed();
  }

  #fail(error: unknown): void {
    if (this.#running) this.#run(false);
    this.#words.textContent = "";
    this.#noticeWords.textContent = complaint(error);
    this.#notice.hidden = false;
  }
}
