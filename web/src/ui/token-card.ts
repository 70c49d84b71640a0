/** The card of a token: everything that is known about it, beside it. Part of tokens.ts. */

import { barTable } from "./bars";
import type { Bar } from "./bars";
import { bitsOf, bitWords, natsToBits, percent } from "./scale";
import type { Alternative, Token, TokenAction } from "./token";
import { quoted } from "./token";

export interface Card {
  readonly index: number;
  readonly token: Token;
  readonly anchor: HTMLElement;
  /** Kept open until it is closed. */
  readonly pinned: boolean;
  readonly actions: readonly TokenAction[];
  readonly choosable: boolean;
}

export class TokenCard {
  readonly element = document.createElement("div");
  readonly #root: HTMLElement;
  readonly #choose: (index: number, alternative: Alternative) => void;
  #shown: Card | null = null;

  /** `root` is the positioned element that the card is placed in. */
  constructor(root: HTMLElement, choose: (index: number, alternative: Alternative) => void) {
    this.#root = root;
    this.#choose = choose;
    this.element.className = "token-card";
    this.element.setAttribute("role", "group");
    this.element.hidden = true;
  }

  /** Which token it shows. */
  get index(): number | null {
    return this.#shown?.index ?? null;
  }

  get isPinned(): boolean {
    return this.#shown?.pinned ?? false;
  }

  contains(target: EventTarget | null): boolean {
    return target instanceof Node && this.element.contains(target);
  }

  show(card: Card): void {
    this.#shown?.anchor.classList.remove("shown");
    this.#shown?.anchor.removeAttribute("aria-selected");
    this.#shown = card;
    card.anchor.classList.add("shown");
    if (card.pinned) card.anchor.setAttribute("aria-selected", "true");
    this.element.setAttribute("aria-label", `Token ${card.index + 1}`);
    this.element.classList.toggle("pinned", card.pinned);
    this.element.replaceChildren(...this.#contents(card));
    this.element.hidden = false;
    this.#place(card.anchor);
  }

  unpin(): void {
    if (this.#shown) this.#shown = { ...this.#shown, pinned: false };
  }

  hide(): void {
    this.#shown?.anchor.classList.remove("shown");
    this.#shown?.anchor.removeAttribute("aria-selected");
    this.#shown = null;
    this.element.hidden = true;
  }

  /** To its first button, where it has one. */
  focus(): void {
    this.element.querySelector("button")?.focus();
  }

  #contents({ index, token, actions, choosable }: Card): HTMLElement[] {
    const title = element("p", "token-title");
    title.append(element("strong", "", quoted(token.text)), element("span", "", `id ${token.id}`));
    const note = token.given ? "from the prompt" : token.note;
    if (note) title.append(element("em", "", note));
    const parts = [title, facts(token)];
    if (token.top.length) {
      const bars = token.top.map((one) => this.#bar(index, token, one, choosable));
      const heads = ["token", "probability"] as const;
      parts.push(barTable({ caption: "The most likely tokens here", heads, bars }));
    }
    if (actions.length) {
      const row = element("p", "token-actions");
      for (const action of actions) {
        const button = document.createElement("button");
        button.type = "button";
        button.className = "quiet";
        button.textContent = action.label;
        button.addEventListener("click", () => action.run(index, token));
        row.append(button);
      }
      parts.push(row);
    }
    return parts;
  }

  #bar(index: number, token: Token, one: Alternative, choosable: boolean): Bar {
    const probability = Math.exp(one.logprob);
    const current = one.id === token.id;
    return {
      label: quoted(one.text),
      share: probability,
      words: percent(probability),
      more: `id ${one.id}, ${bitWords(bitsOf(one.logprob))}`,
      current,
      ...(choosable && !current ? { choose: () => this.#choose(index, one) } : {}),
    };
  }

  /** Below the token, or above where only there is room: where nowhere is, the page can be moved on
   * but not back beyond its top. Never past the sides. */
  #place(anchor: HTMLElement): void {
    const lines = anchor.getClientRects();
    const line = lines[0];
    if (!line) return;
    const root = this.#root.getBoundingClientRect();
    const { offsetWidth: width, offsetHeight: height } = this.element;
    const left = Math.min(line.left - root.left, root.width - width);
    const room = innerHeight - line.bottom;
    const above = room < height && line.top >= height;
    const top = above ? line.top - root.top - height : line.bottom - root.top;
    this.element.style.left = `${Math.max(0, left)}px`;
    this.element.style.top = `${top}px`;
  }
}

function facts({ logprob, entropy, top, id, facts: more = [] }: Token): HTMLElement {
  const list = document.createElement("dl");
  const add = (name: string, value: string): void => {
    const pair = document.createElement("div");
    pair.append(element("dt", "", name), element("dd", "", value));
    list.append(pair);
  };
  if (logprob === null) {
    add("Probability", "none: it is the first token");
    return list;
  }
  add("Probability", percent(Math.exp(logprob)));
  add("Surprise", bitWords(bitsOf(logprob)));
  if (entropy !== null) add("Entropy", bitWords(natsToBits(entropy)));
  const rank = top.findIndex((one) => one.id === id);
  if (rank >= 0) add("Rank", String(rank + 1));
  else if (top.length) add("Rank", `after ${top.length}`);
  for (const [name, value] of more) add(name, value);
  return list;
}

function element(name: string, className: string, text = ""): HTMLElement {
  const made = document.createElement(name);
  if (className) made.className = className;
  if (text) made.textContent = text;
  return made;
}
