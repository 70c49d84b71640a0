/** What each member expects next, a column each with its weight, and what all do together. */

import type { EnsembleView, Method, NextDistribution } from "../protocol/ensemble";
import { barTable } from "../ui/bars";
import { byId } from "../ui/dom";
import { bitWords, natsToBits, percent } from "../ui/scale";
import { quoted } from "../ui/token";
import type { Group } from "./group";
import { badge, letter, short as shortTitle } from "./letters";
import type { Member } from "./members";

/** A weight's range: shares of a whole, but for a contrast, where some speak against. */
const RANGE = { least: 0, most: 1, step: 0.01 };
const SIGNED = { least: -2, most: 2, step: 0.05 };
/** More columns than this, with the last one, have no room beside each other. */
const MOST_COLUMNS = 4;

interface Column {
  readonly slider: HTMLInputElement;
  readonly share: HTMLOutputElement;
  readonly bars: HTMLElement;
  readonly entropy: HTMLElement;
}

export class Distributions {
  readonly #root = byId("ensemble-distributions", HTMLElement);
  readonly #group: Group;
  #columns: Column[] = [];
  #together: Pick<Column, "bars" | "entropy"> | null = null;
  #frame = 0;
  /** The token that is marked in the columns. */
  #marked: number | null = null;

  constructor(group: Group) {
    this.#group = group;
  }

  /** A column for each member, in place of those that were. */
  build(): void {
    const { members } = this.#group;
    this.#columns = [];
    this.#root.style.setProperty("--columns", String(Math.min(members.length, MOST_COLUMNS) + 1));
    this.#root.replaceChildren(...members.map((member, at) => this.#column(member, at)), this.#last());
    this.range();
    this.show();
  }

  /** The sliders' range is the method's. */
  range(): void {
    const { least, most, step } = this.#group.method === "contrastive" ? SIGNED : RANGE;
    for (const { slider } of this.#columns) {
      [slider.min, slider.max, slider.step] = [String(least), String(most), String(step)];
    }
    this.weights();
  }

  /** Bring the sliders to the weights, where those came from elsewhere. */
  weights(): void {
    this.#columns.forEach(({ slider }, at) => {
      slider.value = String(this.#group.weights[at] ?? 0);
    });
    this.#shares();
  }

  /** Show the view at the next frame; `marked` is the token that was drawn from it. */
  show(marked: number | null = null): void {
    this.#marked = marked;
    this.#frame ||= requestAnimationFrame(() => {
      this.#frame = 0;
      this.#draw();
    });
  }

  #column(member: Member, at: number): HTMLElement {
    const root = element("section", "voice");
    root.setAttribute("aria-label", `${letter(at)}, ${member.title}`);
    const head = element("h3", "voice-head");
    const name = element("span", "voice-name");
    name.textContent = shortTitle(member.title);
    name.title = member.title;
    head.append(badge(at), name);
    const slider = document.createElement("input");
    slider.type = "range";
    slider.className = "slider";
    slider.autocomplete = "off";
    slider.setAttribute("aria-label", `Weight of ${letter(at)}, ${member.title}`);
    slider.addEventListener("input", () => this.#moved());
    const share = document.createElement("output");
    share.className = "voice-share";
    const control = element("div", "voice-weight");
    control.append(slider, share);
    const [bars, entropy] = [element("div", "voice-bars"), element("p", "voice-entropy")];
    bars.dataset["mark"] = letter(at);
    root.append(head, control, bars, entropy);
    this.#columns.push({ slider, share, bars, entropy });
    return root;
  }

  #last(): HTMLElement {
    const root = element("section", "voice together");
    root.setAttribute("aria-label", "Together");
    const head = element("h3", "voice-head");
    head.textContent = "Together";
    const [bars, entropy] = [element("div", "voice-bars"), element("p", "voice-entropy")];
    const words = element("p", "voice-weight");
    root.append(head, words, bars, entropy);
    this.#together = { bars, entropy };
    return root;
  }

  #moved(): void {
    const weights = this.#columns.map(({ slider }) => slider.valueAsNumber);
    void this.#group.combine(this.#group.method, weights);
    this.#shares();
  }

  /** The weights as numbers: shares of the whole, or with their signs. */
  #shares(): void {
    const weights = this.#columns.map(({ slider }) => slider.valueAsNumber);
    const total = weights.reduce((sum, weight) => sum + weight, 0);
    const signed = this.#group.method === "contrastive";
    this.#columns.forEach(({ slider, share }, at) => {
      const weight = weights[at] ?? 0;
      const words = signed ? weight.toFixed(2) : total > 0 ? `${((100 * weight) / total).toFixed(0)} %` : "–";
      share.textContent = words;
      slider.setAttribute("aria-valuetext", words);
    });
  }

  #draw(): void {
    const { view, members } = this.#group;
    members.forEach((member, at) => {
      const column = this.#columns[at];
      if (column) this.#fill(column, view?.members?.[at], member.title);
    });
    if (this.#together) this.#fill(this.#together, view?.together, "all together");
  }

  #fill(
    { bars, entropy }: Pick<Column, "bars" | "entropy">,
    distribution: NextDistribution | undefined,
    whose: string,
  ): void {
    if (!distribution) {
      bars.replaceChildren();
      entropy.textContent = "";
      return;
    }
    const [nats, best] = distribution;
    const table = barTable({
      caption: `What ${whose} predicts next`,
      heads: ["token", "probability"],
      bars: best.map(([id, text, logprob]) => {
        const probability = Math.exp(logprob);
        return {
          label: quoted(text), share: probability, words: short(probability),
          more: `${quoted(text)}, id ${id}, ${percent(probability)}`,
          current: id === this.#marked,
        };
      }),
    });
    bars.replaceChildren(table);
    entropy.textContent = `Entropy ${bitWords(natsToBits(nats))}`;
  }
}

/** What a method does, in a sentence. */
export const METHODS: Readonly<Record<Method, string>> = {
  mixture: "The weighted average of their probabilities: a token that any member finds likely remains possible.",
  product: "The weighted average of their log-probabilities: tokens that all members find likely win.",
  vote: "Each member votes for its best token, with its weight; the token is sampled from the votes.",
  confident: "Only the most confident member counts, weights included.",
  contrastive:
    "Favours tokens that experts (positive weight) prefer and amateurs (negative weight) do not, among those the first member finds plausible.",
};

/** What a view is of. */
export function whereOf(view: EnsembleView | null, looked: number | null, text: string | null): string {
  if (!view || view.position === null) return "There are no predictions before there is a text.";
  if (looked !== null) return `Predictions at ${quoted(text ?? "")}, token ${looked + 1} of the text.`;
  return "Predictions for the next token.";
}

/** A probability that fits into a narrow column. */
function short(probability: number): string {
  const value = 100 * probability;
  return value < 0.1 ? "<0.1 %" : `${value.toFixed(value < 9.95 ? 1 : 0)} %`;
}

function element(name: string, className: string): HTMLElement {
  const made = document.createElement(name);
  made.className = className;
  return made;
}
