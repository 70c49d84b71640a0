/** What the Claims panel asks of the worker itself. */

import { RequestWatch, fetchedSoFar } from "../claims/requests";
import type { Python } from "./python";
import type { OwnMethods } from "./services";

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

export function claimsMethods(engine: () => Python): OwnMethods["claims"] {
  return {
    probe,
    watch: () => {
      watch?.close();
      watch = new RequestWatch();
    },
    seen: () => watch?.seen() ?? [],
    fetched: fetchedSoFar,
    askFor: (url) => fetch(url, { cache: "no-store" }).then((answer) => answer.ok, () => false),
    memory: () => engine().memory,
  };
}
