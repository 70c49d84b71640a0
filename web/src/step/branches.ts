/** The tree of branches: where each leaves the others, how long it is, and two of them compared. */

import type { BranchRow, Comparison, StepTokenRow, StepView } from "../protocol/step";
import { byId } from "../ui/dom";
import { plural } from "../ui/format";
import { bitsOf, colourOf, levelOf, percent } from "../ui/scale";
import { make, quietButton } from "./elements";
import type { Stepper } from "./stepper";

export class Branches {
  readonly #stepper: Stepper;
  readonly #list = byId("step-branches", HTMLElement);
  readonly #comparison = byId("step-comparison", HTMLElement);
  #shown = "";
  /** The branch whose name is being written. */
  #naming: number | null = null;

  constructor(stepper: Stepper) {
    this.#stepper = stepper;
  }

  show(view: StepView | null): void {
    const rows = view?.branches ?? [];
    const key = JSON.stringify([rows, this.#naming]);
    if (key === this.#shown) return;
    this.#shown = key;
    this.#comparison.hidden = true;
    const longest = Math.max(1, ...rows.map(([, , length]) => length));
    const items = inOrder(rows).map(([row, level]) => this.#row(row, level, longest));
    this.#list.replaceChildren(...items);
    if (this.#naming !== null) this.#list.querySelector("input")?.select();
  }

  #row(row: BranchRow, level: number, longest: number): HTMLElement {
    const [number, name, length, since, current] = row;
    const item = make("li", current ? "current" : "");
    item.style.setProperty("--depth", String(Math.min(level, 6)));
    item.style.setProperty("--since", `${(100 * since) / longest}%`);
    item.style.setProperty("--long", `${(100 * (length - since)) / longest}%`);
    const head = make("div", "branch-head");
    if (this.#naming === number) head.append(this.#nameForm(number, name));
    else head.append(this.#switch(number, name, current));
    const from = since > 0 || level > 0 ? `, diverging at token ${since + 1}` : "";
    head.append(make("span", "branch-words", plural(length, "token") + from));
    const line = make("span", "branch-line", make("span", "shared"), make("span", "alone"));
    line.setAttribute("aria-hidden", "true");
    item.append(head, line, this.#buttons(row));
    return item;
  }

  #switch(number: number, name: string, current: boolean): HTMLButtonElement {
    const button = make("button", "branch-name", name);
    button.type = "button";
    if (current) button.setAttribute("aria-current", "true");
    button.title = `Go to the end of ${name}`;
    button.addEventListener("click", () =>
      void this.#stepper.move((a) => a.engine.step.switch(a.session, a.known, number)),
    );
    return button;
  }

  #buttons([number, name, , , current]: BranchRow): HTMLElement {
    const rename = (): void => {
      this.#naming = number;
      this.show(this.#stepper.view);
    };
    const buttons = make("div", "branch-buttons", quietButton("Rename", rename, `Rename ${name}`));
    if (current) return buttons;
    const compare = (): void => void this.#compare(number);
    const drop = (): void =>
      void this.#stepper.move((a) => a.engine.step.drop(a.session, a.known, number));
    buttons.prepend(quietButton("Compare", compare, `Compare ${name} with the current branch`));
    buttons.append(quietButton("Remove", drop, `Remove ${name}`));
    return buttons;
  }

  #nameForm(number: number, name: string): HTMLFormElement {
    const field = make("input");
    field.value = name;
    field.maxLength = 60;
    field.setAttribute("aria-label", `A new name for ${name}`);
    const form = make("form", "branch-form", field);
    let over = false;
    const done = (keep: boolean): void => {
      if (over) return;
      over = true;
      this.#naming = null;
      const words = field.value;
      if (keep && words.trim() && words !== name) {
        void this.#stepper.move((a) => a.engine.step.rename(a.session, a.known, number, words));
      } else this.show(this.#stepper.view);
    };
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      done(true);
    });
    field.addEventListener("blur", () => done(true));
    field.addEventListener("keydown", (event) => {
      if (event.key === "Escape") done(false);
    });
    return form;
  }

  async #compare(other: number): Promise<void> {
    const rows = this.#stepper.view?.branches ?? [];
    const here = rows.find((row) => row[4]);
    const there = rows.find(([number]) => number === other);
    if (!here || !there) return;
    const found = await this.#stepper.ask((a) =>
      a.engine.step.compare(a.session, here[0], other),
    );
    if (!found) return;
    this.#comparison.replaceChildren(...comparison(found, [here[1], there[1]]));
    const close = quietButton("Close", () => (this.#comparison.hidden = true));
    this.#comparison.querySelector(".compare-head")?.append(close);
    this.#comparison.hidden = false;
    this.#comparison.focus();
  }
}

/** Each branch after the one that it left, with how deep that is. */
function inOrder(rows: readonly BranchRow[]): [row: BranchRow, level: number][] {
  const ordered: [BranchRow, number][] = [];
  const there = new Set(rows.map(([number]) => number));
  const add = (parent: number | null, level: number): void => {
    for (const row of rows) {
      const from = row[5] !== null && there.has(row[5]) ? row[5] : null;
      if (from !== parent) continue;
      ordered.push([row, level]);
      add(row[0], level + 1);
    }
  };
  add(null, 0);
  return ordered;
}

function comparison(found: Comparison, names: readonly [string, string]): HTMLElement[] {
  const [left, right] = found.sides;
  const shared = commonTokens(left, right);
  const words = `After ${plural(found.common, "common token")}`;
  const lead = make("p", "compare-lead", found.text.slice(-120) || "The beginning");
  if (found.text.length > 120) lead.prepend("…");
  const columns = found.sides.map((side, at) => column(names[at] ?? "", side, shared[at] ?? new Set()));
  return [
    make("div", "compare-head", make("h3", "", words)),
    lead,
    make("div", "compare-columns", ...columns),
  ];
}

function column(name: string, side: readonly StepTokenRow[], shared: ReadonlySet<number>): HTMLElement {
  const bits = side.reduce((sum, [, , logprob]) => sum + bitsOf(logprob), 0);
  const mean = side.length ? Math.exp((-bits * Math.LN2) / side.length) : 0;
  const text = make("p", "compare-text");
  side.forEach(([words, , logprob], at) => {
    const alone = !shared.has(at);
    const token = make("span", alone ? "token" : "token same", words);
    if (alone) token.style.background = colourOf(levelOf(logprob, "surprise"));
    token.title = percent(Math.exp(logprob));
    text.append(token);
  });
  if (side.length === 0) text.append(make("em", "", "ends there"));
  const facts = `${plural(side.length, "token")}, ${bits.toFixed(1)} bits, ${percent(mean)} per token`;
  return make("div", "", make("h4", "", name), make("p", "compare-facts", facts), text);
}

/** More tokens than these are not put side by side: the table of pairs would be too large. */
const MOST = 1500;

/** The places of the longest common subsequence in both lists. */
function commonTokens(
  left: readonly StepTokenRow[],
  right: readonly StepTokenRow[],
): [Set<number>, Set<number>] {
  const found: [Set<number>, Set<number>] = [new Set(), new Set()];
  const [n, m] = [Math.min(left.length, MOST), Math.min(right.length, MOST)];
  const width = m + 1;
  const lengths = new Uint16Array((n + 1) * width);
  const at = (i: number, j: number): number => lengths[i * width + j] ?? 0;
  for (let i = n - 1; i >= 0; i--) {
    for (let j = m - 1; j >= 0; j--) {
      const same = left[i]?.[1] === right[j]?.[1];
      lengths[i * width + j] = same ? at(i + 1, j + 1) + 1 : Math.max(at(i + 1, j), at(i, j + 1));
    }
  }
  for (let i = 0, j = 0; i < n && j < m; ) {
    if (left[i]?.[1] === right[j]?.[1]) {
      found[0].add(i++);
      found[1].add(j++);
    } else if (at(i + 1, j) >= at(i, j + 1)) i++;
    else j++;
  }
  return found;
}
