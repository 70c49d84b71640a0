/** One claim's card: its words are the server's, its numbers come from a result. */

import { plural, sentence } from "../ui/format";
import { draw } from "./picture";
import type { ClaimId, Quantity, Result } from "./report";
import type { Running } from "./runner";
import { say, sayRange } from "./words";

export class Card {
  readonly id: ClaimId;
  readonly title: string;
  readonly #root: HTMLElement;
  readonly #button: HTMLButtonElement;
  readonly #state: HTMLElement;
  readonly #stateWords: HTMLElement;
  readonly #progress: HTMLProgressElement;
  readonly #outcome: HTMLElement;
  #shown: Result | null = null;
  #undraw: (() => void)[] = [];

  constructor(root: HTMLElement, measure: () => void) {
    this.#root = root;
    this.id = root.dataset["claim"] as ClaimId;
    this.title = part(root, "h3").textContent?.trim() ?? this.id;
    this.#button = part(root, "button.measure") as HTMLButtonElement;
    this.#state = part(root, ".claim-state");
    this.#stateWords = part(root, ".claim-state span");
    this.#progress = part(root, ".claim-state progress") as HTMLProgressElement;
    this.#outcome = part(root, ".claim-outcome");
    this.#button.addEventListener("click", measure);
  }

  /** Show what it is doing, if it is this card's turn; `busy` where any is measured. */
  tell(running: Running | null, busy: boolean): void {
    const mine = running?.claim === this.id;
    this.#button.disabled = busy;
    this.#button.hidden = mine;
    this.#state.hidden = !mine;
    this.#root.classList.toggle("measuring", mine);
    if (!mine) return;
    this.#stateWords.textContent = running.words;
    if (Number.isFinite(running.share)) this.#progress.value = running.share;
  }

  show(result: Result | undefined): void {
    if (!result || result === this.#shown) return;
    this.#shown = result;
    for (const undraw of this.#undraw) undraw();
    this.#undraw = [];
    this.#root.dataset["status"] = result.status;
    this.#button.textContent = "Measure again";
    this.#outcome.hidden = false;
    this.#outcome.replaceChildren(...(result.status === "done" ? this.#done(result) : [why(result)]));
  }

  #done(result: Result): HTMLElement[] {
    const [first, ...others] = result.quantities;
    const parts: HTMLElement[] = [];
    if (first) parts.push(headline(first));
    const words = make("p", "claim-words", result.words);
    parts.push(words);
    if (others.length) parts.push(figures(others));
    for (const series of result.series) {
      const host = make("div", "claim-picture");
      parts.push(host);
      this.#undraw.push(draw(host, series));
    }
    const tag = result.facts["tag"];
    if (typeof tag === "string") parts.push(make("pre", "claim-code", tag));
    if (result.doubts.length) parts.push(doubts(result.doubts));
    return parts;
  }
}

function headline(quantity: Quantity): HTMLElement {
  const box = make("p", "claim-number");
  box.dataset["quantity"] = quantity.id;
  box.append(
    make("strong", "", say(quantity.median, quantity.unit)),
    make("span", "claim-name", quantity.name),
    make("span", "claim-range", sayRange(quantity)),
  );
  return box;
}

function figures(quantities: readonly Quantity[]): HTMLElement {
  const list = make("dl", "claim-figures");
  for (const quantity of quantities) {
    const pair = make("div", "");
    pair.dataset["quantity"] = quantity.id;
    const value = make("dd", "", say(quantity.median, quantity.unit));
    pair.append(make("dt", "", quantity.name), value, make("dd", "claim-range", sayRange(quantity)));
    list.append(pair);
  }
  return list;
}

function doubts(words: readonly string[]): HTMLElement {
  const box = make("div", "claim-doubts");
  const list = document.createElement("ul");
  list.append(...words.map((one) => make("li", "", one)));
  box.append(make("p", "", `${plural(words.length, "caveat")}; measure again if it matters:`), list);
  return box;
}

/** Why there is no number. */
function why({ status, error }: Result): HTMLElement {
  return status === "cancelled"
    ? make("p", "claim-words", "Cancelled.")
    : make("p", "claim-failed", `It could not be measured: ${sentence(error ?? "for an unknown reason")}`);
}

function part(root: HTMLElement, selector: string): HTMLElement {
  const found = root.querySelector<HTMLElement>(selector);
  if (!found) throw new Error(`the card of ${root.dataset["claim"] ?? "a claim"} has no ${selector}`);
  return found;
}

function make(tag: string, name: string, words = ""): HTMLElement {
  const made = document.createElement(tag);
  if (name) made.className = name;
  if (words) made.textContent = words;
  return made;
}
