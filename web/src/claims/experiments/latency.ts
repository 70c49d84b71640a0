/** Lower latency: to the first token and from one to the next, beside a round trip to the server. */

import { histogram } from "../../ui/chart";
import { percentile, timingOf } from "../../ui/timing";
import type { Bench } from "../bench";
import { quantity } from "../report";
import type { Quantity } from "../report";
import type { Claim } from "./claim";
import { measured } from "./claim";

const TOKENS = 60;
const TRIPS = 8;

export const claim: Claim = {
  id: "latency",
  async measure(bench: Bench) {
    await bench.write(TOKENS, 0); // the first one compiles
    const runs = await bench.take(3 * bench.samples, "Asking", (at) => bench.write(TOKENS, at));
    const first = quantity("first", "to the first token", "ms", runs.map((run) => run.first));
    const gaps = runs.flatMap(({ chunks }) => timingOf(chunks).tokens);
    const at = (share: number): number => percentile(gaps, share) ?? NaN;
    const trips = await roundTrips(bench);
    const { latency } = bench.entries;
    const others: Quantity[] = [];
    if (trips.length) others.push(quantity("trip", "to this site’s server and back", "ms", trips));
    if (latency !== null) others.push(quantity("elsewhere", "to the first token, as you entered", "ms", [latency]));
    const { x, counts } = histogram(gaps.filter((gap) => gap <= at(0.95)), 24);
    return measured({
      quantities: [first, quantity("token", "from one token to the next", "ms", gaps), ...others],
      facts: {
        first_p90: percentile(first.samples, 0.9), first_p99: percentile(first.samples, 0.99),
        token_p50: at(0.5), token_p90: at(0.9), token_p99: at(0.99), latency_entered: latency,
      },
      series: [{
        name: "From one token to the next, without the slowest 5 %", kind: "bars",
        x: "milliseconds", y: "tokens", digits: 0,
        points: x.map((middle, bin) => [middle, counts[bin] ?? 0] as const),
      }],
      words:
        `First token: 90 % within ${(percentile(first.samples, 0.9) ?? NaN).toFixed(1)} ms. After it: half within ` +
        `${at(0.5).toFixed(2)} ms, 9 of 10 within ${at(0.9).toFixed(2)} ms, 99 of 100 within ${at(0.99).toFixed(2)} ms.`,
      doubts: trips.length ? [] : ["The server did not answer, so there is no round trip to compare with."],
    });
  },
};

/** Milliseconds of the smallest questions to the server; none without a network. */
async function roundTrips(bench: Bench): Promise<number[]> {
  if (!navigator.onLine) return [];
  const url = new URL("../build.json", import.meta.url).href;
  const ask = async (): Promise<number | null> => {
    const began = performance.now();
    // The service worker answers GET only, so this goes to the server.
    const response = await fetch(url, { method: "HEAD", cache: "no-store" }).catch(() => null);
    return response?.ok ? performance.now() - began : null;
  };
  await ask(); // opens the connection
  const taken = await bench.take(TRIPS, "Asking the server", ask);
  return taken.filter((trip) => trip !== null);
}
