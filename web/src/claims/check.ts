/**
 * A report that was made elsewhere: whether it is one, and what of it can be checked here.
 *
 * The same bounds stand in `claims.schema.json`; this reader names the value that is wrong. What
 * follows from the samples is computed again, and what does not depend on the machine has to be what
 * this machine finds.
 */

import published from "../../claims/short.receipt.json";
import { CLAIMS, FORMAT, spread } from "./report";
import type { Quantity, Report, Result } from "./report";
import { say } from "./words";

/** A report has raw samples, and is small all the same. */
const LONGEST = 4_000_000;
const STATUSES = ["done", "failed", "cancelled"];
const TEXTS = ["thimble", "build", "made"] as const;

/** Read a report; the error names what is wrong with it. */
export function readReport(text: string): Report {
  if (text.length > LONGEST) {
    throw new Error(`the file has ${text.length} characters; a report has at most ${LONGEST}`);
  }
  let read: unknown;
  try {
    read = JSON.parse(text);
  } catch (error) {
    throw new Error(`this is not a report: it is not JSON (${error instanceof Error ? error.message : ""})`);
  }
  // Version 0.1 called the key "ledger".
  const { ledger, ...rest } = object(read, "a report") as Partial<Report> & { ledger?: unknown };
  const report = { claims: ledger, ...rest } as Partial<Report>;
  if (report.claims !== FORMAT) {
    throw new Error(`its format is ${show(report.claims)}; this page reads ${FORMAT}`);
  }
  for (const name of TEXTS) {
    if (typeof report[name] !== "string") throw new Error(`its ${name} is ${show(report[name])}, not text`);
  }
  object(report.machine, "its machine");
  const model = object(report.model, "its model");
  if (!/^[0-9a-f]{64}$/.test(String(model["sha256"]))) {
    throw new Error(`its model's sha256 is ${show(model["sha256"])}, which is not one`);
  }
  object(report.entries, "its entries");
  if (!Array.isArray(report.results)) throw new Error(`its results are ${show(report.results)}, not a list`);
  const seen = new Set<string>();
  for (const result of report.results as unknown[]) readResult(result, seen);
  return report as Report;
}

function readResult(value: unknown, seen: Set<string>): void {
  const result = object(value, "a result");
  const claim = String(result["claim"]);
  if (!(CLAIMS as readonly string[]).includes(claim)) {
    throw new Error(`there is no claim ${show(result["claim"])}; there are ${CLAIMS.join(", ")}`);
  }
  if (seen.has(claim)) throw new Error(`it has two results of the claim "${claim}"`);
  seen.add(claim);
  if (!STATUSES.includes(String(result["status"]))) {
    throw new Error(`the status of "${claim}" is ${show(result["status"])}; it must be one of ${STATUSES.join(", ")}`);
  }
  for (const name of ["title", "words", "began"]) {
    if (typeof result[name] !== "string") throw new Error(`the ${name} of "${claim}" is ${show(result[name])}, not text`);
  }
  for (const name of ["quantities", "series", "doubts"]) {
    if (!Array.isArray(result[name])) throw new Error(`the ${name} of "${claim}" are ${show(result[name])}, not a list`);
  }
  object(result["facts"], `the facts of "${claim}"`);
  for (const one of result["quantities"] as unknown[]) {
    const quantity = object(one, `a quantity of "${claim}"`);
    const { id, samples } = quantity;
    if (typeof id !== "string") throw new Error(`a quantity of "${claim}" has the id ${show(id)}, not text`);
    if (!Array.isArray(samples) || !samples.length || !samples.every(Number.isFinite)) {
      throw new Error(`the samples of "${id}" are ${show(samples)}; they must be numbers, at least one`);
    }
    for (const name of ["median", "lowest", "highest", "n"]) {
      if (!Number.isFinite(quantity[name])) throw new Error(`the ${name} of "${id}" is ${show(quantity[name])}, not a number`);
    }
  }
}

/** One thing that was checked. */
export interface Check {
  readonly words: string;
  /** Null where it cannot be told. */
  readonly holds: boolean | null;
}

/** What of a report can be checked, `here` being what this machine has measured. */
export function check(report: Report, here: Report): Check[] {
  return [checkSums(report), checkRecipe(report), ...checkExact(report, here)];
}

/** Median and range are the samples'. */
function checkSums(report: Report): Check {
  const all = report.results.flatMap(({ quantities }) => quantities);
  const wrong = all.filter((quantity) => {
    const { n, median, lowest, highest } = spread(quantity.samples);
    return n !== quantity.n || median !== quantity.median || lowest !== quantity.lowest || highest !== quantity.highest;
  });
  if (!wrong.length) return { words: `Its ${all.length} medians and ranges match its samples.`, holds: true };
  const names = wrong.map(({ name }) => `“${name}”`).join(", ");
  return { words: `The median or range of ${names} does not match its samples.`, holds: false };
}

/** The recipe's weights are the published ones. */
function checkRecipe(report: Report): Check {
  const result = done(report, "reproduce");
  if (!result) return { words: "It has no training run to compare with the published one.", holds: null };
  const holds = result.facts["weights"] === published.weights.sha256;
  const hash = String(result.facts["weights"]).slice(0, 16);
  const words = holds ? "are the published ones" : `are not the published ones, ${published.weights.sha256.slice(0, 16)}…`;
  return { words: `The weights that it trained, ${hash}…, ${words}.`, holds };
}

/** What depends on the build and the model alone is the same here. */
function checkExact(report: Report, here: Report): Check[] {
  if (report.model.sha256 !== here.model.sha256) {
    return [{ words: "It measured a different model: exact results cannot be compared.", holds: null }];
  }
  const other = report.build === here.build ? "" : " (another build)";
  return here.results.flatMap((mine) => {
    const theirs = done(report, mine.claim);
    if (!theirs || mine.status !== "done") return [];
    return mine.quantities.filter(({ exact }) => exact).flatMap((quantity) => {
      const found = theirs.quantities.find(({ id }) => id === quantity.id);
      if (!found) return [];
      const holds = same(found, quantity);
      const values = holds ? say(found.median, found.unit) : `${say(found.median, found.unit)} there, ${say(quantity.median, quantity.unit)} here`;
      const words = `${mine.title}: ${quantity.name}, ${values}${holds ? ", is identical here" : ""}${other}.`;
      return [{ words, holds: holds || !other ? holds : null }];
    });
  });
}

function same(one: Quantity, other: Quantity): boolean {
  return one.samples.length === other.samples.length && one.samples.every((sample, at) => sample === other.samples[at]);
}

function done(report: Report, claim: string): Result | undefined {
  return report.results.find((result) => result.claim === claim && result.status === "done");
}

function object(value: unknown, what: string): Record<string, unknown> {
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    throw new Error(`${what} is ${show(value)}, not an object`);
  }
  return value as Record<string, unknown>;
}

function show(value: unknown): string {
  return (JSON.stringify(value) ?? "missing").slice(0, 60);
}
