/** What a file beside this one is: a claim, and how it is measured. */

import type { Bench } from "../bench";
import type { ClaimId, Measured } from "../report";

export interface Claim {
  readonly id: ClaimId;
  /** Takes every number of the card from a measurement made now. */
  measure(bench: Bench): Promise<Measured>;
}

/** A result without the parts that it has nothing for. */
export function measured(
  parts: Pick<Measured, "quantities" | "words"> & Partial<Measured>,
): Measured {
  return { facts: {}, series: [], doubts: [], ...parts };
}
