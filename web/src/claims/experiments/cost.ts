/** Cost-effective: what a thousand tokens take of the server and of the visitor, beside a price. */

import { plural } from "../../ui/format";
import type { Bench } from "../bench";
import { quantity } from "../report";
import { whileWatching } from "../watch";
import type { Claim } from "./claim";
import { measured } from "./claim";

const TOKENS = 200;

export const claim: Claim = {
  id: "cost",
  async measure(bench: Bench) {
    const session = await bench.session();
    const { threads } = session.model;
    const runs = await bench.take(bench.samples, "Writing", (at) =>
      whileWatching(bench, () => bench.write(TOKENS, 100 + at)),
    );
    const thousands = runs.map(({ value }) => value.chunks.length / 1000);
    const each = (of: (run: (typeof runs)[number]) => number): number[] =>
      runs.map((run, at) => of(run) / (thousands[at] ?? NaN));
    const bytes = each(({ requests }) => requests.reduce((sum, one) => sum + one.bytes, 0));
    const server = each(({ requests }) => requests.reduce((sum, one) => sum + one.milliseconds / 1000, 0));
    const visitor = each(({ value }) => (threads * value.milliseconds) / 1000);
    const { price } = bench.entries;
    const elsewhere = price === null ? [] : [
      quantity("price", "for a thousand tokens, at your price", "money", [price / 1000]),
    ];
    const own = quantity("visitor", "of this machine, per thousand tokens", "core-seconds", visitor);
    return measured({
      quantities: [
        own,
        quantity("server", "of a server, at most, per thousand tokens", "s", server),
        quantity("bytes", "from a server, per thousand tokens", "bytes", bytes),
        ...elsewhere,
      ],
      facts: { threads, price_entered: price },
      words: price === null
        ? `${asked(runs)} Enter what a million tokens cost elsewhere to compare.`
        : `${asked(runs)} At the price that you entered, what takes ${own.median.toFixed(2)} core-seconds here costs ` +
          `${(price / 1000).toPrecision(2)} there.`,
    });
  },
};

function asked(runs: readonly { readonly requests: readonly unknown[] }[]): string {
  const requests = runs.reduce((sum, run) => sum + run.requests.length, 0);
  return requests ? `${plural(requests, "request")} were made meanwhile.` : "No server was contacted.";
}
