/**
 * Latency, seen: how long each token of the live text took, and what this machine could do at best.
 *
 *     new Latency(host, live);        // fills `host`, and follows the live session from then on
 *
 * Times are the engine's own, taken when each token was there, so what the page does with a token
 * is not in them. The limit is measured when the visitor asks: the model's bytes read once a token
 * by a loop that does nothing else, or its multiply-adds in registers, whichever is slower.
 */

import type { LiveSession } from "../live";
import type { MachineLimits } from "../protocol/limits";
import { lineChart } from "./chart";
import type { Chart } from "./chart";
import { copy } from "./clipboard";
import { count, milliseconds, plural, rate, sentence } from "./format";
import { limitOf, percentile, timingOf } from "./timing";

/** Milliseconds between two looks at what has come. */
const EVERY_MS = 250;
const NONE = "–";

const ROWS = [
  ["first", "First token"],
  ["speed", "Tokens/s"],
  ["limit", "Limit here"],
  ["share", "Of the limit"],
  ["p50", "Median"],
  ["p90", "90 % within"],
  ["p99", "99 % within"],
] as const;
type Row = (typeof ROWS)[number][0];

export class Latency {
  readonly #live: LiveSession;
  readonly #values = new Map<Row, HTMLElement>();
  readonly #chart: Chart;
  readonly #measure = button("Measure the limit");
  readonly #copy = button("Copy report");
  readonly #words = document.createElement("p");
  #limits: MachineLimits | null = null;
  #timer = 0;

  constructor(host: HTMLElement, live: LiveSession) {
    this.#live = live;
    const figures = document.createElement("dl");
    figures.className = "metrics latency-metrics";
    for (const [row, name] of ROWS) figures.append(this.#figure(row, name));
    const picture = document.createElement("div");
    this.#chart = lineChart(picture, {
      title: "Each token",
      x: { name: "token" },
      y: { name: "milliseconds", digits: 2, fromZero: true },
      series: ["milliseconds"],
      describe: (_x, [values = []]) => describe(values.filter((value) => value !== null)),
    });
    const actions = document.createElement("div");
    actions.className = "actions";
    actions.append(this.#measure, this.#copy);
    this.#words.className = "note";
    this.#words.setAttribute("role", "status");
    host.replaceChildren(figures, picture, this.#words, actions);
    this.#measure.addEventListener("click", () => void this.#measureLimits());
    this.#copy.addEventListener("click", () => void this.#copyReport());
    live.addEventListener("state", () => this.#follow());
    this.#follow();
  }

  #figure(row: Row, name: string): HTMLElement {
    const pair = document.createElement("div");
    const title = document.createElement("dt");
    const value = document.createElement("dd");
    title.textContent = name;
    value.textContent = NONE;
    pair.append(title, value);
    this.#values.set(row, value);
    return pair;
  }

  /** Look again and again while the model writes, and once when it does not. */
  #follow(): void {
    clearInterval(this.#timer);
    const writing = this.#live.state === "writing";
    if (writing) this.#timer = window.setInterval(() => this.#show(), EVERY_MS);
    // Measuring would take the engine's time from the tokens.
    this.#measure.disabled = writing || !this.#live.isOpen;
    if (this.#limits && !this.#live.isOpen) this.#limits = null; // another model may come
    this.#show();
  }

  #show(): void {
    const timing = timingOf(this.#live.writing?.tokens ?? []);
    const limit = this.#limits ? limitOf(this.#limits).speed : null;
    const share = limit && timing.speed ? timing.speed / limit : null;
    this.#say("first", timing.first, milliseconds);
    for (const row of ["p50", "p90", "p99"] as const) this.#say(row, timing[row], precise);
    this.#say("speed", timing.speed, rate);
    this.#say("limit", limit, rate);
    this.#say("share", share, (value) => `${(100 * value).toFixed(0)} %`);
    this.#copy.disabled = timing.first === null;
    this.#chart.update(timing.tokens.map((_, at) => at + 1), [timing.tokens]);
  }

  #say(row: Row, value: number | null, words: (value: number) => string): void {
    const element = this.#values.get(row);
    if (element) element.textContent = value === null ? NONE : words(value);
  }

  async #measureLimits(): Promise<void> {
    this.#measure.disabled = true;
    this.#words.textContent = "Measuring.";
    try {
      this.#limits = await this.#live.ask((engine, session) => engine.limits.of(session));
      this.#words.textContent = explain(this.#limits);
    } catch (error) {
      this.#words.textContent = sentence(error instanceof Error ? error.message : String(error));
    }
    this.#follow();
  }

  async #copyReport(): Promise<void> {
    const text = report(this.#live, this.#limits);
    this.#words.textContent = (await copy(text))
      ? "Report copied; it does not contain the text."
      : "Copying is not allowed here.";
  }
}

/** The times in words. */
function describe(values: readonly number[]): string {
  const [p50, p99] = [percentile(values, 0.5), percentile(values, 0.99)];
  if (p50 === null || p99 === null) return "nothing yet";
  const slowest = values.reduce((most, value) => Math.max(most, value), 0);
  return (
    `${plural(values.length, "token")}, half of them within ${precise(p50)}, ` +
    `99 % within ${precise(p99)}, the slowest ${precise(slowest)}`
  );
}

/** What the limit is made of. */
function explain(limits: MachineLimits): string {
  const { speed, by } = limitOf(limits);
  const reading = (1000 * limits.bytes) / limits.read;
  const whole = limits.productRate ? limits.products / limits.productRate : 0;
  const real = limits.floatRate ? limits.floats / limits.floatRate : 0;
  const threads = limits.threads > 1 ? ` on one thread, of which it has ${limits.threads}` : "";
  return (
    `A token reads ${(limits.bytes / 1e6).toFixed(1)} MB of matrices, ${reading.toFixed(3)} ms at ` +
    `this machine’s ${(limits.read / 1e9).toFixed(1)} GB/s, and does ` +
    `${((limits.products + limits.floats) / 1e6).toFixed(1)} million multiply-adds, ` +
    `${(1000 * (whole + real)).toFixed(3)} ms${threads}. So ${by} allows ${rate(speed)} tokens/s ` +
    "at most, without other work; attention, norms and sampling come on top."
  );
}

/** Everything that was measured, with what it was measured on, as text. The prompt is not in it. */
function report(live: LiveSession, limits: MachineLimits | null): string {
  const timing = timingOf(live.writing?.tokens ?? []);
  const { version = "", build = "" } = document.getElementById("foot")?.dataset ?? {};
  const request = live.writing?.request;
  const settings = Object.entries(request?.settings ?? {}).map(([name, value]) => `${name} ${value}`);
  const known = (value: number | null): string => (value === null ? "unknown" : precise(value));
  const lines = [
    `Thimble ${version}, build ${build}, ${new Date().toISOString()}`,
    `Model: ${request?.model ?? live.model}`,
    `First token: ${known(timing.first)} after the question`,
    `Tokens after it: ${count(timing.tokens.length)}, ${timing.speed ? rate(timing.speed) : "–"} a second`,
    `Each: median ${known(timing.p50)}, 90 % within ${known(timing.p90)}, 99 % within ${known(timing.p99)}`,
    `Clock: steps of about ${known(timing.tick)}`,
    `Settings: ${settings.join(", ")}`,
  ];
  if (limits) {
    const { speed, by } = limitOf(limits);
    const share = timing.speed ? `; this text had ${(100 * timing.speed / speed).toFixed(0)} % of it` : "";
    lines.push(
      `Limit: ${rate(speed)} tokens/s by ${by}${share}`,
      explain(limits),
      `${count(limits.parameters)} parameters, context ${count(limits.contextWindow)}, ` +
        plural(limits.threads, "thread"),
    );
  }
  const { deviceMemory } = navigator as { deviceMemory?: number };
  const memory = deviceMemory ? `, at least ${deviceMemory} GB of memory` : "";
  lines.push(
    `Machine: ${plural(navigator.hardwareConcurrency, "core")}${memory}, ` +
      `${crossOriginIsolated ? "" : "not "}cross-origin isolated`,
    `Browser: ${navigator.userAgent}`,
  );
  return `${lines.join("\n")}\n`;
}

function precise(value: number): string {
  return value < 100 ? `${value.toFixed(2)} ms` : milliseconds(value);
}

function button(words: string): HTMLButtonElement {
  const made = document.createElement("button");
  made.type = "button";
  made.textContent = words;
  return made;
}
