/** More interpretable: one head is found by what it looks at, switched off, and missed. */

import type { Ablated } from "../../protocol/claims";
import type { Bench } from "../bench";
import { quantity } from "../report";
import type { Claim } from "./claim";
import { measured } from "./claim";

/** Milliseconds of work between two answers. */
const SLICE_MS = 60;

export const claim: Claim = {
  id: "lens",
  async measure(bench: Bench) {
    const text = await bench.stories();
    const began = performance.now();
    const found = await ablated(bench, text);
    const seconds = (performance.now() - began) / 1000;
    const [before, after] = found.bits;
    const change = found.passages.map(([bytes, with_, without]) => (without - with_) / Math.LN2 / bytes);
    const name = `block ${found.layer}, head ${found.head}`;
    return measured({
      quantities: [
        quantity("effect", `more, story by story, without ${name}`, "bits/byte", change, { exact: true }),
        quantity("before", "with it, all stories", "bits/byte", [before], { exact: true }),
        quantity("after", "without it, all stories", "bits/byte", [after], { exact: true }),
        quantity("seconds", "to find the head and measure it", "s", [seconds]),
        quantity("pass", "to read a story without it", "ms", found.passages.map(([, , , took]) => 1000 * took)),
      ],
      facts: { layer: found.layer, head: found.head, score: found.score },
      series: [{
        name: "Additional cost of each story without it", kind: "bars", x: "story", y: "bits per byte", digits: 3,
        points: change.map((one, at) => [at + 1, one] as const),
      }],
      words:
        `The head that attends most to the previous token is ${name}: ${(100 * found.score).toFixed(0)} % of its attention on ` +
        `random tokens. Without it, the stories take ${after.toFixed(3)} bits per byte instead of ${before.toFixed(3)}.`,
    });
  },
};

async function ablated(bench: Bench, text: string): Promise<Ablated> {
  const session = await bench.session();
  await session.ask((engine, id) => engine.claims.ablate(id, text));
  try {
    for (;;) {
      await bench.shown();
      const step = await session.ask((engine) => engine.claims.work(SLICE_MS));
      bench.hear(step.done / step.total, "Reading with the head and without");
      if (step.result) return step.result;
    }
  } finally {
    await session.ask((engine) => engine.claims.end()).catch(() => undefined);
  }
}
