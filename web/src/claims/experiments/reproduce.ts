/** Reproducible: a recipe trained here and now, and its weights compared with the published ones. */

import recipe from "../../../claims/short.recipe.json";
import published from "../../../claims/short.receipt.json";
import { count } from "../../ui/format";
import type { Bench } from "../bench";
import { quantity } from "../report";
import { train } from "../training";
import type { Receipt } from "../training";
import type { Claim } from "./claim";
import { measured } from "./claim";
import { corpusOf } from "./corpus";

const RUNS = 2;

export const claim: Claim = {
  id: "reproduce",
  async measure(bench: Bench) {
    const text = await corpusOf(bench);
    const runs = await bench.take(RUNS, "Training by the recipe", (at) =>
      train(bench, recipe, text, () => false, (step, steps) =>
        bench.hear((at + step / steps) / RUNS, `Run ${at + 1} of ${RUNS}, step ${count(step)}`),
      ),
    );
    const found = runs.map(({ receipt }) => receipt);
    const hashes = found.map(({ weights }) => weights.sha256);
    const wrong = found.find((receipt) => receipt.weights.sha256 !== published.weights.sha256);
    if (wrong) throw new Error(difference(wrong));
    return measured({
      quantities: [
        quantity("agree", "runs identical to the published one, bit for bit", "%", hashes.map(() => 100), { exact: true }),
        quantity("seconds", "to train it", "s", runs.map(({ seconds }) => seconds)),
        quantity("steps", "steps", "steps", runs.map(({ step }) => step), { exact: true }),
      ],
      facts: {
        weights: hashes[0] ?? "", published: published.weights.sha256,
        data: published.data.sha256, kernels: found[0]?.kernels.sha256 ?? "",
      },
      words:
        `${count(published.weights.count)} weights after ${count(published.steps)} steps, ${RUNS} times: SHA-256 ` +
        `${published.weights.sha256.slice(0, 16)}…, as published.`,
    });
  },
};

/** Where the weights first differ, as far as the receipts tell. */
function difference(receipt: Receipt): string {
  const entries = new Map(published.curve.map((entry) => [entry.step, entry]));
  const first = receipt.curve.find(({ step, loss }) => entries.get(step)?.loss !== loss);
  const where = first ? `the loss differs from step ${first.step} on` : "the losses agree";
  return (
    `the weights are ${receipt.weights.sha256.slice(0, 16)}… here and ` +
    `${published.weights.sha256.slice(0, 16)}… in the published receipt; ${where}`
  );
}
