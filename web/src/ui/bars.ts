/**
 * A distribution as a table with a bar in each row: the labels are text, and a screen reader reads
 * the table. Charts of numbers over time are in chart.ts.
 */

/** One row of a bar table. */
export interface Bar {
  readonly label: string;
  /** The bar's length, from 0 to 1. */
  readonly share: number;
  /** The value in words, as "23.4 %". */
  readonly words: string;
  /** What `words` cannot say in the space of a column. */
  readonly more?: string;
  /** The row that this is about. */
  readonly current?: boolean;
  /** With it the label is a button that does this. */
  readonly choose?: () => void;
}

export interface BarTable {
  /** What the table shows; read to those who do not see it. */
  readonly caption: string;
  /** Heads of the columns label, bar and value. */
  readonly heads: readonly [label: string, value: string];
  readonly bars: readonly Bar[];
}

/**
 *     host.append(barTable({
 *       caption: "The likeliest tokens",
 *       heads: ["token", "probability"],
 *       bars: [{ label: "“ cat”", share: 0.62, words: "62.0 %" }],
 *     }));
 */
export function barTable({ caption, heads, bars }: BarTable): HTMLTableElement {
  const table = document.createElement("table");
  table.className = "bar-table";
  const title = table.createCaption();
  title.className = "visually-hidden";
  title.textContent = caption;
  const head = table.createTHead();
  head.className = "visually-hidden";
  const names = head.insertRow();
  for (const name of heads) {
    const cell = document.createElement("th");
    cell.scope = "col";
    cell.textContent = name;
    names.append(cell);
  }
  const body = table.createTBody();
  for (const bar of bars) body.append(row(bar));
  return table;
}

function row(bar: Bar): HTMLTableRowElement {
  const made = document.createElement("tr");
  const label = document.createElement("th");
  label.scope = "row";
  label.append(bar.choose ? choice(bar.label, bar.choose) : words(bar.label));
  const value = document.createElement("td");
  const length = document.createElement("span");
  length.className = "bar";
  length.style.setProperty("--share", `${(100 * Math.min(1, Math.max(0, bar.share))).toFixed(2)}%`);
  const number = document.createElement("span");
  number.textContent = bar.words;
  value.append(length, number);
  if (bar.current) {
    made.className = "current";
    made.setAttribute("aria-current", "true");
  }
  if (bar.more) made.title = bar.more;
  made.append(label, value);
  return made;
}

function words(label: string): HTMLElement {
  const span = document.createElement("span");
  span.textContent = label;
  return span;
}

function choice(label: string, choose: () => void): HTMLButtonElement {
  const button = document.createElement("button");
  button.type = "button";
  button.className = "choice";
  button.textContent = label;
  button.addEventListener("click", choose);
  return button;
}
