/** Answers to the panel of claims. */

import { RequestWatch, fetchedSoFar } from "../ledger/requests";
import type { LedgerEngine } from "../protocol/ledger";
import type { Python } from "./python";

const ROUNDS = 5;
/** Long against the clock, which browsers keep coarse. */
const STEPS = 4_000_000;

let watch: RequestWatch | null = null;

/** A linear congruential generator: nothing of it can be left out, and no memory is touched. */
function arithmetic(): number {
  let value = 1;
  for (let step = 0; step < STEPS; step += 1) value = (Math.imul(value, 1664525) + 1013904223) | 0;
  return value;
}

function probe(): number[] {
  return Array.from({ length: ROUNDS }, () => {
    const began = performance.now();
    // The value is looked at, so that no compiler finds the loop to be useless.
    if (arithmetic() === 0) console.debug("thimble: the generator came to 0");
    return performance.now() - began;
  });
}

export function ledgerAnswers(engine: () => Python): LedgerEngine {
  return {
    ledgerProbe: probe,
    ledgerWatch: () => {
      watch?.close();
      watch = new RequestWatch();
    },
    ledgerSeen: () => watch?.seen() ?? [],
    ledgerFetched: fetchedSoFar,
    ledgerAskFor: (url) => fetch(url, { cache: "no-store" }).then((answer) => answer.ok, () => false),
    ledgerMemory: () => engine().memory,
    ledgerAblate: (session, text) => engine().call("ledger.ablate", session, text),
    ledgerWork: (milliseconds) => engine().call("ledger.work", milliseconds),
    ledgerEnd: () => engine().call("ledger.end"),
  };
}
