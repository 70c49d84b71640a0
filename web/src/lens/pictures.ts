/** Small pictures of numbers by head, layer or token, as tables that can be read. */

import { make } from "../step/elements";
import { barTable } from "../ui/bars";
import type { HeadWorth } from "../protocol/lens-change";
import { colourOf } from "../ui/scale";
import { headWords } from "./change-code";
import { signed } from "./measured";

export interface Cells {
  readonly caption: string;
  /** [row][column] */
  readonly values: readonly (readonly number[])[];
  readonly rows: string;
  readonly columns: readonly string[];
  /** Said of all columns, in a row above them. */
  readonly across: string;
  /** With it each cell is a button. */
  readonly choose?: (row: number, column: number) => void;
  readonly cellWords: (row: number, column: number) => string;
}

/** A table whose cells are as dark as their numbers are large, from 0 to 1; all can be read. */
export function cellTable({
  caption, values, rows, columns, across, choose, cellWords,
}: Cells): HTMLElement {
  const table = make("table", "cells");
  table.createCaption().textContent = caption;
  const head = table.createTHead().insertRow();
  const corner = make("th", "cells-corner", across);
  corner.scope = "col";
  head.append(corner, ...columns.map((words) => columnHead(words)));
  const body = table.createTBody();
  // The last layer on top: the text passes through them from below.
  for (let row = values.length - 1; row >= 0; row -= 1) {
    const line = body.insertRow();
    const label = make("th", "", `${rows} ${row}`);
    label.scope = "row";
    line.append(label);
    values[row]?.forEach((value, column) => {
      const cell = line.insertCell();
      cell.style.backgroundColor = colourOf(value);
      const words = hundredths(value);
      if (!choose) {
        cell.textContent = words;
        cell.title = cellWords(row, column);
        return;
      }
      const button = make("button", "cell", words);
      button.type = "button";
      button.setAttribute("aria-label", `${cellWords(row, column)}: ${words}`);
      button.title = cellWords(row, column);
      button.addEventListener("click", () => choose(row, column));
      cell.append(button);
    });
  }
  const box = make("div", "cells-box", table);
  box.tabIndex = 0; // it scrolls
  box.setAttribute("role", "region");
  box.setAttribute("aria-label", caption);
  return box;
}

/** "0.12", with a true minus, and none of nothing. */
export function hundredths(value: number): string {
  const words = value.toFixed(2);
  return words === "-0.00" ? "0.00" : words.replace("-", "−");
}

function columnHead(words: string): HTMLTableCellElement {
  const cell = make("th", "", make("span", "", words));
  cell.scope = "col";
  return cell;
}

/** Heads by what it costs to be without them, the dearest first. */
export function worthBars(
  heads: readonly HeadWorth[],
  choose?: (layer: number, head: number) => void,
): HTMLTableElement {
  const most = Math.max(...heads.map(([, , change]) => Math.abs(change)), Number.EPSILON);
  return barTable({
    caption: "Heads, by the bits per byte that removing them costs",
    heads: ["head", "bits per byte"],
    bars: heads.map(([layer, head, change]) => {
      const words = headWords(layer, head);
      return {
        label: words.charAt(0).toUpperCase() + words.slice(1),
        share: Math.max(0, change) / most,
        words: signed(change),
        ...(choose ? { choose: () => choose(layer, head) } : {}),
      };
    }),
  });
}
