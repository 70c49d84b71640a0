/** What is learned from: a text of ours, or the visitor's own. */

import type { Build, CorpusListing } from "../api/build";
import { byId } from "../ui/dom";
import { count } from "../ui/format";
import { readTextFile } from "../ui/text-file";
import { acceptDrops } from "./files";
import { complaint } from "./host";

/** A text, and how it is best learned and sampled. */
export interface Lesson {
  /** A name out of `build.json`, or "own". */
  readonly name: string;
  readonly title: string;
  /** What of a recipe depends on the text. */
  readonly recipe: Readonly<Record<string, string | number>>;
  /** Each begins a text of a sample. */
  readonly prompts: readonly string[];
  /** The longest text of a sample, in tokens. */
  readonly tokens: number;
  text(): Promise<string>;
}

type Listed = CorpusListing & { readonly url: string };

/** Texts in a sample of short lines. */
const MANY = 12;
/** What lies between texts in a file of several, as in the shipped models' own. */
const SEPARATOR = "<|endoftext|>";
/** A file whose lines are shorter than this, on average, is a list. */
const SHORT_LINE = 60;
/** Fewer lines are no list yet. */
const FEWEST_LINES = 20;

export class Texts extends EventTarget {
  readonly #build: Build;
  readonly #radios = [...document.querySelectorAll<HTMLInputElement>("input[name=train-text]")];
  readonly #own = byId("train-own", HTMLElement);
  readonly #area = byId("train-own-text", HTMLTextAreaElement);
  readonly #words = byId("train-own-words", HTMLElement);
  readonly #file = byId("train-own-file", HTMLInputElement);
  #title = "Your own text";
  readonly #fetched = new Map<string, Promise<string>>();

  constructor(build: Build, drop: HTMLElement) {
    super();
    this.#build = build;
    for (const radio of this.#radios) radio.addEventListener("change", () => this.#changed());
    this.#area.addEventListener("input", () => {
      this.#title = "Your own text";
      this.#changed();
    });
    byId("train-own-open", HTMLButtonElement).addEventListener("click", () => this.#file.click());
    this.#file.addEventListener("change", () => {
      const [file] = this.#file.files ?? [];
      if (file) void this.take(file);
      this.#file.value = "";
    });
    acceptDrops(drop, (file) => void this.take(file));
    this.#changed();
  }

  /** What is chosen. */
  get lesson(): Lesson {
    const name = this.#radios.find((radio) => radio.checked)?.value ?? "own";
    const listed = this.#build.corpora.find((corpus) => corpus.name === name);
    return listed ? this.#builtIn(listed) : this.#ownLesson();
  }

  /** The text with this digest, if it is one of ours. */
  builtIn(sha256: string): Promise<string> | null {
    const listed = this.#build.corpora.find((corpus) => corpus.sha256 === sha256);
    return listed ? this.#fetch(listed) : null;
  }

  /** The visitor's own text as it stands. */
  get own(): string {
    return this.#area.value;
  }

  /** Take a file as the visitor's own text. */
  async take(file: File): Promise<void> {
    this.choose("own");
    try {
      this.#area.value = await readTextFile(file);
      this.#title = file.name;
      this.#changed();
    } catch (error) {
      this.#words.textContent = complaint(error);
    }
  }

  /** Let this be the text: one of ours, or "own". */
  choose(name: string): void {
    for (const radio of this.#radios) radio.checked = radio.value === name;
    this.#changed();
  }

  #changed(): void {
    const own = this.#radios.some((radio) => radio.checked && radio.value === "own");
    this.#own.hidden = !own;
    const characters = this.#area.value.length;
    this.#words.textContent = characters ? `${count(characters)} characters.` : "Nothing yet.";
    this.dispatchEvent(new Event("change"));
  }

  #builtIn(listed: Listed): Lesson {
    return { ...listed, text: () => this.#fetch(listed) };
  }

  #ownLesson(): Lesson {
    const text = this.#area.value;
    const separator = separatorOf(text);
    const many = separator === "\n";
    return {
      name: "own",
      title: this.#title,
      recipe: { separator, log_every: 10, eval_every: 20 },
      prompts: new Array<string>(many ? MANY : 1).fill(""),
      tokens: many ? 60 : 300,
      text: () => Promise.resolve(text),
    };
  }

  #fetch(listed: Listed): Promise<string> {
    const found = this.#fetched.get(listed.name) ?? fetchText(listed);
    this.#fetched.set(listed.name, found);
    found.catch(() => this.#fetched.delete(listed.name)); // the next try may find the network
    return found;
  }
}

async function fetchText(listed: Listed): Promise<string> {
  const response = await fetch(listed.url).catch(() => null);
  if (response?.ok) return response.text();
  const status = response ? `the server answered ${response.status}` : "check the connection";
  throw new Error(`the text "${listed.title}" could not be loaded: ${status}`);
}

/** What stands between the texts of a file: our mark, a line's end in a list, or nothing. */
function separatorOf(text: string): string {
  if (text.includes(SEPARATOR)) return SEPARATOR;
  const lines = text.split("\n").filter((line) => line.trim());
  const isList = lines.length >= FEWEST_LINES && text.length / lines.length < SHORT_LINE;
  return isList ? "\n" : "";
}
