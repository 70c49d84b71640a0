/** What was run and what came of it: a log that grows downwards and stays as large as a page. */

import type { Shown } from "../protocol/console";
import { coloured } from "./editor";

/** Runs that stay on the page; the ones before are let go. */
const MOST = 100;
/** Lines of code that are shown without being asked for. */
const LONG = 8;
/** Only what the engine makes: an image of its own bytes, in which no script runs. */
const PICTURE = /^data:image\/(svg\+xml|png);base64,[A-Za-z0-9+/=]*$/;

export class Log {
  readonly #place: HTMLElement;
  #run: HTMLElement | null = null;
  #status: HTMLElement | null = null;

  constructor(place: HTMLElement) {
    this.#place = place;
  }

  /** A new run: its code. */
  begin(code: string): void {
    this.#open();
    const lines = code.split("\n");
    if (lines.length <= LONG) this.#add("pre", "code").append(coloured(code));
    else this.#fold(code, lines);
    this.#follow();
  }

  /** Long code by its first line: what came of it is what one looks for here. */
  #fold(code: string, lines: readonly string[]): void {
    const first = document.createElement("code");
    first.append(coloured(lines.find((line) => line.trim()) ?? ""));
    const count = document.createElement("span");
    count.className = "lines";
    count.textContent = ` ${lines.length} lines`;
    const summary = document.createElement("summary");
    summary.append(first, count);
    const whole = document.createElement("pre");
    whole.append(coloured(code));
    this.#add("details", "code").append(summary, whole);
  }

  /** Something that no run brought. */
  add(shown: Shown): void {
    const run = this.#run;
    this.#open();
    this.show(shown);
    this.#run = run;
  }

  #open(): void {
    this.#run = document.createElement("div");
    this.#run.className = "run";
    this.#place.append(this.#run);
    while (this.#place.children.length > MOST) this.#place.firstElementChild?.remove();
  }

  show({ kind, text, words }: Shown): void {
    if (kind === "status") this.#tell(text);
    else if (kind === "picture") this.#picture(text, words);
    else this.#text(kind, text);
    this.#follow();
  }

  clear(): void {
    this.#place.replaceChildren();
    this.#run = this.#status = null;
  }

  #text(kind: string, text: string): void {
    const last = this.#run?.lastElementChild;
    const block = last?.className === kind ? last : this.#add(kind === "note" ? "p" : "pre", kind);
    block.append(text);
  }

  /** What goes on before anything is shown; taken away again by the next one. */
  #tell(words: string): void {
    this.#status?.remove();
    this.#status = null;
    if (!words) return;
    this.#status = this.#add("p", "note");
    this.#status.textContent = words;
  }

  #picture(address: string, words: string): void {
    if (!PICTURE.test(address)) return this.#text("note", "A picture that is neither SVG nor PNG.");
    const image = document.createElement("img");
    image.alt = words;
    image.src = address;
    image.addEventListener("load", () => this.#follow());
    const figure = this.#add("figure", "picture");
    figure.tabIndex = 0; // it is moved sideways where there is little room
    figure.append(image);
  }

  #add(tag: string, kind: string): HTMLElement {
    const made = document.createElement(tag);
    made.className = kind;
    this.#run?.append(made);
    return made;
  }

  /** Keep the end in sight. */
  #follow(): void {
    this.#place.scrollTop = this.#place.scrollHeight;
  }
}
