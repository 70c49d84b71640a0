/** Runs locally: requests that are made while the model writes, with the network and without. */

import { count, plural } from "../../ui/format";
import type { Bench } from "../bench";
import type { Measured, Quantity } from "../report";
import { quantity } from "../report";
import { checkCounter, whileWatching } from "../watch";
import type { Claim } from "./claim";
import { measured } from "./claim";

const TOKENS = 100;

/** What was seen in this visit, with the network and without. */
const before = new Map<boolean, readonly Quantity[]>();

export const claim: Claim = {
  id: "local",
  async measure(bench: Bench): Promise<Measured> {
    const online = navigator.onLine;
    const control = await checkCounter(bench);
    const runs = await bench.take(bench.samples, "Writing", (at) =>
      whileWatching(bench, () => bench.write(TOKENS, at)),
    );
    const tokens = runs.map(({ value }) => value.chunks.length);
    const made = runs.flatMap(({ requests }) => requests);
    const where = online ? "with the network on" : "with the network off";
    const suffix = online ? "online" : "offline";
    const found = [
      quantity(`requests_${suffix}`, `while writing, ${where}`, "requests", runs.map(({ requests }) => requests.length)),
      quantity(`bytes_${suffix}`, `by the network, ${where}`, "bytes", runs.map(({ requests }) => sum(requests.map(({ bytes }) => bytes)))),
    ];
    before.set(online, found);
    const other = before.get(!online) ?? [];
    return measured({
      quantities: [...found, ...other],
      facts: { online, both: other.length > 0, control, tokens: sum(tokens), asked: [...new Set(made.map(({ url }) => url))].join(" ") },
      words: sayWhat(sum(tokens), made.length, control, online, other.length > 0),
    });
  },
};

function sayWhat(tokens: number, made: number, control: number, online: boolean, both: boolean): string {
  const requests = made ? plural(made, "request") : "no request, no byte sent";
  const next = both
    ? "Measured with the network on and off."
    : online
      ? "Switch the network off and measure again: it works the same."
      : "The network is off.";
  return (
    `${count(tokens)} tokens written, ${requests}. The counter saw the ${control} requests ` +
    `made deliberately to test it. ${next}`
  );
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0);
}
