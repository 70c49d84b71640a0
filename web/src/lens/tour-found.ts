/** What the tour's experiments brought, in a sentence and as a picture. */

import { make } from "../step/elements";
import type { HeadWorth, TourFound } from "../protocol/lens-change";
import { barTable } from "../ui/bars";
import type { Bar } from "../ui/bars";
import { percent } from "../ui/scale";
import { quoted } from "../ui/token";
import { headWords } from "./change-code";
import { cellTable, worthBars } from "./pictures";

type Head = readonly [layer: number, head: number];

interface Told {
  readonly words: (found: TourFound, answer: string) => string;
  readonly picture: (found: TourFound) => HTMLElement;
}

/** A part of what came out; its shape is told in thimble/browser/lens_tour.py. */
const part = <Value>(found: TourFound, name: string): Value => found[name] as Value;

function probabilities(rows: readonly (readonly [label: string, share: number])[]): HTMLElement {
  const bars = rows.map(([label, share]): Bar => ({ label, share, words: percent(share) }));
  return barTable({ caption: "Measured probabilities", heads: ["what", "probability"], bars });
}

function headTable(caption: string, values: readonly (readonly number[])[]): HTMLElement {
  return cellTable({
    caption, values, rows: "Layer", across: "Head",
    columns: (values[0] ?? []).map((_, head) => String(head)),
    cellWords: (layer, head) => headWords(layer, head),
  });
}

const TOLD: Readonly<Record<string, Told>> = {
  expects: {
    words: ({ value }, answer) => `The probability of ${quoted(answer)} is ${percent(value)}. These are the most likely words:`,
    picture: (found) =>
      probabilities(part<[string, number][]>(found, "rows").map(([text, p]) => [quoted(text), p])),
  },
  depth: {
    words: (found, answer) => {
      const block = part<number | null>(found, "block");
      return block === null
        ? `${quoted(answer)} never comes first. Its probability after each layer, and the word that comes first there:`
        : `${quoted(answer)} comes first after layer ${block}. Its probability after each layer, and the word that comes first there:`;
    },
    picture: (found) => {
      const rows = part<[string, number, number][]>(found, "rows");
      return probabilities(
        rows.map(([top, p], depth) => [`${depth ? `After layer ${depth - 1}` : "At the beginning"}: ${quoted(top)}`, p]),
      );
    },
  },
  copies: {
    words: (found) => {
      const [layer, head] = part<Head>(found, "head");
      const share = part<number>(found, "share").toFixed(2);
      return `It is ${headWords(layer, head)}: alone, it restores ${share} of the difference between Lily and Lucy. Every head:`;
    },
    picture: (found) => headTable("How much of Lucy each head restores", part(found, "rows")),
  },
  off: {
    words: (found, answer) => {
      const [layer, head] = part<Head>(found, "head");
      const [[before], [after]] = part<[[number, string, string], [number, string, string]]>(found, "rows");
      return `Without ${headWords(layer, head)} the probability of ${quoted(answer)} goes from ${percent(before)} to ${percent(after)}. The text then continues:`;
    },
    picture: (found) => {
      const rows = part<[number, string, string][]>(found, "rows");
      const titles = ["As trained", "With that head off"];
      const sides = rows.map(([, , text], at) =>
        make("div", "", make("h4", "", titles[at] ?? ""), make("p", "", `…${text}`)),
      );
      return make("div", "both", ...sides);
    },
  },
  previous: {
    words: (found) => {
      const [layer, head] = part<Head>(found, "head");
      const copier = part<Head>(found, "copier");
      const score = part<number>(found, "score").toFixed(2);
      return `It is ${headWords(layer, head)}, with ${score} of its attention; the one that carries names is ${headWords(...copier)}. Every head:`;
    },
    picture: (found) => headTable("Attention to the previous token", part(found, "rows")),
  },
  repeats: {
    words: (found) => {
      const [first = 0, second = 0, without = 0] = part<number[]>(found, "rows");
      const head = part<Head>(found, "head");
      return `It needs ${first.toFixed(2)} bits per token the first time and ${second.toFixed(2)} the second. Without ${headWords(...head)} the second time needs ${without.toFixed(2)}.`;
    },
    picture: (found) => {
      const bits = part<number[]>(found, "rows");
      const most = Math.max(...bits);
      const names = ["The first time", "The second time", "The second time, without that head"];
      const bars = bits.map((value, at): Bar => ({
        label: names[at] ?? "", share: value / most, words: `${value.toFixed(2)} bits`,
      }));
      return barTable({ caption: "Bits per token", heads: ["reading", "bits per token"], bars });
    },
  },
  worth: {
    words: (found) => {
      const [copier, previous] = part<[Head, Head]>(found, "named");
      return (
        `${part<number>(found, "bits").toFixed(3)} bits per byte on ${part<number>(found, "texts")} stories with all heads; ` +
        `the increase without each head is shown here. ${headWords(...copier)} carries names, ${headWords(...previous)} looks one token back.`
      );
    },
    picture: (found) => worthBars(part<HeadWorth[]>(found, "rows")),
  },
};

export function sentenceOf(step: string, found: TourFound, answer: string): string {
  return TOLD[step]?.words(found, answer) ?? "";
}

export function evidence(step: string, found: TourFound): HTMLElement {
  return TOLD[step]?.picture(found) ?? make("p");
}
