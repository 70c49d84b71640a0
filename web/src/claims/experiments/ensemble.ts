/** Can be ensembled: bits per byte of small models alone, and of all of them together. */

import type { Measured as Bits } from "../../protocol/ensemble";
import type { Thimble as Session } from "../../thimble";
import { plural } from "../../ui/format";
import type { Bench } from "../bench";
import { quantity } from "../report";
import type { Claim } from "./claim";
import { measured } from "./claim";

/** Milliseconds of work between two answers. */
const SLICE_MS = 60;
/** Members, by the beginning of their names in `build.json`. */
const MEMBER = /^member-\d+$/;

export const claim: Claim = {
  id: "ensemble",
  async measure(bench: Bench) {
    const names = bench.build.models.map(({ name }) => name).filter((name) => MEMBER.test(name));
    if (names.length < 2) throw new Error("this site has no models to combine");
    const text = await bench.stories();
    const sessions: Session[] = [];
    try {
      for (const [at, name] of names.entries()) {
        bench.hear((0.3 * at) / names.length, `Loading ${name}`);
        sessions.push(await bench.live.createSession(name, () => undefined, bench.signal));
      }
      const began = performance.now();
      const found = await bits(bench, sessions, text);
      return said(bench, found, (performance.now() - began) / 1000);
    } finally {
      for (const session of sessions) session.destroy();
    }
  },
};

async function bits(bench: Bench, sessions: readonly Session[], text: string): Promise<Bits> {
  const [first] = sessions as [Session];
  const numbers = await Promise.all(sessions.map((one) => one.ask((_engine, id) => Promise.resolve(id))));
  const info = await first.ask((engine) => engine.ensemble.make(JSON.stringify(numbers), "mixture"));
  const number = info.ensemble;
  if (number === null) throw new Error(info.refused.map(([, reason]) => reason).join("; "));
  try {
    const { job } = await first.ask((engine) => engine.ensemble.measure(number, text, null));
    for (;;) {
      if (bench.signal.aborted) await first.ask((engine) => engine.ensemble.end(job));
      await bench.shown();
      const step = await first.ask((engine) => engine.ensemble.work(job, SLICE_MS));
      bench.hear(0.3 + (0.7 * step.done) / step.total, "Reading the stories");
      if (step.result) return step.result as Bits;
    }
  } finally {
    await first.ask((engine) => engine.ensemble.close(number)).catch(() => undefined);
  }
}

function said(bench: Bench, found: Bits, seconds: number): ReturnType<typeof measured> {
  const together = found.rows.find(({ kind }) => kind === "together")?.bits ?? null;
  const alone = found.rows.filter(({ kind }) => kind === "member").map(({ bits }) => bits ?? NaN);
  if (together === null || !found.gain) throw new Error("the ensemble gave a token of the text zero probability");
  const { share, low, high } = found.gain;
  const titles = new Map(bench.build.models.map(({ name, title }) => [name, title]));
  const range = low === null || high === null ? "" : `, ${(100 * low).toFixed(1)} to ${(100 * high).toFixed(1)} % in 95 of 100 resamplings`;
  return measured({
    quantities: [
      quantity("together", "all together", "bits/byte", [together], { exact: true }),
      quantity("alone", "each alone", "bits/byte", alone, { exact: true }),
      quantity("gain", "fewer bits than the best one", "%", [100 * share], { exact: true }),
      quantity("seconds", "to measure it", "s", [seconds]),
    ],
    facts: { passages: found.passages, bytes: found.bytes, low, high },
    series: [{
      name: "On stories that none of them has seen", kind: "dots", x: "model", y: "bits per byte", digits: 3,
      points: found.rows.map(({ name, kind, bits }) =>
        [kind === "together" ? "Together" : (titles.get(name) ?? name), bits ?? NaN] as const),
    }],
    words: `${plural(found.passages, "passage")}: together they need ${(100 * share).toFixed(1)} % fewer bits than the best one alone${range}.`,
  });
}
