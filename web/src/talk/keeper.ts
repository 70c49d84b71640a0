/**
 * Keeps the conversation on this machine while it goes on, where the visitor wants that, and takes
 * over what another tab says in it. It knows no element of the page.
 *
 * It tells "change" when it keeps, no longer keeps, or could not.
 */

import { onTalkNews, readTalk, saveTalk } from "../storage/talks";
import type { Conversation } from "./conversation";
import { FORMAT } from "./record";
import type { Body } from "./record";
import { Tree } from "./tree";

/** What the visitor has said; the same in all tabs. */
const WANTED = "thimble.talk.keep";
/** Which conversation this tab shows, for its next load. */
const OPEN = "thimble.talk.open";
/** While an answer is written it is saved so often. */
const SAVE_MS = 1500;

/** What of a conversation stands in the panel's forms. */
export type Form = Pick<Body, "system" | "settings">;

export class Keeper extends EventTarget {
  readonly #talk: Conversation;
  readonly #form: () => Form;
  /** Null where nobody was asked yet. */
  wanted: boolean | null;
  /** Why the conversation is not kept though it should be. */
  failure: string | null = null;
  #saved = "";
  #timer = 0;
  #saving: Promise<void> = Promise.resolve();

  constructor(talk: Conversation, form: () => Form) {
    super();
    this.#talk = talk;
    this.#form = form;
    this.wanted = readWanted();
    talk.addEventListener("change", () => this.#soon());
    onTalkNews((news) => {
      if ("changed" in news && news.changed === talk.id) void this.#takeOver();
    });
    addEventListener("storage", ({ key }) => {
      if (key !== WANTED) return;
      this.wanted = readWanted();
      this.#tell();
    });
    addEventListener("pagehide", () => void this.flush());
  }

  /** Whether what is said is kept. */
  get keeps(): boolean {
    return this.wanted === true && this.failure === null;
  }

  /** Keep from now on, this conversation too, or no longer; what is kept already stays. */
  async want(wanted: boolean): Promise<void> {
    this.wanted = wanted;
    this.failure = null;
    write(() => localStorage.setItem(WANTED, wanted ? "yes" : "no"));
    if (!wanted) write(() => sessionStorage.removeItem(OPEN));
    this.#saved = "";
    this.#tell();
    await this.flush();
  }

  /** The conversation that this tab showed when it was loaded last. */
  get last(): string | null {
    try {
      return this.wanted ? sessionStorage.getItem(OPEN) : null;
    } catch {
      return null;
    }
  }

  /**
   * Show a kept conversation, instead of the one that is shown; resolves to what stood in the forms,
   * and how many messages are damaged. Rejects with the reason where it cannot be read.
   */
  async open(id: string): Promise<Form & { readonly damaged: number }> {
    await this.flush();
    const read = await readTalk(id);
    if (!read) throw new Error("the conversation is not kept here any more");
    const { body, damaged } = read;
    this.#talk.take(id, new Tree(body.turns, body.leaf));
    this.#saved = this.#signature();
    this.#remember();
    return { system: body.system, settings: body.settings, damaged };
  }

  /** Save now what is not saved yet. */
  async flush(): Promise<void> {
    clearTimeout(this.#timer);
    this.#timer = 0;
    await (this.#saving = this.#saving.then(() => this.#save()));
  }

  #soon(): void {
    if (!this.wanted) return;
    if (!this.#talk.busy) void this.flush();
    else this.#timer ||= window.setTimeout(() => void this.flush(), SAVE_MS);
  }

  async #save(): Promise<void> {
    const { id, tree } = this.#talk;
    const signature = this.#signature();
    if (!this.wanted || tree.all.length === 0 || signature === this.#saved) return;
    try {
      const turns = tree.all.filter((turn) => turn.text !== "" || turn.asides);
      const leaf = tree.path.findLast((turn) => turn.text !== "" || turn.asides)?.id ?? null;
      const united = await saveTalk({ format: FORMAT, id, ...this.#form(), turns, leaf });
      this.#saved = signature;
      this.failure = null;
      this.#remember();
      if (this.#talk.id === id && !this.#talk.busy) this.#unite(united);
    } catch (error) {
      this.failure = error instanceof Error ? error.message : String(error);
    }
    this.#tell();
  }

  /** Another tab has said something in this conversation. */
  async #takeOver(): Promise<void> {
    const { id, busy } = this.#talk;
    if (busy || !this.wanted) return; // the next save unites both
    const read = await readTalk(id).catch(() => null);
    if (read && this.#talk.id === id && !this.#talk.busy) this.#unite(read.body);
  }

  #unite(body: Body): void {
    const isSaved = this.#signature() === this.#saved;
    this.#talk.merge(body.turns);
    if (isSaved) this.#saved = this.#signature();
  }

  #remember(): void {
    write(() => sessionStorage.setItem(OPEN, this.#talk.id));
  }

  /** What would be saved, in short. */
  #signature(): string {
    const { id, tree } = this.#talk;
    const size = tree.all.reduce((sum, { text, asides }) => sum + text.length + (asides ? JSON.stringify(asides).length : 0), 0);
    return JSON.stringify([id, tree.all.length, size, tree.leaf, this.#form()]);
  }

  #tell(): void {
    this.dispatchEvent(new Event("change"));
  }
}

function readWanted(): boolean | null {
  try {
    const said = localStorage.getItem(WANTED);
    return said === null ? null : said === "yes";
  } catch {
    return false; // nothing may be kept here: nobody is asked
  }
}

function write(what: () => void): void {
  try {
    what();
  } catch {
    // Then the next visit asks again.
  }
}
