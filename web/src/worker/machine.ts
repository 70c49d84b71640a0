/** Answers about the machine. */

import type { MachineEngine } from "../protocol/machine";
import type { Python } from "./python";

export function machineAnswers(engine: () => Python): MachineEngine {
  return { machineLimits: (session) => engine().call("machine.limits", session) };
}
