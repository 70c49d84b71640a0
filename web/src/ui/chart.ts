/**
 * Charts of numbers, small and the same in every panel.
 *
 *     const chart = lineChart(host, {
 *       title: "Loss", x: { name: "step" }, y: { name: "bits per byte", digits: 3 },
 *       series: ["training", "held out"],
 *     });
 *     chart.update(steps, [training, heldOut]);       // as often as there is something new
 *
 * A chart is a figure: its title, what it says in words, the picture, and the same numbers as a
 * table that the reader can open. The library that draws (uPlot) is fetched when the first chart is
 * made, and what was given until then is drawn when it is there. `barTable` is for distributions
 * over words; `histogram` counts numbers into a bar chart.
 */

import type uPlot from "uplot";
import { resolved } from "./scale";

export { barTable } from "./bars";
export type { Bar, BarTable } from "./bars";

export interface Axis {
  /** What is measured, with its unit: "milliseconds". */
  readonly name: string;
  /** Digits behind the point, in the words and the table. */
  readonly digits?: number;
  /** The axis begins at 0; for lengths and times, where the distance from nothing counts. */
  readonly fromZero?: boolean;
}

export interface ChartOptions {
  readonly title: string;
  readonly x: Axis;
  readonly y: Axis;
  /** Names of the series, at most four: colours, and line styles where colours cannot be seen. */
  readonly series: readonly string[];
  readonly kind?: "line" | "bars";
  /** Height of the picture in pixels. */
  readonly height?: number;
  /** The chart in a sentence; without it, the last, least and most of each series. */
  readonly describe?: (x: readonly number[], series: readonly Values[]) => string;
}

/** One series: a number for every x, null where there is none. */
export type Values = readonly (number | null)[];

const COLOURS = [1, 2, 3, 4].map((n) => `var(--thimble-series-${n})`);
const DASHES = [[], [6, 3], [2, 3], [8, 3, 2, 3]];
/** A table longer than this is thinned: nobody reads more, and the last row stays. */
const MOST_ROWS = 200;

/** Steps between the marks of an axis of whole numbers. */
const WHOLE_STEPS = [1, 10, 100, 1e3, 1e4, 1e5, 1e6].flatMap((n) => [n, 2 * n, 5 * n]);

let library: Promise<typeof uPlot> | null = null;

function fetchLibrary(): Promise<typeof uPlot> {
  library ??= import("uplot").then((module) => module.default);
  library.catch(() => (library = null)); // the next chart may find the network again
  return library;
}

/** A chart in `host`, which it fills. */
export function lineChart(host: HTMLElement, options: ChartOptions): Chart {
  return new Chart(host, options);
}

export class Chart {
  readonly #options: ChartOptions;
  readonly #figure = document.createElement("figure");
  readonly #words = document.createElement("span");
  readonly #picture = document.createElement("div");
  readonly #details = document.createElement("details");
  readonly #closing = new AbortController();
  readonly #observers: { disconnect(): void }[] = [];
  #plot: uPlot | null = null;
  #x: readonly number[] = [];
  #series: readonly Values[];
  #frame = 0;

  constructor(host: HTMLElement, options: ChartOptions) {
    this.#options = options;
    this.#series = options.series.map(() => []);
    this.#build();
    host.replaceChildren(this.#figure);
    void this.#draw();
    this.#follow();
  }

  /** Show these numbers: `x` rises, and each series has a value for every x. */
  update(x: readonly number[], series: readonly Values[]): void {
    this.#x = x;
    this.#series = series;
    this.#frame ||= requestAnimationFrame(() => {
      this.#frame = 0;
      this.#show();
    });
  }

  /** Take the chart out of the page. */
  destroy(): void {
    cancelAnimationFrame(this.#frame);
    this.#closing.abort();
    for (const observer of this.#observers) observer.disconnect();
    this.#plot?.destroy();
    this.#figure.remove();
  }

  #build(): void {
    const { title, series, height = 140 } = this.#options;
    this.#figure.className = "chart";
    const caption = document.createElement("figcaption");
    const name = document.createElement("strong");
    name.textContent = title;
    this.#words.className = "chart-words";
    caption.append(name, " ", this.#words);
    if (series.length > 1) caption.append(this.#legend());
    this.#picture.className = "chart-picture";
    this.#picture.setAttribute("role", "img");
    this.#picture.style.height = `${height}px`;
    this.#details.className = "chart-table";
    const summary = document.createElement("summary");
    summary.textContent = "As a table";
    this.#details.append(summary);
    this.#details.addEventListener("toggle", () => this.#tabulate());
    this.#figure.append(caption, this.#picture, this.#details);
    this.#show();
  }

  #legend(): HTMLElement {
    const list = document.createElement("span");
    list.className = "chart-legend";
    this.#options.series.forEach((name, at) => {
      const entry = document.createElement("span");
      entry.dataset["series"] = String(at + 1);
      entry.textContent = name;
      list.append(entry);
    });
    return list;
  }

  #show(): void {
    const { title, describe } = this.#options;
    const words = this.#x.length
      ? (describe ?? ((x, series) => this.#describe(x, series)))(this.#x, this.#series)
      : "nothing yet";
    this.#words.textContent = words;
    this.#picture.setAttribute("aria-label", `${title}: ${words}`);
    this.#plot?.setData([this.#x, ...this.#series] as uPlot.AlignedData);
    this.#tabulate();
  }

  #describe(x: readonly number[], series: readonly Values[]): string {
    const { y } = this.#options;
    const last = `${this.#options.x.name} ${number(x.at(-1) ?? null, this.#options.x)}`;
    const parts = this.#options.series.map((name, at) => {
      const known = (series[at] ?? []).filter((value) => value !== null);
      if (!known.length) return `${name}: nothing yet`;
      const [least, most] = known.reduce(
        ([low, high], value) => [Math.min(low, value), Math.max(high, value)],
        [Infinity, -Infinity],
      );
      const range = `${number(least, y)} to ${number(most, y)}`;
      return `${name} ${number(known.at(-1) ?? null, y)} ${y.name} (${range})`;
    });
    return `${last}: ${parts.join("; ")}`;
  }

  /** The numbers as a table, made only while it is open. */
  #tabulate(): void {
    this.#details.querySelector(".chart-rows")?.remove();
    if (!this.#details.open) return;
    const { x, y, series } = this.#options;
    const every = Math.ceil(this.#x.length / MOST_ROWS);
    const box = document.createElement("div");
    box.className = "chart-rows";
    box.tabIndex = 0; // it scrolls
    box.setAttribute("role", "region");
    box.setAttribute("aria-label", `${this.#options.title}, the numbers`);
    const table = document.createElement("table");
    const names = [x.name, ...series.map((name) => (name === y.name ? name : `${name}, ${y.name}`))];
    table.createTHead().append(tableRow("th", names));
    const body = table.createTBody();
    this.#x.forEach((value, at) => {
      if (at % every !== 0 && at !== this.#x.length - 1) return;
      const cells = this.#series.map((values) => number(values[at] ?? null, y));
      body.append(tableRow("td", [number(value, x), ...cells]));
    });
    if (every > 1) table.createCaption().textContent = `Every ${every}th of ${this.#x.length} rows.`;
    box.append(table);
    this.#details.append(box);
  }

  async #draw(): Promise<void> {
    try {
      const Plot = await fetchLibrary();
      if (this.#closing.signal.aborted) return;
      const data = [this.#x, ...this.#series] as uPlot.AlignedData;
      this.#plot = new Plot(this.#plotOptions(Plot), data, this.#picture);
    } catch {
      // The words and the table are there all the same.
      this.#picture.classList.add("missing");
      this.#details.open = true;
    }
  }

  #plotOptions(Plot: typeof uPlot): uPlot.Options {
    const { series, kind, x, y, height = 140 } = this.#options;
    const colour = (css: string) => (): string => resolved(css, this.#figure);
    const axis = ({ name, digits = 0 }: Axis, size: number): uPlot.Axis => ({
      stroke: colour("var(--thimble-ink-3)"),
      grid: { stroke: colour("var(--thimble-line)"), width: 1 },
      ticks: { show: false },
      font: `11px ${getComputedStyle(this.#figure).fontFamily}`,
      labelFont: `11px ${getComputedStyle(this.#figure).fontFamily}`,
      ...(digits === 0 ? { incrs: WHOLE_STEPS } : {}),
      label: name,
      labelSize: 16,
      labelGap: 0,
      size,
      gap: 4,
    });
    const bars = Plot.paths.bars?.({ size: [0.85, 40] });
    return {
      width: Math.max(1, this.#picture.clientWidth),
      height,
      padding: [8, 8, 0, 0],
      legend: { show: false },
      cursor: { drag: { x: false, y: false }, points: { size: 6 } },
      scales: {
        x: { time: false, ...(kind === "bars" ? { range: widened } : x.fromZero ? { range: fromZero } : {}) },
        y: y.fromZero || kind === "bars" ? { range: fromZero } : {},
      },
      axes: [axis(x, 20), axis(y, 36)],
      series: [
        {},
        ...series.map((label, at): uPlot.Series => {
          const stroke = colour(COLOURS[at % COLOURS.length] as string);
          const shape = kind === "bars" && bars ? { paths: bars, fill: stroke } : {};
          const dash = DASHES[at % DASHES.length] as number[];
          return { label, stroke, dash, width: 1.5, points: { show: false }, ...shape };
        }),
      ],
      hooks: { setCursor: [(plot) => this.#point(plot.cursor.idx ?? null)] },
    };
  }

  /** Say the numbers under the pointer in place of the summary. */
  #point(at: number | null): void {
    if (at === null || this.#x[at] === undefined) {
      this.#words.textContent = this.#picture.getAttribute("aria-label")?.slice(
        this.#options.title.length + 2,
      ) ?? "";
      return;
    }
    const { x, y, series } = this.#options;
    const values = series.map((name, i) => {
      const value = number(this.#series[i]?.[at] ?? null, y);
      return series.length > 1 ? `${name} ${value}` : `${value} ${y.name}`;
    });
    this.#words.textContent = `${x.name} ${number(this.#x[at], x)}: ${values.join(", ")}`;
  }

  /** Keep to the width of the page and to its colours. */
  #follow(): void {
    const size = new ResizeObserver(() => {
      const width = this.#picture.clientWidth;
      const { height = 140 } = this.#options;
      if (width > 0) this.#plot?.setSize({ width, height });
    });
    size.observe(this.#picture);
    const redraw = (): void => this.#plot?.redraw(false, true);
    const theme = new MutationObserver(redraw);
    theme.observe(document.documentElement, { attributeFilter: ["data-theme"] });
    const { signal } = this.#closing;
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redraw, { signal });
    this.#observers.push(size, theme);
  }
}

/** An axis from nothing to a little more than the most. */
function fromZero(_plot: uPlot, _least: number | null, most: number | null): [number, number] {
  return [0, most ? most * 1.05 : 1];
}

/** Room for the first bar and the last, which stand astride their numbers. */
function widened(_plot: uPlot, least: number | null, most: number | null): [number, number] {
  return [(least ?? 0) - 0.5, (most ?? 1) + 0.5];
}

function number(value: number | null, { digits = 0 }: Axis): string {
  return value === null ? "–" : value.toFixed(digits);
}

function tableRow(kind: "th" | "td", words: readonly string[]): HTMLTableRowElement {
  const made = document.createElement("tr");
  for (const text of words) {
    const cell = document.createElement(kind);
    if (kind === "th") cell.setAttribute("scope", "col");
    cell.textContent = text;
    made.append(cell);
  }
  return made;
}

/** Numbers counted into bins of equal width: for `update` of a chart of `kind: "bars"`. */
export function histogram(values: readonly number[], bins = 20): { x: number[]; counts: number[] } {
  if (!values.length) return { x: [], counts: [] };
  let [low, high] = [Infinity, -Infinity];
  for (const value of values) {
    low = Math.min(low, value);
    high = Math.max(high, value);
  }
  const width = (high - low) / bins || 1;
  const counts = new Array<number>(bins).fill(0);
  for (const value of values) {
    const at = Math.min(bins - 1, Math.floor((value - low) / width));
    counts[at] = (counts[at] ?? 0) + 1;
  }
  return { x: counts.map((_, at) => low + (at + 0.5) * width), counts };
}
