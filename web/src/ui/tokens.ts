/**
 * The token view: a text as tokens, shaded by how expected each one was.
 *
 *     const view = new TokenView(host, { label: "The text", shading: "surprise" });
 *     view.append(chunks.map(tokenOf));               // as they come, any number at a time
 *     view.addEventListener("alternative", (event) => branch((event as AlternativeEvent).index));
 *
 * Pointing at a token, or moving to it with the arrow keys, shows a card with its id, probability,
 * entropy and alternatives; a click or Enter keeps the card open, Escape closes it. The view is one
 * stop for the Tab key. It only shows: what choosing a token or an alternative means, its panel
 * says. Its text is the tokens' text exactly; marks for line ends and the like are styles.
 */

import { levelOf } from "./scale";
import type { Shading } from "./scale";
import { spoken } from "./token";
import type { Alternative, Token, TokenAction } from "./token";
import { TokenCard } from "./token-card";

export { quoted, tokenOf } from "./token";
export type { Alternative, Token, TokenAction };

export interface TokenViewOptions {
  /** What the text is, for those who do not see it. */
  readonly label: string;
  readonly shading?: Shading;
  /** Alternatives are buttons that dispatch "alternative", but for a prompt's; else only shown. */
  readonly choosable?: boolean;
  /** Tokens are only pointed at and chosen: no card tells of one. */
  readonly plain?: boolean;
  /** Asked for every card. */
  readonly actions?: (index: number, token: Token) => readonly TokenAction[];
}

/** "token": a token was chosen, by a click or Enter. */
export class TokenEvent extends Event {
  constructor(
    readonly index: number,
    readonly token: Token,
    type = "token",
  ) {
    super(type);
  }
}

/** "alternative": another token was chosen in the place of the one at `index`. */
export class AlternativeEvent extends TokenEvent {
  constructor(
    index: number,
    token: Token,
    readonly alternative: Alternative,
  ) {
    super(index, token, "alternative");
  }
}

/** Milliseconds that a card outlasts the pointer. */
const LINGER_MS = 200;

export class TokenView extends EventTarget {
  readonly #root = document.createElement("div");
  readonly #lead = document.createElement("span");
  readonly #list = document.createElement("div");
  readonly #card: TokenCard;
  readonly #options: TokenViewOptions;
  readonly #spans: HTMLElement[] = [];
  readonly #indices = new WeakMap<Element, number>();
  readonly #tokens: Token[] = [];
  readonly #closing = new AbortController();
  #shading: Shading;
  /** The one token that the Tab key reaches. */
  #active = 0;
  #current: number | null = null;
  #hiding: ReturnType<typeof setTimeout> | undefined;

  /** Fills `host`, which need not be empty; `destroy` leaves it so. */
  constructor(host: HTMLElement, options: TokenViewOptions) {
    super();
    this.#options = options;
    this.#shading = options.shading ?? "surprise";
    this.#root.className = "token-view";
    this.#lead.className = "token-lead";
    this.#list.className = "token-list";
    this.#list.dir = "auto";
    this.#list.setAttribute("role", "listbox");
    this.#list.setAttribute("aria-orientation", "horizontal");
    this.#list.setAttribute("aria-label", options.label);
    this.#card = new TokenCard(this.#root, (at, alternative) => this.#chosen(at, alternative));
    this.#root.append(this.#lead, this.#list, this.#card.element);
    host.replaceChildren(this.#root);
    this.#listen();
  }

  /** The tokens that are shown. */
  get tokens(): readonly Token[] {
    return this.#tokens;
  }

  get shading(): Shading {
    return this.#shading;
  }

  set shading(shading: Shading) {
    if (shading === this.#shading) return;
    this.#shading = shading;
    this.#spans.forEach((span, at) => this.#shade(span, this.#tokens[at] as Token));
  }

  /** Text before the tokens that is not theirs, as a prompt whose tokens nobody knows. */
  set lead(text: string) {
    if (this.#lead.textContent !== text) this.#lead.textContent = text;
  }

  /** Put tokens at the end; nothing that is there moves or is made again. */
  append(tokens: readonly Token[]): void {
    const fresh = document.createDocumentFragment();
    for (const token of tokens) {
      const span = this.#make(token, this.#spans.length);
      this.#tokens.push(token);
      this.#spans.push(span);
      fresh.append(span);
    }
    this.#list.append(fresh);
    if (this.#active < this.#spans.length) this.#reach(this.#active);
  }

  /** Keep the first `length` tokens. */
  truncate(length: number): void {
    if (length >= this.#spans.length) return;
    if ((this.#card.index ?? -1) >= length) this.#card.hide();
    const gone = this.#spans.splice(length);
    const hadFocus = gone.some((span) => span === document.activeElement);
    for (const span of gone) span.remove();
    this.#tokens.length = length;
    if (this.#current !== null && this.#current >= length) this.#current = null;
    if (this.#active >= length) this.#reach(Math.max(0, length - 1));
    if (hadFocus) this.focus();
  }

  /** Show something else of a token, as alternatives that came later. Its text stays. */
  update(index: number, token: Token): void {
    const span = this.#spans[index];
    if (!span) return;
    this.#tokens[index] = token;
    this.#shade(span, token);
    if (this.#card.index === index) this.#show(index, this.#card.isPinned);
  }

  /** Mark the token where something stands, as a debugger; null for none. */
  set current(index: number | null) {
    const [before, now] = [this.#spans[this.#current ?? -1], this.#spans[index ?? -1]];
    before?.classList.remove("current");
    this.#current = index;
    now?.classList.add("current");
    if (!this.#options.plain) return; // else the card's token is the one that is selected
    before?.setAttribute("aria-selected", "false");
    now?.setAttribute("aria-selected", "true");
  }

  /** Move the keyboard's focus to a token; without a number to where it was. */
  focus(index = this.#active): void {
    if (!this.#spans.length) return;
    this.#reach(index);
    this.#spans[this.#active]?.focus();
  }

  /** Close the card. */
  close(): void {
    this.#card.hide();
  }

  /** Take the view out of the page. */
  destroy(): void {
    this.#closing.abort();
    clearTimeout(this.#hiding);
    this.#root.remove();
  }

  #make(token: Token, index: number): HTMLElement {
    const span = document.createElement("span");
    span.className = token.given ? "token given" : "token";
    span.setAttribute("role", "option");
    if (index > 0) span.tabIndex = -1;
    fill(span, token.text);
    if (!token.text.trim()) span.setAttribute("aria-label", spoken(token)); // it has no other name
    this.#indices.set(span, index);
    this.#shade(span, token);
    return span;
  }

  #shade(span: HTMLElement, token: Token): void {
    if (token.mark) span.dataset["mark"] = token.mark;
    if (token.logprob === null && token.level === undefined) return;
    const level = token.level ?? levelOf(token.logprob ?? 0, this.#shading);
    span.style.setProperty("--level", `${(100 * level).toFixed(1)}%`);
    if (token.note) span.dataset["note"] = token.note;
  }

  #listen(): void {
    const { signal } = this.#closing;
    const list = this.#list;
    list.addEventListener("pointerover", (event) => {
      const at = this.#at(event);
      if (at === null || event.pointerType === "touch" || this.#card.isPinned) return;
      clearTimeout(this.#hiding);
      this.#show(at, false);
    });
    this.#root.addEventListener("pointerleave", () => this.#leave());
    list.addEventListener("click", (event) => {
      const at = this.#at(event);
      if (at !== null) this.#choose(at);
    });
    list.addEventListener("focusin", (event) => {
      const at = this.#at(event);
      if (at === null) return;
      this.#reach(at);
      if (!this.#card.isPinned || this.#card.index !== at) this.#show(at, false);
    });
    this.#root.addEventListener("focusout", (event) => {
      if (!this.#root.contains(event.relatedTarget as Node | null)) this.#card.hide();
    });
    this.#root.addEventListener("keydown", (event) => this.#key(event));
    addEventListener("resize", () => this.#card.hide(), { signal }); // it stands where the token was
    document.addEventListener(
      "pointerdown",
      (event) => {
        if (!this.#root.contains(event.target as Node)) this.#card.hide();
      },
      { signal },
    );
  }

  /** The pointer is gone: the card goes too, unless the keyboard or a click holds it. */
  #leave(): void {
    clearTimeout(this.#hiding);
    this.#hiding = window.setTimeout(() => {
      const held = this.#card.isPinned || this.#root.contains(document.activeElement);
      if (!held) this.#card.hide();
      else if (!this.#card.isPinned && this.#spans[this.#active] === document.activeElement) {
        this.#show(this.#active, false);
      }
    }, LINGER_MS);
  }

  #key(event: KeyboardEvent): void {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.key === "Escape" && this.#card.index !== null) {
      const inside = this.#card.contains(document.activeElement);
      const at = this.#card.index;
      this.#card.hide();
      if (inside) this.focus(at);
      this.#card.hide(); // the focus has shown it again
    } else if (this.#card.contains(event.target)) {
      return;
    } else if (event.key === "Enter" || event.key === " ") {
      this.#choose(this.#active);
      this.#card.focus();
    } else {
      const to = this.#destination(event.key);
      if (to === null) return;
      this.#card.unpin();
      this.focus(to);
    }
    event.preventDefault();
    event.stopPropagation();
  }

  /** Where a key leads; null for one that leads nowhere. */
  #destination(key: string): number | null {
    const last = this.#spans.length - 1;
    if (key === "ArrowRight") return Math.min(last, this.#active + 1);
    if (key === "ArrowLeft") return Math.max(0, this.#active - 1);
    if (key === "Home") return 0;
    if (key === "End") return last;
    if (key === "ArrowDown") return this.#otherLine(1);
    if (key === "ArrowUp") return this.#otherLine(-1);
    return null;
  }

  /** The token of the next line, or the one before, that is nearest to the active one. */
  #otherLine(step: 1 | -1): number {
    const from = this.#spans[this.#active];
    if (!from) return 0;
    const x = from.offsetLeft;
    let line: number | null = null;
    let best = this.#active;
    let nearest = Infinity;
    for (let at = this.#active + step; at >= 0 && at < this.#spans.length; at += step) {
      const { offsetTop, offsetLeft } = this.#spans[at] as HTMLElement;
      if (line === null && offsetTop === from.offsetTop) continue;
      line ??= offsetTop;
      if (offsetTop !== line) break;
      const far = Math.abs(offsetLeft - x);
      if (far < nearest) [nearest, best] = [far, at];
    }
    return best;
  }

  #at(event: Event): number | null {
    const span = (event.target as Element).closest?.(".token");
    return (span && this.#indices.get(span)) ?? null;
  }

  /** Make this token the one that the Tab key reaches. */
  #reach(index: number): void {
    const before = this.#spans[this.#active];
    if (before) before.tabIndex = -1;
    this.#active = Math.min(index, Math.max(0, this.#spans.length - 1));
    const span = this.#spans[this.#active];
    if (!span) return;
    span.tabIndex = 0;
    span.setAttribute("aria-label", spoken(this.#tokens[this.#active] as Token));
  }

  #show(index: number, pinned: boolean): void {
    const [token, span] = [this.#tokens[index], this.#spans[index]];
    const { actions, choosable, plain } = this.#options;
    if (!token || !span || plain) return;
    this.#card.show({
      index, token, anchor: span, pinned,
      actions: actions?.(index, token) ?? [],
      choosable: (choosable ?? false) && !token.given,
    });
  }

  #choose(index: number): void {
    const token = this.#tokens[index];
    if (!token) return;
    this.focus(index);
    this.#show(index, true);
    this.dispatchEvent(new TokenEvent(index, token));
  }

  #chosen(index: number, alternative: Alternative): void {
    const token = this.#tokens[index];
    if (!token) return;
    this.#card.hide();
    this.dispatchEvent(new AlternativeEvent(index, token, alternative));
  }
}

/** Put a token's text into its element, with places for the marks of what cannot be seen. */
function fill(span: HTMLElement, text: string): void {
  if (text === "") span.classList.add("silent");
  else if (text.trim() === "" && !text.includes("\n")) span.classList.add("blank");
  text.split("\n").forEach((part, at) => {
    if (at > 0) {
      const mark = document.createElement("span");
      mark.className = "line-end";
      span.append(mark, "\n");
    }
    if (part) span.append(part);
  });
}
