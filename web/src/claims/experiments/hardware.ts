/** No specialised hardware: how fast the model writes on one core, and with which instructions. */

import { bestKernels } from "../../api/simd";
import { limitOf, timingOf } from "../../ui/timing";
import { rate } from "../../ui/format";
import type { Bench } from "../bench";
import { quantity } from "../report";
import type { Claim } from "./claim";
import { measured } from "./claim";

const TOKENS = 150;
const INSTRUCTIONS = {
  base: "WebAssembly SIMD, 128 bits",
  relaxed: "WebAssembly relaxed SIMD, 128 bits",
} as const;

export const claim: Claim = {
  id: "hardware",
  async measure(bench: Bench) {
    const session = await bench.session();
    await bench.write(TOKENS, 0); // the first one compiles
    const runs = await bench.take(bench.samples, "Writing", (at) => bench.write(TOKENS, at));
    const speeds = runs.map(({ chunks }) => timingOf(chunks).speed ?? NaN);
    const limits = await session.ask((engine, id) => engine.limits.of(id));
    const limit = limitOf(limits);
    const { threads } = session.model;
    return measured({
      quantities: [
        quantity("speed", threads === 1 ? "on one core" : `on ${threads} cores`, "tokens/s", speeds),
        quantity("limit", `the most that ${limit.by} allows`, "tokens/s", [limit.speed]),
      ],
      facts: {
        threads, gpu: false, instructions: INSTRUCTIONS[bestKernels()], parameters: limits.parameters,
        bytes_per_token: limits.bytes,
      },
      series: [{
        name: "Every run", kind: "bars", x: "run", y: "tokens a second", digits: 0,
        points: speeds.map((speed, at) => [at + 1, speed] as const),
      }],
      words:
        `${INSTRUCTIONS[bestKernels()]}, ${threads === 1 ? "one thread" : `${threads} threads`}, no GPU. ` +
        `This machine’s ${limit.by} allows at most ${rate(limit.speed)} tokens a second.`,
    });
  },
};
