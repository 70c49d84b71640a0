/** Quicker to train: from nothing to a quality that is named before, by a published recipe. */

import recipe from "../../../claims/quality.recipe.json";
import { count } from "../../ui/format";
import type { Bench } from "../bench";
import { quantity } from "../report";
import { train } from "../training";
import type { Trained } from "../training";
import type { Claim } from "./claim";
import { measured } from "./claim";
import { corpusOf } from "./corpus";

/** Bits per byte on names that it has not seen, where guessing takes 8. */
const QUALITY = 2.2;
const RUNS = 3;

export const claim: Claim = {
  id: "train",
  async measure(bench: Bench) {
    const text = await corpusOf(bench);
    const runs = await bench.take(RUNS, "Training from scratch", (at) =>
      train(bench, recipe, text, (history) => reached(history.heldout), (step, steps) =>
        bench.hear((at + step / steps) / RUNS, `Run ${at + 1} of ${RUNS}, step ${count(step)}`),
      ),
    );
    const late = runs.find(({ history }) => !reached(history.heldout));
    if (late) throw new Error(`${count(late.step)} steps did not reach ${QUALITY} bits per byte`);
    const [first] = runs as [Trained];
    const steps = runs.map(({ history }) => stepOf(history.heldout));
    return measured({
      quantities: [
        quantity("seconds", `to ${QUALITY} bits per byte`, "s", runs.map(({ seconds }) => seconds)),
        quantity("core_seconds", "processor time", "core-seconds", runs.map(coreSeconds)),
        quantity("steps", "steps needed", "steps", steps, { exact: true }),
      ],
      facts: { quality: QUALITY, data: first.receipt.data.sha256, sample: last(first) },
      series: [{
        name: "On unseen names", kind: "line", x: "step", y: "bits per byte", digits: 2,
        points: first.history.heldout.filter(([step]) => step <= stepOf(first.history.heldout)),
      }],
      words: `From random weights to ${QUALITY} bits per byte, ${RUNS} times over. It then writes names like “${last(first)}”.`,
    });
  },
};

function reached(heldout: Trained["history"]["heldout"]): boolean {
  return heldout.some(([, bits]) => bits <= QUALITY);
}

function stepOf(heldout: Trained["history"]["heldout"]): number {
  return heldout.find(([, bits]) => bits <= QUALITY)?.[0] ?? NaN;
}

/** The receipt's share of cores, for the time that the page has measured. */
function coreSeconds({ seconds, receipt }: Trained): number {
  const { seconds: wall = 0, core_seconds: cores = 0 } = receipt;
  return wall > 0 ? (seconds * cores) / wall : NaN;
}

/** What it wrote last, in one line. */
function last({ history }: Trained): string {
  return (history.samples.at(-1)?.[1] ?? "").split("\n").find((line) => line.trim())?.trim() ?? "";
}
