/** Every claim, one line each, in the essay's order. */

import type { Claim } from "./claim";
import { claim as cost } from "./cost";
import { claim as debug } from "./debug";
import { claim as deploy } from "./deploy";
import { claim as edge } from "./edge";
import { claim as ensemble } from "./ensemble";
import { claim as hardware } from "./hardware";
import { claim as latency } from "./latency";
import { claim as lens } from "./lens";
import { claim as local } from "./local";
import { claim as reproduce } from "./reproduce";
import { claim as train } from "./train";

export const claims: readonly Claim[] = [
  train, local, debug, hardware, cost, latency, edge, deploy, ensemble, lens, reproduce,
];
