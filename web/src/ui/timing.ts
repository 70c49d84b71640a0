/** What times and rates come to. It knows no element of the page. */

import type { MachineLimits } from "../protocol/limits";

/** What the times of a text come to, in milliseconds. */
export interface Timing {
  /** From the question to the first token, of the last run: prompt and one token. */
  readonly first: number | null;
  /** Of each token but the first of a run, one after the other. */
  readonly tokens: readonly number[];
  readonly p50: number | null;
  readonly p90: number | null;
  readonly p99: number | null;
  /** Tokens a second. */
  readonly speed: number | null;
  /** The least that two of these times differ by: how finely this browser tells the time. */
  readonly tick: number | null;
}

/** Timing of tokens that say when they were there; a run begins where the clock starts again. */
export function timingOf(chunks: readonly { readonly milliseconds?: number }[]): Timing {
  let first: number | null = null;
  let before = Infinity;
  const tokens: number[] = [];
  for (const { milliseconds: at } of chunks) {
    if (at === undefined) {
      before = Infinity; // came by other means than a run
      continue;
    }
    if (at < before) {
      first = at;
    } else {
      tokens.push(at - before);
    }
    before = at;
  }
  const total = tokens.reduce((sum, one) => sum + one, 0);
  return {
    first,
    tokens,
    p50: percentile(tokens, 0.5),
    p90: percentile(tokens, 0.9),
    p99: percentile(tokens, 0.99),
    speed: total > 0 ? (1000 * tokens.length) / total : null,
    tick: tickOf(tokens),
  };
}

function tickOf(times: readonly number[]): number | null {
  const sorted = times.toSorted((a, b) => a - b);
  const steps = sorted.map((time, at) => time - (sorted[at - 1] ?? time));
  // Times are whole microseconds; what is less comes of adding them up.
  return steps.filter((step) => step > 0.0005).toSorted((a, b) => a - b)[0] ?? null;
}

/** Tokens a second that the machine could do at most, and what holds it there. */
export function limitOf(limits: MachineLimits): { speed: number; by: "memory" | "arithmetic" } {
  const memory = limits.bytes / limits.read;
  const whole = limits.productRate ? limits.products / limits.productRate : 0;
  const real = limits.floatRate ? limits.floats / limits.floatRate : 0;
  const arithmetic = whole + real;
  return {
    speed: limits.threads / Math.max(memory, arithmetic),
    by: memory > arithmetic ? "memory" : "arithmetic",
  };
}

/** The value below which this share of the numbers lies, by linear interpolation. */
export function percentile(values: readonly number[], share: number): number | null {
  const sorted = values.toSorted((a, b) => a - b);
  const place = (sorted.length - 1) * share;
  const below = sorted[Math.floor(place)];
  const above = sorted[Math.ceil(place)];
  if (below === undefined || above === undefined) return null;
  return below + (above - below) * (place - Math.floor(place));
}
