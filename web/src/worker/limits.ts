/** Answers about the machine. */

import type { LimitsEngine } from "../protocol/limits";
import type { Python } from "./python";

export function limitsAnswers(engine: () => Python): LimitsEngine {
  return { limitsOf: (session) => engine().call("limits.of", session) };
}
