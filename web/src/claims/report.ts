/**
 * What a measurement is, and a report of several: the types behind `claims.schema.json`, which is
 * published with the site (web/schemas/).
 *
 * A quantity carries all its samples, so whoever reads a report can compute the rest again.
 */

export const FORMAT = 1;

/** Every claim, in the essay's order. */
export const CLAIMS = [
  "train", "local", "debug", "hardware", "cost", "latency", "edge", "deploy", "ensemble", "lens",
  "reproduce",
] as const;
export type ClaimId = (typeof CLAIMS)[number];

export type Unit =
  | "s" | "ms" | "tokens/s" | "core-seconds" | "requests" | "bytes" | "bits/byte" | "steps" | "%"
  | "files" | "positions" | "money";

/** Something measured, sample by sample. */
export interface Quantity {
  /** Unique in its result. */
  readonly id: string;
  readonly name: string;
  readonly unit: Unit;
  readonly samples: readonly number[];
  readonly n: number;
  readonly median: number;
  readonly lowest: number;
  readonly highest: number;
  /** The same on any machine, for the same build and model. */
  readonly exact: boolean;
}

/** A picture's numbers. */
export interface Series {
  readonly name: string;
  readonly kind: "line" | "bars" | "dots";
  readonly x: string;
  readonly y: string;
  readonly digits: number;
  readonly points: readonly (readonly [x: number | string, y: number])[];
}

export type Fact = string | number | boolean | null;

export interface Measured {
  /** The first one is the card's number. */
  readonly quantities: readonly Quantity[];
  readonly facts: Readonly<Record<string, Fact>>;
  /** What came out, in a sentence or two. */
  readonly words: string;
  readonly series: readonly Series[];
  /** What may have disturbed it, a sentence each. */
  readonly doubts: readonly string[];
}

export interface Result extends Measured {
  readonly claim: ClaimId;
  readonly title: string;
  readonly status: "done" | "failed" | "cancelled";
  /** When it began, ISO 8601, and how long it took. */
  readonly began: string;
  readonly seconds: number;
  /** Why it failed. */
  readonly error: string | null;
}

/** What only the visitor knows. */
export interface Entries {
  /** Price of a million tokens elsewhere. */
  readonly price: number | null;
  /** Milliseconds to the first token elsewhere. */
  readonly latency: number | null;
}

export interface Report {
  readonly claims: typeof FORMAT;
  readonly thimble: string;
  readonly build: string;
  readonly made: string;
  readonly machine: {
    readonly cores: number;
    /** Gigabytes, at least, where the browser tells. */
    readonly memory: number | null;
    readonly browser: string;
    readonly isolated: boolean;
  };
  readonly model: {
    readonly name: string;
    readonly sha256: string;
    readonly bytes: number;
    readonly parameters: number;
  };
  readonly entries: Entries;
  /** How many samples of each kind were to be taken. */
  readonly samples: number;
  readonly results: readonly Result[];
}

/** A quantity from its samples; at least one is needed. */
export function quantity(
  id: string, name: string, unit: Unit, samples: readonly number[], { exact = false } = {},
): Quantity {
  if (!samples.length) throw new Error(`nothing was measured of ${name}`);
  const wrong = samples.find((sample) => !Number.isFinite(sample));
  if (wrong !== undefined) throw new Error(`a sample of ${name} is ${wrong}`);
  return { id, name, unit, samples, exact, ...spread(samples) };
}

export function spread(samples: readonly number[]): Pick<Quantity, "n" | "median" | "lowest" | "highest"> {
  const sorted = samples.toSorted((a, b) => a - b);
  const [low = NaN, high = NaN] = [sorted[0], sorted.at(-1)];
  const middle = sorted.length / 2;
  const upper = sorted[Math.floor(middle)] ?? NaN;
  const lower = sorted[Math.ceil(middle) - 1] ?? NaN;
  return { n: sorted.length, median: (lower + upper) / 2, lowest: low, highest: high };
}
