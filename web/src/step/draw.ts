/** How one token comes about: the draw as a strip, its stages as a table, and what can be changed. */

import { DROPPED_BY } from "../api/sampling-options";
import type { Draw, DrawRow } from "../protocol/step";
import { byId } from "../ui/dom";
import { count, plural } from "../ui/format";
import { percent } from "../ui/scale";
import { quoted } from "../ui/tokens";
import { make } from "./elements";

/** What the visitor may do to a candidate. */
export interface DrawActions {
  edit(token: number, logit: number): void;
  ban(token: number): void;
  force(token: number): void;
  clear(token: number | null): void;
}

export class DrawTable {
  readonly #strip = byId("step-strip", HTMLElement);
  readonly #words = byId("step-draw-words", HTMLElement);
  readonly #table = byId("step-stages", HTMLTableElement);
  readonly #editor = byId("step-editor", HTMLFormElement);
  readonly #who = byId("step-who", HTMLElement);
  readonly #logit = byId("step-logit", HTMLInputElement);
  readonly #undo = byId("step-undo", HTMLButtonElement);
  readonly #force = byId("step-force", HTMLButtonElement);
  readonly #undoAll = byId("step-undo-all", HTMLButtonElement);
  #draw: Draw | null = null;
  #editable = false;
  #forced: number | null = null;
  /** The candidate that the editor is about. */
  #chosen: number | null = null;

  constructor(actions: DrawActions) {
    this.#editor.addEventListener("submit", (event) => {
      event.preventDefault();
      const value = this.#logit.valueAsNumber;
      if (this.#chosen !== null && !Number.isNaN(value)) actions.edit(this.#chosen, value);
    });
    const press = (id: string, act: (token: number) => void): void =>
      byId(id, HTMLButtonElement).addEventListener("click", () => {
        if (this.#chosen !== null) act(this.#chosen);
      });
    press("step-ban", (token) => actions.ban(token));
    press("step-force", (token) => actions.force(token));
    press("step-undo", (token) => actions.clear(token));
    this.#undoAll.addEventListener("click", () => actions.clear(null));
  }

  /** Show a draw, or in words why there is none; `editable` where it is still to be taken. */
  show(draw: Draw | null, editable: boolean, forced: number | null, none = ""): void {
    // A view is told more than once, and laying a table out costs more than all else of a step.
    if (draw && draw === this.#draw && editable === this.#editable && forced === this.#forced) return;
    this.#draw = draw;
    this.#editable = editable;
    this.#forced = forced;
    const rows = draw?.rows ?? [];
    if (!rows.some(([id]) => id === this.#chosen)) this.#chosen = draw?.id ?? null;
    this.#words.textContent = draw ? summary(draw, editable) : none;
    byId("step-bits", HTMLElement).textContent = draw?.bits ? `logits ${draw.bits}` : "";
    this.#strip.hidden = !draw || draw.greedy;
    if (draw && !draw.greedy) this.#strip.replaceChildren(...segments(draw));
    this.#table.hidden = !draw;
    if (draw) this.#fill(draw);
    this.#undoAll.hidden = !editable || (forced === null && rows.every((row) => !row[8]));
    this.#showEditor(forced);
  }

  #fill(draw: Draw): void {
    const rest = draw.rows.filter(([, , fate]) => fate !== "constraint"); // which is no edit
    const biased = rest.some(([, , , logit, biased]) => biased !== logit);
    const penalized = rest.some(([, , , , biased, penalized]) => penalized !== biased);
    const logit = column("Logit");
    const head = make("tr", "", column("Token"), logit);
    if (biased) head.append(column("Edited", "stage"));
    if (penalized) head.append(column("Penalty", "stage"));
    if (biased || penalized) logit.append(make("span", "became", " → after"));
    head.append(...(draw.greedy ? ["Chosen"] : ["Probability", "Draw"]).map((words) => column(words)));
    this.#table.tHead?.replaceChildren(head);
    const rows = draw.rows.map((row) => this.#row(draw, row, biased, penalized));
    this.#table.tBodies[0]?.replaceChildren(...rows);
  }

  #row(draw: Draw, row: DrawRow, biased: boolean, penalized: boolean): HTMLTableRowElement {
    const [id, text, fate, logit, afterBias, afterPenalty, weight, , edited] = row;
    const made = make("tr", fate === "kept" ? "" : "dropped");
    if (id === draw.id) made.setAttribute("aria-current", "true");
    if (id === this.#chosen && this.#editable) made.classList.add("chosen");
    const name = make("th", edited ? "edited" : "");
    name.scope = "row";
    name.append(this.#editable ? this.#choice(id, text) : make("span", "", quoted(text)));
    const first = make("td", "", number(logit));
    made.append(name, first);
    if (biased) made.append(stage(afterBias, logit));
    if (penalized) made.append(stage(afterPenalty, afterBias));
    // Where there is no room for these columns, what came of the logit stands beside it.
    if (afterPenalty !== logit && fate !== "constraint") first.append(make("span", "became", ` → ${number(afterPenalty)}`));
    if (draw.greedy) {
      made.append(make("td", "", fate === "kept" ? "the best" : DROPPED_BY[fate]));
      return made;
    }
    made.append(make("td", "", percent(weight / draw.mass)));
    const last = make("td", "in-draw");
    if (fate === "kept") {
      const bar = make("span", "bar");
      bar.style.setProperty("--share", `${((100 * weight) / draw.total).toFixed(2)}%`);
      last.append(make("div", "", bar, make("span", "", percent(weight / draw.total))));
    } else {
      if (fate !== "greedy" && fate !== "no_weight") last.append(make("span", "out", "out: "));
      last.append(edited && afterBias === null ? "banned" : DROPPED_BY[fate]);
    }
    made.append(last);
    return made;
  }

  #choice(id: number, text: string): HTMLButtonElement {
    const button = make("button", "choice", quoted(text));
    button.type = "button";
    button.setAttribute("aria-pressed", String(id === this.#chosen));
    button.dataset["token"] = String(id);
    button.addEventListener("click", () => {
      this.#chosen = id;
      if (this.#draw) this.#fill(this.#draw);
      this.#showEditor(null);
      this.#table.querySelector<HTMLElement>(`[data-token="${id}"]`)?.focus();
    });
    return button;
  }

  #showEditor(forced: number | null): void {
    const row = this.#draw?.rows.find(([id]) => id === this.#chosen);
    this.#editor.hidden = !row || !this.#editable;
    if (!row) return;
    const [id, text, fate, logit, biased, , , , edited] = row;
    this.#who.textContent = `${quoted(text)}, id ${id}`;
    this.#logit.value = (edited && biased !== null ? biased : logit).toFixed(2);
    this.#undo.disabled = !edited && forced !== id;
    this.#force.disabled = fate === "constraint"; // nobody can take it
  }
}

/** A logit after a stage, and whether the stage changed it. */
function stage(value: number | null, before: number | null): HTMLTableCellElement {
  return make("td", value === before ? "stage same" : "stage", number(value));
}

function column(words: string, className = ""): HTMLTableCellElement {
  const cell = make("th", className, words);
  cell.scope = "col";
  return cell;
}

/** A logit; no number is minus infinity. */
function number(value: number | null): string {
  return value === null ? "−∞" : value.toFixed(2).replace("-", "−");
}

/** The kept candidates in the order in which they are drawn from, and where the number fell. */
function segments(draw: Draw): HTMLElement[] {
  const survivors = draw.rows.filter(([, , fate]) => fate === "kept");
  const parts = survivors.map(([id, text, , , , , weight, start]) => {
    const part = make("span", id === draw.drawn ? "part hit" : "part", make("span", "", text.trim()));
    part.style.insetInlineStart = `${(100 * start) / draw.total}%`;
    part.style.inlineSize = `${(100 * weight) / draw.total}%`;
    return part;
  });
  const mark = make("span", "mark");
  mark.style.insetInlineStart = `${100 * draw.uniform}%`;
  return [...parts, mark];
}

/** The draw in words: for everybody, and all that a screen reader needs of the strip. */
function summary(draw: Draw, editable: boolean): string {
  const text = (id: number): string => quoted(draw.rows.find((row) => row[0] === id)?.[1] ?? "");
  const stay = draw.survivors === 1 ? "stays" : "stay";
  const { allowed } = draw;
  const lets = allowed === null ? "" : `The constraint allows ${plural(allowed, "token")}. `;
  const among = `${count(draw.survivors)} of ${count(draw.vocabulary)} tokens ${stay} in the draw.`;
  const fell = draw.greedy
    ? `${lets}Temperature 0 takes the best, ${text(draw.drawn)}.`
    : `${lets}${among} The random number ${draw.uniform.toFixed(4)} falls on ${text(draw.drawn)}.`;
  if (draw.how === "forced") {
    return draw.id === draw.drawn ? `Forced. ${fell}` : `${text(draw.id)} is forced. ${fell}`;
  }
  if (draw.how !== "sampler") return fell;
  const who = editable ? "Your sampler will choose" : `Your sampler chose ${text(draw.id)}`;
  return `${who}; the built-in sampler would do this. ${fell}`;
}
