/** Easier to debug: step forward, back and forward again, to the same bits; look into any token. */

import { plural } from "../../ui/format";
import type { StepView } from "../../protocol/step";
import type { Bench } from "../bench";
import { PROMPT } from "../bench";
import { quantity } from "../report";
import type { Claim } from "./claim";
import { measured } from "./claim";

const STEPS = 24;
const OPTIONS = JSON.stringify({ seed: 7, temperature: 0.8, top_p: 0.95, max_tokens: STEPS + 1 });

/** What there was at a position: the token that came before it, and the logits' digest. */
interface Stand {
  readonly id: number | null;
  readonly bits: string;
}

export const claim: Claim = {
  id: "debug",
  async measure(bench: Bench) {
    const session = await bench.live.createSession(bench.model.name, () => undefined, bench.signal);
    try {
      const step: number[] = [];
      const timed = async (work: () => Promise<StepView>): Promise<Stand> => {
        const began = performance.now();
        const view = await work();
        step.push(performance.now() - began);
        return standOf(view);
      };
      const begun = await session.ask((engine, id) => engine.step.begin(id, PROMPT, OPTIONS));
      const forth = async (from: number): Promise<Stand> =>
        timed(() => session.ask((engine, id) => engine.step.step(id, from, OPTIONS)));
      const there = [standOf(begun)];
      there.push(...(await bench.take(STEPS, "Stepping", (at) => forth(at))));
      const back = await bench.take(STEPS, "Stepping back", (at) =>
        timed(() => session.ask((engine, id) => engine.step.back(id, STEPS - at))),
      );
      const again = await bench.take(STEPS, "Stepping again", (at) => forth(at));
      const looks = await bench.take(STEPS, "Looking", async (at) => {
        const began = performance.now();
        await session.ask((engine, id) => engine.step.look(id, at));
        return performance.now() - began;
      });
      const differing = [
        ...back.filter(({ bits }, at) => bits !== there[STEPS - 1 - at]?.bits),
        ...again.filter(({ id, bits }, at) => bits !== there[at + 1]?.bits || id !== there[at + 1]?.id),
      ].length;
      const positions = back.length + again.length;
      if (differing) throw new Error(`${differing} of ${positions} positions had different bits the second time`);
      return measured({
        quantities: [
          quantity("look", "to inspect a token", "ms", looks),
          quantity("step", "to step, forward or back", "ms", step),
          quantity("same", "positions revisited with the same bits", "positions", [positions], { exact: true }),
        ],
        facts: { prompt: PROMPT, seed: 7, tokens: there.slice(1).map(({ id }) => id).join(" "), logits: there.map(({ bits }) => bits).join(" ") },
        words:
          `${plural(STEPS, "token")} forward, all the way back, and forward again: at ${positions} positions the logits ` +
          "had the same digest as before, and the same token was drawn.",
      });
    } finally {
      session.destroy();
    }
  },
};

function standOf(view: StepView): Stand {
  const bits = view.next?.bits;
  if (!bits) throw new Error("the text ended before it could be stepped through");
  return { id: view.tokens.at(-1)?.[1] ?? null, bits };
}
