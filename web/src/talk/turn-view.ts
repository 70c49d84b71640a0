/** How the turns of a conversation stand on the page, and what can be done with each. */

import { html, nothing } from "lit";
import type { TemplateResult } from "lit";
import { count, milliseconds, rate } from "../ui/format";
import { Aloud } from "./aloud";
import { detach } from "./attached";
import type { Conversation } from "./conversation";
import { markdown } from "./markdown";
import type { Ways } from "./markdown";
import type { Turn } from "./tree";

/** What the panel does for the turns. */
export interface Acts {
  readonly mayTalk: () => boolean;
  /** Another answer. */
  readonly again: () => void;
  /** More of the last one. */
  readonly goOn: () => void;
  readonly resend: (at: number, text: string) => void;
  /** Edit the turn at this place, or none. */
  readonly edit: (at: number | null) => void;
  readonly copy: (text: string) => void;
  /** Show it all anew. */
  readonly draw: () => void;
}

export class TurnView {
  readonly #talk: Conversation;
  readonly #acts: Acts;
  readonly #aloud = new Aloud();
  /** Elements of answers, and the texts that they are of. */
  readonly #shown = new WeakMap<Turn, { text: string; ways: Ways; elements: unknown }>();
  /** How answers are shown, as they are written, and with what is loaded when one has it. */
  readonly #plain: Ways;
  #ways: Ways;
  readonly #learning = new Set<string>();
  /** The place of the turn that is being edited. */
  editing: number | null = null;

  constructor(talk: Conversation, acts: Acts) {
    this.#talk = talk;
    this.#acts = acts;
    this.#plain = this.#ways = { copy: acts.copy };
    this.#aloud.addEventListener("change", acts.draw);
  }

  /** A turn of the conversation, as an item of the list. */
  show(turn: Turn, at: number): TemplateResult {
    const yours = turn.role === "user";
    const isLast = at === this.#talk.turns.length - 1;
    const { first } = this.#talk;
    return html`<li class="turn ${yours ? "yours" : "models"} ${at < first ? "unread" : ""}">
      ${at > 0 && at === first ? this.#shift() : nothing}
      <span class="turn-who">${yours ? "You" : turn.model}</span>
      ${this.editing === at ? this.#editor(turn, at) : html`<div class="turn-text" dir="auto">${yours ? this.#message(turn) : this.#answer(turn)}</div>
        <div class="turn-foot">${this.#talk.busy ? nothing : this.#actions(turn, at, yours, isLast)}${this.#facts(turn)}</div>`}
    </li>`;
  }

  /** A message, its files folded. */
  #message({ text }: Turn): unknown {
    const { files, words } = detach(text);
    return html`${files.map(({ name, text: content }) => html`<details class="turn-file"><summary>${name}</summary><div>${content}</div></details>`)}${words}`;
  }

  /** Read an answer as it stands on the page, or stop. */
  #readAloud(turn: Turn, event: Event): void {
    if (this.#aloud.reads === turn) return this.#aloud.stop();
    const shown = (event.target as HTMLElement).closest(".turn")?.querySelector(".turn-text");
    this.#aloud.read(turn, shown?.textContent ?? "");
  }

  /** Only a text that has grown is read anew. */
  #answer(turn: Turn): unknown {
    const known = this.#shown.get(turn);
    const isWritten = this.#talk.busy && turn === this.#talk.turns.at(-1);
    const ways = isWritten ? this.#plain : this.#ways;
    if (!isWritten) this.#learn(turn.text);
    if (known?.text === turn.text && known.ways === ways) return known.elements;
    const elements = markdown(turn.text.trimStart(), ways);
    this.#shown.set(turn, { text: turn.text, ways, elements });
    return elements;
  }

  /** Load what shows code in colours, and formulas, once an answer may have them; without a network
   * the text stands there as it is. */
  #learn(text: string): void {
    const take = (what: "highlight" | "formula", coming: () => Promise<Partial<Ways>>): void => {
      if (this.#learning.has(what)) return;
      this.#learning.add(what);
      coming().then((more) => {
        this.#ways = { ...this.#ways, ...more };
        this.#acts.draw();
      }, () => this.#learning.delete(what));
    };
    if (text.includes("```")) take("highlight", async () => ({ highlight: (await import("../talk/highlight")).highlight }));
    if (/\$|\\[([]/.test(text)) take("formula", async () => ({ formula: (await import("../talk/formula")).formula }));
  }

  #shift(): TemplateResult {
    const window = count(this.#talk.counts?.window ?? 0);
    return html`<p class="turn-shift">The model no longer reads what is above: with it the conversation is
      longer than its context of ${window} tokens.</p>`;
  }

  #actions(turn: Turn, at: number, yours: boolean, isLast: boolean): TemplateResult {
    const { again, goOn } = this.#acts;
    return html`${this.#versions(turn)}
      ${isLast && this.#talk.canContinue ? html`<button type="button" class="quiet" ?disabled=${!this.#acts.mayTalk()} @click=${goOn}>Continue</button>` : nothing}
      ${yours ? html`<button type="button" class="quiet" @click=${() => this.#acts.edit(at)}>Edit</button>` : nothing}
      ${isLast ? html`<button type="button" class="quiet" ?disabled=${!this.#acts.mayTalk()} @click=${again}>${yours ? "Answer" : "Another answer"}</button>` : nothing}
      <button type="button" class="quiet" @click=${() => this.#acts.copy(turn.text)}>Copy</button>
      ${!yours && this.#aloud.can ? html`<button type="button" class="quiet" @click=${(event: Event) => this.#readAloud(turn, event)}>${this.#aloud.reads === turn ? "Stop reading" : "Read aloud"}</button>` : nothing}`;
  }

  /** Arrows between what stands at one place. */
  #versions(turn: Turn): unknown {
    const versions = this.#talk.tree.versions(turn);
    if (versions.length < 2) return nothing;
    const now = versions.indexOf(turn);
    const arrow = (step: number, sign: string, words: string): TemplateResult => {
      const other = versions[now + step];
      return html`<button type="button" class="quiet" aria-label=${words} ?disabled=${!other} @click=${() => other && this.#talk.choose(other)}>${sign}</button>`;
    };
    return html`<span class="turn-versions" role="group" aria-label="Versions">
      ${arrow(-1, "‹", "Version before")}<span>${now + 1} / ${versions.length}</span>${arrow(1, "›", "Next version")}
    </span>`;
  }

  /** How quickly an answer came. */
  #facts({ wait, rate: speed }: Turn): unknown {
    if (wait === undefined) return nothing;
    const words = [`first token after ${milliseconds(wait)}`, ...(speed === undefined ? [] : [`${rate(speed)} tokens/s`])];
    return html`<span class="turn-facts">${words.join(" · ")}</span>`;
  }

  #editor(turn: Turn, at: number): TemplateResult {
    const resend = (event: Event): void => {
      const field = (event.target as HTMLElement).closest(".turn-edit")?.querySelector("textarea");
      const text = field?.value.trim();
      if (text && this.#acts.mayTalk()) this.#acts.resend(at, text);
    };
    const onKey = (event: KeyboardEvent): void => {
      if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
      event.preventDefault();
      resend(event);
    };
    return html`<div class="turn-edit">
      <textarea class="prose-input" aria-label="Edit your message" rows="2" .value=${turn.text} @keydown=${onKey}></textarea>
      <div class="actions">
        <button type="button" @click=${resend}>Resend</button>
        <button type="button" class="quiet" @click=${() => this.#acts.edit(null)}>Cancel</button>
      </div>
    </div>`;
  }
}
