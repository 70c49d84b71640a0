/** The view “Change”: what stands changed inside the model, what comes next with it, what it costs. */

import { make, quietButton } from "../step/elements";
import type { Compared, EffectFound, RankingFound, WrittenBoth } from "../protocol/lens-change";
import { copy } from "../ui/clipboard";
import { byId } from "../ui/dom";
import { plural } from "../ui/format";
import { percent } from "../ui/scale";
import { quoted } from "../ui/token";
import { Adding } from "./change-form";
import { PLAIN, changeWords, isTurnable } from "./change-code";
import type { Change } from "./change-code";
import { changesOf } from "./changes";
import type { Changes } from "./changes";
import { measuredOf } from "./measured";
import { worthBars } from "./pictures";
import { Pane } from "./state";
import type { LensText, LensView } from "./state";
import { Work } from "./work";

/** Tokens of “Write with and without”. */
const WRITTEN = 60;

const button = (id: string): HTMLButtonElement => byId(id, HTMLButtonElement);
const element = (id: string): HTMLElement => byId(id, HTMLElement);

class ChangePane extends Pane {
  readonly #changes: Changes;
  readonly #list = element("change-list");
  readonly #work = new Work("effect", "change");
  readonly #count = byId("effect-count", HTMLInputElement);
  readonly #text = byId("effect-text", HTMLTextAreaElement);
  /** What is compared at the moment; an answer of before does not count. */
  #turn = 0;

  constructor(root: HTMLElement, lens: LensView) {
    super(root, lens, "change");
    this.#changes = changesOf(lens.live);
    new Adding(lens, (change) => void this.#changes.add(change));
    this.#changes.addEventListener("change", () => this.#changed());
    this.#changes.addEventListener("failure", () => this.#complain());
    button("change-all").addEventListener("click", () =>
      void this.#changes.switchAll(this.#changes.on.length === 0),
    );
    button("change-link").addEventListener("click", () => void this.#copyLink());
    button("change-write").addEventListener("click", () => void this.#write());
    button("effect-start").addEventListener("click", () => void this.#measure());
    button("rank-start").addEventListener("click", () => void this.#rank(false));
    button("rank-estimate").addEventListener("click", () => void this.#rank(true));
    measuredOf(lens.live).addEventListener("change", () => this.#showRanking());
    // The panel's text is looked into by Enter, not what is said here.
    root.addEventListener("keydown", (event) => {
      if (event.key === "Enter" && event.target instanceof HTMLInputElement) event.preventDefault();
    });
    for (const id of ["change-add", "change-write", "rank-start", "rank-estimate"]) button(id).disabled = false;
    this.#showList();
    this.#complain();
    this.#showRanking();
    this.follow();
  }

  /** The worker has another list. */
  #changed(): void {
    this.#showList();
    this.#complain();
    element("change-both").hidden = true;
  }

  protected async show(text: LensText): Promise<void> {
    const turn = (this.#turn += 1);
    const { position } = this.lens;
    const ids = text.tokens.slice(0, position + 1).map(({ id }) => id);
    const at = text.tokens[position]?.text ?? "";
    element("change-next").ariaBusy = "true";
    const found = await this.lens.ask((engine, session) =>
      engine.lensChange.next(session, JSON.stringify(ids)),
    );
    if (turn !== this.#turn) return;
    element("change-next").ariaBusy = "false";
    if (found) this.#compare(found, at, this.#changes.on.length);
  }

  #compare({ rows, bits }: Compared, at: string, changes: number): void {
    const after = `After ${quoted(at)}, the selected token`;
    element("change-next-words").textContent = changes
      ? `${after}: ${bits.toFixed(bits < 1 ? 3 : 2)} bits of KL divergence from the unchanged model.`
      : `${after}. A change adds a second bar.`;
    element("change-next").replaceChildren(comparison(rows, changes > 0));
  }

  #showList(): void {
    const { list, on } = this.#changes;
    // A slider that is being turned stays the same element.
    const turned = document.activeElement;
    if (turned instanceof HTMLInputElement && turned.type === "range" && this.#list.contains(turned)) {
      const items = [...this.#list.children];
      if (items.length === list.length) {
        list.forEach((change, at) => nameOf(items[at] as HTMLElement, change));
        return;
      }
    }
    const focused = [...this.#list.children].findIndex((item) => item.contains(turned));
    this.#list.replaceChildren(...list.map((change, at) => this.#item(change, at)));
    if (focused >= 0) this.#list.children[focused]?.querySelector("input")?.focus();
    element("change-none").hidden = list.length > 0;
    element("change-actions").hidden = list.length === 0;
    button("change-all").textContent = on.length ? "Switch all off" : "Switch all on";
    button("effect-start").disabled = on.length === 0;
  }

  #item(change: Change, at: number): HTMLLIElement {
    const replace = (made: Change | null): Promise<boolean> => {
      const { list } = this.#changes;
      return this.#changes.put(list.flatMap((one, place) => (place !== at ? [one] : made ? [made] : [])));
    };
    const box = make("input");
    box.type = "checkbox";
    box.checked = change.on;
    box.setAttribute("role", "switch");
    box.autocomplete = "off";
    box.addEventListener("change", () => void replace({ ...(this.#changes.list[at] ?? change), on: box.checked }));
    const name = make("span", "change-name");
    const item = make("li", "", make("label", "switch", box, name));
    if (isTurnable(change)) item.append(slider(change, (factor) => replace({ ...change, factor, on: true })));
    const words = changeWords(change);
    item.append(quietButton("Remove", () => void replace(null), `Remove: ${words}`));
    nameOf(item, change);
    return item;
  }

  #complain(): void {
    element("change-notice").hidden = !this.#changes.failure;
    element("change-notice-words").textContent = this.#changes.failure;
  }

  async #copyLink(): Promise<void> {
    const pressed = button("change-link");
    pressed.textContent = (await copy(this.lens.link)) ? "Copied" : "Copying is not allowed here";
    setTimeout(() => (pressed.textContent = "Copy link"), 1600);
  }

  async #write(): Promise<void> {
    const { text, position, live } = this.lens;
    if (!text) return;
    const ids = JSON.stringify(text.tokens.slice(0, position + 1).map(({ id }) => id));
    const options = JSON.stringify({ ...live.draft().settings, max_tokens: WRITTEN });
    const found = await this.#work.run<WrittenBoth>("Writing.", live, (engine, session) =>
      engine.lensChange.write(session, ids, options),
    );
    if (!found) return;
    element("change-both").hidden = false;
    element("change-before").textContent = found.before;
    element("change-after").textContent = found.after;
    if (found.before === found.after) this.#work.say("Both texts are identical.");
  }

  async #stories(): Promise<string> {
    return this.#text.value.trim() ? this.#text.value : this.#changes.stories();
  }

  get #most(): number {
    return Math.trunc(this.#count.valueAsNumber) || 0;
  }

  async #measure(): Promise<void> {
    const changes = this.#changes.on.map(changeWords);
    const found = await this.#long<EffectFound>("Measuring.", "effect");
    if (!found) return;
    measuredOf(this.lens.live).add({ effect: { ...found, changes } });
    const share = 100 * (found.after / found.before - 1);
    const more = `${Math.abs(share).toFixed(1)} % ${share >= 0 ? "more" : "fewer"}`;
    this.#work.say(
      `${found.before.toFixed(4)} bits per byte as trained, ${found.after.toFixed(4)} with the ` +
        `changes: ${more}. ${plural(found.worse, "text")} of ${found.texts} ${found.worse === 1 ? "is" : "are"} predicted worse.`,
    );
  }

  async #rank(estimate: boolean): Promise<void> {
    const changes = this.#changes.on.map(changeWords);
    const found = await this.#long<RankingFound>("Ranking.", estimate ? "estimate" : "rank");
    if (found) measuredOf(this.lens.live).add({ ranking: { ...found, changes } });
  }

  async #long<Result>(words: string, what: "effect" | "rank" | "estimate"): Promise<Result | null> {
    const text = await this.#stories().catch((error: unknown) => this.#work.fail(error));
    if (text === undefined) return null;
    return this.#work.run<Result>(words, this.lens.live, (engine, session) =>
      what === "effect"
        ? engine.lensChange.effect(session, text, this.#most)
        : engine.lensChange.rank(session, text, this.#most, what === "estimate"),
    );
  }

  #showRanking(): void {
    const { ranking } = measuredOf(this.lens.live).found;
    element("rank-found").hidden = !ranking;
    if (!ranking) return;
    const changed = ranking.changes.length ? `, with ${ranking.changes.join("; ")}` : "";
    element("rank-words").textContent =
      `Increase in bits per byte without each head; ${ranking.bits.toFixed(4)} with ` +
      `all of them${changed}; ${plural(ranking.texts, "text")}${ranking.estimate ? ", estimated by gradients" : ""}. ` +
      "Choose one to switch it off.";
    const choose = (layer: number, head: number): void =>
      void this.#changes.add({ ...PLAIN, layer, unit: head });
    element("rank-bars").replaceChildren(worthBars(ranking.heads, choose));
  }
}

function nameOf(item: HTMLElement, change: Change): void {
  const words = changeWords(change);
  const name = item.querySelector(".change-name");
  if (name) name.textContent = words.charAt(0).toUpperCase() + words.slice(1);
  item.classList.toggle("off", !change.on);
}

/** How strongly something is changed, turned while it is felt. */
function slider(change: Change, turn: (factor: number) => Promise<unknown>): HTMLInputElement {
  const most = Math.max(change.kind === "steer" ? 8 : 4, Math.abs(change.factor));
  const made = make("input", "slider");
  made.type = "range";
  Object.assign(made, { min: String(-most), max: String(most), step: "0.1", autocomplete: "off" });
  made.value = String(change.factor);
  made.setAttribute("aria-label", `How much: ${changeWords(change)}`);
  let [turning, wanted] = [false, null as number | null];
  made.addEventListener("input", () => {
    wanted = made.valueAsNumber;
    if (!turning) void follow();
  });
  // Of many in a row that come while the worker is busy, the last one counts.
  const follow = async (): Promise<void> => {
    turning = true;
    while (wanted !== null) {
      const value = wanted;
      wanted = null;
      await turn(value);
    }
    turning = false;
  };
  return made;
}

/** Two bars a token: as it was trained, and with the changes. */
function comparison(rows: Compared["rows"], changed: boolean): HTMLTableElement {
  const table = make("table", "change-bars");
  const caption = table.createCaption();
  caption.className = "visually-hidden";
  caption.textContent = "The most likely next tokens, without the changes and with them";
  const head = table.createTHead().insertRow();
  for (const words of ["token", "as trained", ...(changed ? ["with the changes"] : [])]) {
    const cell = make("th", "", words);
    cell.scope = "col";
    head.append(cell);
  }
  const most = Math.max(...rows.flatMap(([, , before, after]) => [before, after]), Number.EPSILON);
  const body = table.createTBody();
  for (const [text, , before, after] of rows) {
    const line = body.insertRow();
    const label = make("th", "", make("span", "", quoted(text)));
    label.scope = "row";
    line.append(label);
    line.append(bar(before, most, "before"));
    if (changed) line.append(bar(after, most, "after"));
  }
  return table;
}

/** As long as its share of the largest of them all, since most probabilities are small. */
function bar(probability: number, most: number, which: string): HTMLTableCellElement {
  const length = make("span", `bar ${which}`);
  length.style.setProperty("--share", `${((100 * probability) / most).toFixed(2)}%`);
  return make("td", "", length, make("span", "", percent(probability)));
}

export function mount(root: HTMLElement, lens: LensView): void {
  new ChangePane(root, lens);
}
