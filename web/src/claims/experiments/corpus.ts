/** The text that both trainings learn from: the one that the receipt was made on. */

import receipt from "../../../claims/short.receipt.json";
import type { Bench } from "../bench";

export function corpusOf(bench: Bench): Promise<string> {
  return bench.corpus(receipt.data.sha256);
}
