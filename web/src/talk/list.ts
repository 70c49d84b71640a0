/** The conversations that are kept: found, renamed, pinned, exported, imported and removed. */

import { html, nothing, render } from "lit";
import type { TemplateResult } from "lit";
import { changeTalk, listTalks, onTalkNews, readTalk, readWords, removeTalk, removeTalks, saveTalk } from "../storage/talks";
import type { Listed } from "../storage/talks";
import { download } from "../train/files";
import { byId } from "../ui/dom";
import { count, plural, sentence } from "../ui/format";
import { asJson, asMarkdown, fileName, readTalks } from "./files";
import type { Talk } from "./files";
import type { Keeper } from "./keeper";
import { trimmedTitle } from "./record";
import type { Head } from "./record";
import { newId } from "./tree";

/** Rows that are shown at first. */
const ROWS = 50;
const day = new Intl.DateTimeFormat("en", { day: "numeric", month: "short", year: "numeric" });

const part = (id: string): HTMLElement => byId(id, HTMLElement);

/** What the panel does for the list. */
export interface Shown {
  /** The conversation that is shown. */
  readonly id: () => string;
  /** What a search looks through in it. */
  readonly words: () => string;
  readonly open: (id: string) => Promise<void>;
  /** Show an empty one in the place of one that was removed. */
  readonly leave: () => void;
}

export class TalkList {
  readonly #keeper: Keeper;
  readonly #shown: Shown;
  readonly #search = byId("talk-search", HTMLInputElement);
  readonly #file = byId("talk-file", HTMLInputElement);
  #listed: Listed = { heads: [], unreadable: [] };
  /** Words by conversation, read when the list is first opened. */
  #words: Map<string, string> | null = null;
  #rows = ROWS;
  /** The row whose further buttons are shown, and the one that is being renamed. */
  #more = "";
  #naming = "";
  /** What a deletion took away. */
  #removed: Talk[] = [];

  constructor(keeper: Keeper, shown: Shown) {
    this.#keeper = keeper;
    this.#shown = shown;
    this.#search.addEventListener("input", () => {
      this.#rows = ROWS;
      this.#draw();
    });
    byId("talk-keep", HTMLInputElement).addEventListener("change", (event) => {
      void keeper.want((event.target as HTMLInputElement).checked).then(() => this.#look());
    });
    const press = (id: string, what: () => Promise<void> | void): void => {
      byId(id, HTMLButtonElement).addEventListener("click", () => void this.#try(what));
    };
    press("talk-import", () => this.#file.click());
    press("talk-export", () => this.#exportAll());
    press("talk-delete-all", () => this.#ask(true));
    press("talk-sure-no", () => this.#ask(false));
    press("talk-sure-yes", () => this.#removeAll());
    press("talk-kept-undo", () => this.#undo());
    this.#file.addEventListener("change", () => void this.#try(() => this.#import()));
    keeper.addEventListener("change", () => {
      this.#words?.set(shown.id(), shown.words());
      this.#follow();
    });
    onTalkNews(() => {
      this.#words = null;
      this.#follow();
    });
  }

  /** Read anew what there is, once it is opened. */
  async opened(): Promise<void> {
    await this.#look();
    this.#search.focus();
  }

  get #isShown(): boolean {
    return !part("talk-kept").hidden;
  }

  #follow(): void {
    if (this.#isShown) void this.#look();
  }

  async #try(what: () => Promise<void> | void): Promise<void> {
    try {
      await what();
    } catch (error) {
      this.#say(sentence(error instanceof Error ? error.message : String(error)));
    }
  }

  async #look(): Promise<void> {
    byId("talk-keep", HTMLInputElement).checked = this.#keeper.wanted === true;
    try {
      this.#listed = await listTalks();
    } catch (error) {
      this.#listed = { heads: [], unreadable: [] };
      this.#say(`Nothing can be listed: ${(error as Error).message}. “Delete all” removes it.`);
    }
    this.#draw();
    if (!this.#words && this.#listed.heads.length > 0) await this.#try(() => this.#readWords());
  }

  async #readWords(): Promise<void> {
    const words = (this.#words = new Map<string, string>());
    await readWords((id, text) => words.set(id, text));
    if (this.#search.value) this.#draw();
  }

  #found(): readonly Head[] {
    const sought = this.#search.value.trim().toLowerCase();
    if (!sought) return this.#listed.heads;
    return this.#listed.heads.filter(({ id, title }) =>
      title.toLowerCase().includes(sought) || this.#words?.get(id)?.includes(sought));
  }

  #draw(): void {
    const { heads, unreadable } = this.#listed;
    const found = this.#found();
    const isSearch = this.#search.value.trim() !== "";
    const rows = found.slice(0, this.#rows).map((head) => this.#row(head));
    const damaged = isSearch ? [] : unreadable.map(({ id, why }) => this.#damagedRow(id, why));
    render([...damaged, ...rows], part("talk-list"));
    const more = byId("talk-more", HTMLButtonElement);
    more.hidden = found.length <= this.#rows;
    more.textContent = `Show all ${count(found.length)}`;
    more.onclick = (): void => {
      this.#rows = Infinity;
      this.#draw();
    };
    const empty = part("talk-list-empty");
    empty.hidden = found.length + damaged.length > 0;
    empty.textContent = isSearch ? "No title and no message has this." : "No conversation is kept here.";
    for (const id of ["talk-export", "talk-search"]) (part(id) as HTMLInputElement).disabled = heads.length === 0;
    part("talk-kept-undo").hidden = this.#removed.length === 0;
  }

  #damagedRow(id: string, why: string): TemplateResult {
    const remove = async (): Promise<void> => {
      await removeTalk(id);
      this.#say("Deleted.");
      await this.#look();
    };
    return html`<li class="kept"><span class="kept-what"><strong>A conversation that cannot be read</strong>
      <span class="hint">${sentence(why)}</span></span>
      <button type="button" class="quiet" @click=${() => void this.#try(remove)}>Delete</button></li>`;
  }

  #row(head: Head): TemplateResult {
    const { id, title, pinned, changed, model, turns } = head;
    const isOpen = id === this.#shown.id();
    const more = this.#more === id;
    return html`<li class="kept">
      ${this.#naming === id ? this.#nameField(head) : html`<button type="button" class="kept-what" aria-current=${isOpen ? "true" : nothing} @click=${() => void this.#try(() => this.#shown.open(id))}>
        <strong>${pinned ? html`<span class="kept-pin">Pinned</span> ` : nothing}${title}</strong>
        <span class="hint">${day.format(changed)}${model ? ` · ${model}` : ""} · ${plural(turns, "message")}</span>
      </button>`}
      <button type="button" class="quiet" aria-expanded=${more} aria-label=${`More for ${title}`} @click=${() => this.#show(more ? "" : id)}>More</button>
      ${more ? this.#actions(head) : nothing}
    </li>`;
  }

  #show(id: string): void {
    this.#more = id;
    this.#naming = "";
    this.#draw();
  }

  #actions(head: Head): TemplateResult {
    const { id, title, pinned } = head;
    const act = (words: string, what: () => Promise<void> | void): TemplateResult =>
      html`<button type="button" class="quiet" @click=${() => void this.#try(what)}>${words}</button>`;
    const file = (ending: string, type: string, write: (talk: Talk) => string) => async (): Promise<void> =>
      download(fileName(title, ending), [write(await this.#read(head))], type);
    return html`<div class="kept-more">
      ${act(pinned ? "Unpin" : "Pin", async () => {
        await changeTalk(id, { pinned: !pinned });
        await this.#look();
      })}
      ${act("Rename", () => {
        this.#naming = id;
        this.#draw();
        part("talk-list").querySelector("input")?.select();
      })}
      ${act("Markdown", file("md", "text/markdown", asMarkdown))}
      ${act("JSON", file("json", "application/json", (talk) => asJson([talk])))}
      ${act("Delete", () => this.#remove(head))}
    </div>`;
  }

  #nameField({ id, title }: Head): TemplateResult {
    const done = async (event: Event): Promise<void> => {
      const words = trimmedTitle((event.target as HTMLInputElement).value);
      if (this.#naming !== id) return;
      this.#naming = "";
      if (words) await changeTalk(id, { title: words, named: true });
      await this.#look();
    };
    const onKey = (event: KeyboardEvent): void => {
      event.stopPropagation();
      if (event.key === "Enter") void this.#try(() => done(event));
      else if (event.key === "Escape") this.#show(id);
    };
    return html`<input class="kept-what" type="text" maxlength="200" aria-label="Title" .value=${title} @keydown=${onKey} @change=${(event: Event) => void this.#try(() => done(event))}>`;
  }

  async #read(head: Head): Promise<Talk> {
    const read = await readTalk(head.id);
    if (!read) throw new Error(`“${head.title}” is not kept here any more`);
    return read;
  }

  async #exportAll(): Promise<void> {
    const talks: Talk[] = [];
    const failed: string[] = [];
    for (const head of this.#listed.heads) {
      await this.#read(head).then((talk) => talks.push(talk), () => failed.push(head.title));
    }
    download("conversations.json", [asJson(talks)], "application/json");
    if (failed.length) this.#say(`Not exported, because they cannot be read: ${failed.join(", ")}.`);
  }

  async #import(): Promise<void> {
    const [file] = this.#file.files ?? [];
    this.#file.value = "";
    if (!file) return;
    const { talks, refused, damaged } = await readTalks(file);
    const there = new Map(this.#listed.heads.map((head) => [head.id, head]));
    let taken = 0;
    for (const { head, body } of talks) {
      const known = there.get(head.id);
      if (known?.turns === head.turns && known.bytes === head.bytes) continue; // it is here already
      const id = known ? newId() : head.id;
      await saveTalk({ ...body, id }, { ...head, id });
      taken += 1;
    }
    this.#words = null;
    await this.#look();
    const same = talks.length - taken;
    this.#say([`${plural(taken, "conversation")} imported.`,
      ...(same ? [`${count(same)} are here already.`] : []),
      ...(refused ? [`${count(refused)} could not be read.`] : []),
      ...(damaged ? [`${plural(damaged, "message")} could not be read.`] : [])].join(" "));
  }

  async #remove(head: Head): Promise<void> {
    const talk = await this.#read(head).catch(() => null);
    this.#removed = talk ? [talk] : [];
    await removeTalk(head.id);
    if (head.id === this.#shown.id()) this.#shown.leave();
    this.#words?.delete(head.id);
    this.#say(`Deleted “${head.title}”.`);
    await this.#look();
    (talk ? part("talk-kept-undo") : this.#search).focus();
  }

  async #undo(): Promise<void> {
    for (const { head, body } of this.#removed) await saveTalk(body, head);
    this.#removed = [];
    this.#words = null;
    this.#say("It is back.");
    await this.#look();
    this.#search.focus();
  }

  #ask(asking: boolean): void {
    part("talk-sure").hidden = !asking;
    part(asking ? "talk-sure-no" : "talk-delete-all").focus();
  }

  async #removeAll(): Promise<void> {
    this.#ask(false);
    await removeTalks();
    this.#removed = [];
    this.#words = null;
    this.#shown.leave();
    this.#say("All are deleted.");
    await this.#look();
  }

  #say(words: string): void {
    part("talk-kept-outcome").textContent = words;
  }
}
