/** How the turns of a conversation stand on the page, and what can be done with each. */

import { html, nothing } from "lit";
import type { TemplateResult } from "lit";
import { count, milliseconds, plural, rate } from "../ui/format";
import { Aloud } from "./aloud";
import type { Aside, Call } from "./asides";
import { detach } from "./attached";
import type { Conversation } from "./conversation";
import { markdown } from "./markdown";
import type { Ways } from "./markdown";
import { argumentOf } from "./tools";
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
  /** The call that waits for the visitor's word, and that word. */
  readonly waiting: () => Call | null;
  readonly allow: (allowed: boolean) => void;
  /** Show it all anew. */
  readonly draw: () => void;
}

export class TurnView {
  readonly #talk: Conversation;
  readonly #acts: Acts;
  readonly #aloud = new Aloud();
  /** Elements of answers, by the place where they begin, and the texts that they are of. */
  readonly #shown = new WeakMap<Turn, Map<number, { text: string; ways: Ways; elements: unknown }>>();
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

  /** The words of an answer, and between them what it thought and called. */
  #answer(turn: Turn): unknown {
    const { text, asides = [] } = turn;
    const isWritten = this.#talk.busy && turn === this.#talk.turns.at(-1);
    if (!isWritten) this.#learn(text);
    const ends = [...asides.map(({ at }) => at), text.length];
    const words = (from: number, to: number): unknown => (to > from ? this.#words(turn, from, text.slice(from, to), isWritten) : nothing);
    return asides.length === 0 ? this.#words(turn, 0, text, isWritten) : html`${words(0, ends[0] ?? 0)}
      ${asides.map((aside, n) => {
        const isOpen = isWritten && n === asides.length - 1 && aside.at === text.length;
        return html`${this.#aside(aside, isOpen)}${words(aside.at, ends[n + 1] ?? aside.at)}`;
      })}`;
  }

  /** Only a text that has grown is read anew. */
  #words(turn: Turn, at: number, text: string, isWritten: boolean): unknown {
    const all = this.#shown.get(turn) ?? new Map<number, { text: string; ways: Ways; elements: unknown }>();
    this.#shown.set(turn, all);
    const known = all.get(at);
    const ways = isWritten ? this.#plain : this.#ways;
    if (known?.text === text && known.ways === ways) return known.elements;
    const elements = markdown(text.trimStart(), ways);
    all.set(at, { text, ways, elements });
    return elements;
  }

  /** A thought or a call, folded; one that waits for the visitor's word is open, with its code. */
  #aside(aside: Aside, isOpen: boolean): TemplateResult {
    if (aside.kind === "thought") {
      const length = plural(aside.text.trim().split(/\s+/).length, "word");
      return html`<details class="turn-aside"><summary>${isOpen ? "Thinking" : "Thought"}, ${length}</summary><div>${aside.text.trim()}</div></details>`;
    }
    const { name, result } = aside;
    const waits = this.#acts.waiting() === aside;
    let given = aside.arguments;
    try {
      given = argumentOf(name, given);
    } catch {
      // It is being written, or is no argument of the tool: it stands there as it is.
    }
    const state = result !== null ? "called" : waits ? "asks to run" : isOpen ? "calls" : "was not run";
    return html`<details class="turn-aside" ?open=${waits}><summary>${name === "python" ? "Python" : name}: ${state}</summary>
      <pre>${given}</pre>
      ${result === null ? nothing : html`<div class="turn-result">${result}</div>`}
      ${waits ? html`<p>It runs in this tab, as code in the panel Python does. After it this engine keeps nothing more of what it reads, until you reload the page.</p>
        <div class="actions">
          <button type="button" @click=${() => this.#acts.allow(true)}>Run it</button>
          <button type="button" @click=${() => this.#acts.allow(false)}>Do not run</button>
        </div>` : nothing}
    </details>`;
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
