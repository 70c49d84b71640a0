/** A training for a measurement: from nothing, in the training worker, leaving nothing behind. */

import type { FromTraining, TrainHistory } from "../protocol/train";
import type { Bench } from "./bench";

export type Recipe = Readonly<Record<string, string | number>>;

export interface Trained {
  readonly history: TrainHistory;
  readonly step: number;
  /** Seconds by the page's clock, from the first step until it had what was asked for. */
  readonly seconds: number;
  readonly receipt: Receipt;
}

/** What is read of a receipt here; `thimble/train/receipt.py` makes it. */
export interface Receipt {
  readonly recipe: Readonly<Record<string, unknown>>;
  readonly data: { readonly sha256: string };
  readonly steps: number;
  readonly weights: { readonly sha256: string };
  readonly kernels: { readonly sha256: string };
  readonly curve: readonly { readonly step: number; readonly loss: number; readonly weights?: string }[];
  readonly seconds?: number;
  readonly core_seconds?: number;
}

/** Train by a recipe until its last step, or until `enough` says so of what came so far. */
export async function train(
  bench: Bench, recipe: Recipe, text: string, enough: (history: TrainHistory) => boolean,
  tell: (step: number, steps: number) => void,
): Promise<Trained> {
  bench.signal.throwIfAborted();
  const trainer = await bench.trainer();
  const followed = new Promise<Omit<Trained, "receipt">>((resolve, reject) => {
    let [history, step, steps, began, seconds] = [nothing(), 0, 0, 0, NaN];
    const hear = (message: FromTraining): void => {
      if (message.type === "begun") {
        [began, steps] = [performance.now(), message.info.steps];
      } else if (message.type === "news") {
        const { news } = message;
        step = news.step;
        history = {
          loss: [...history.loss, ...news.loss],
          heldout: [...history.heldout, ...news.heldout],
          samples: [...history.samples, ...news.samples],
          seconds: news.seconds,
          tokens: news.tokens,
        };
        tell(step, steps);
        if (Number.isFinite(seconds)) return;
        if (news.done || enough(history)) {
          seconds = (performance.now() - began) / 1000;
          stop();
        }
      } else if (message.type === "ended") {
        bench.signal.removeEventListener("abort", abort);
        if (bench.signal.aborted) reject(bench.signal.reason as Error);
        else resolve({ history, step, seconds });
      } else if (message.type === "failed") {
        bench.signal.removeEventListener("abort", abort);
        reject(new Error(message.error.message));
      }
    };
    const about = { text: "claims", title: "Claims", prompts: [""] };
    const sampling = JSON.stringify({ prompts: [""], tokens: 20 });
    const stop = trainer.follow(
      { kind: "begin", recipe: JSON.stringify(recipe), text, sampling, about, passing: true }, hear,
    );
    const abort = (): void => stop();
    bench.signal.addEventListener("abort", abort, { once: true });
  });
  const trained = await followed;
  const receipt = (await trainer.ask((engine) => engine.train.receipt("{}"))) as Receipt;
  return { ...trained, receipt };
}

function nothing(): TrainHistory {
  return { loss: [], heldout: [], samples: [], seconds: 0, tokens: 0 };
}
