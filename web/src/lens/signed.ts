/** Numbers above and below nothing as a table with a bar in each row, from its middle to one side. */

export interface SignedBar {
  readonly label: string;
  readonly value: number;
  /** The value in words. */
  readonly words: string;
  readonly current?: boolean;
  /** With it the label is a button that does this. */
  readonly choose?: () => void;
}

export interface SignedTable {
  /** What the table shows; read to those who do not see it. */
  readonly caption: string;
  readonly heads: readonly [label: string, value: string];
  readonly bars: readonly SignedBar[];
  /** The size that fills one side; without it, the largest of these. */
  readonly most?: number;
}

export function signedTable({ caption, heads, bars, most }: SignedTable): HTMLTableElement {
  const table = document.createElement("table");
  table.className = "bar-table signed-table";
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
  const size = most ?? Math.max(...bars.map(({ value }) => Math.abs(value)), 1e-30);
  table.createTBody().append(...bars.map((bar) => row(bar, size)));
  return table;
}

function row(bar: SignedBar, most: number): HTMLTableRowElement {
  const made = document.createElement("tr");
  const name = document.createElement("th");
  name.scope = "row";
  name.append(bar.choose ? choice(bar.label, bar.choose) : span("", bar.label));
  const value = document.createElement("td");
  const length = span("bar", "");
  const share = Math.min(1, Math.abs(bar.value) / most) / 2;
  length.style.setProperty("--share", `${(100 * share).toFixed(2)}%`);
  length.classList.toggle("below", bar.value < 0);
  value.append(span("bar-ground", "", length), span("", bar.words));
  if (bar.current) {
    made.className = "current";
    made.setAttribute("aria-current", "true");
  }
  made.append(name, value);
  return made;
}

function span(name: string, text: string, ...children: readonly HTMLElement[]): HTMLElement {
  const made = document.createElement("span");
  made.className = name;
  made.append(text, ...children);
  return made;
}

function choice(label: string, choose: () => void): HTMLButtonElement {
  const button = document.createElement("button");
  button.type = "button";
  button.className = "choice";
  button.textContent = label;
  button.addEventListener("click", choose);
  return button;
}
