/** What was measured of the model that is open, for the report: as JSON, and as text. */

import type { LiveSession } from "../live";
import { PATTERNS } from "../protocol/lens-change";
import type {
  EffectFound, GridFound, Pattern, ProbesFound, RankingFound,
} from "../protocol/lens-change";

export const PATTERN_NAMES: Readonly<Record<Pattern, string>> = {
  previous_token: "Previous token",
  duplicate_token: "Duplicate token",
  induction: "Induction",
};

export interface Found {
  readonly probes?: ProbesFound;
  readonly ranking?: RankingFound & { readonly changes: readonly string[] };
  readonly effect?: EffectFound & { readonly changes: readonly string[] };
  readonly grid?: GridFound;
}

const all = new WeakMap<LiveSession, Measured>();

export function measuredOf(live: LiveSession): Measured {
  const found = all.get(live) ?? new Measured(live);
  all.set(live, found);
  return found;
}

/** "change" when there is something new, or another model. */
export class Measured extends EventTarget {
  readonly #live: LiveSession;
  #model: string;
  found: Found = {};

  constructor(live: LiveSession) {
    super();
    this.#live = live;
    this.#model = live.model;
    live.addEventListener("state", () => {
      if (live.model === this.#model) return;
      this.#model = live.model;
      this.found = {};
      this.dispatchEvent(new Event("change"));
    });
  }

  add(found: Found): void {
    this.found = { ...this.found, ...found };
    this.dispatchEvent(new Event("change"));
  }

  get isEmpty(): boolean {
    return Object.keys(this.found).length === 0;
  }

  toJson(): string {
    return `${JSON.stringify({ model: this.#live.model, ...this.found }, null, 1)}\n`;
  }

  toText(): string {
    const { probes, ranking, effect, grid } = this.found;
    const lines = [`Model: ${this.#live.model}`];
    if (probes) lines.push("", ...scoreLines(probes, ranking));
    if (ranking) {
      lines.push("", `Bits per byte on ${ranking.texts} texts: ${ranking.bits.toFixed(4)}${withWords(ranking.changes)}`);
      lines.push(`Without a head, bits per byte more${ranking.estimate ? ", estimated by gradients" : ""}:`);
      for (const [layer, head, change] of ranking.heads) lines.push(`  L${layer}H${head}  ${signed(change)}`);
    }
    if (effect) {
      lines.push("", `Changes: ${effect.changes.join("; ")}`);
      lines.push(`Bits per byte on ${effect.texts} texts: ${effect.before.toFixed(4)} without, ${effect.after.toFixed(4)} with them`);
    }
    if (grid) lines.push("", ...gridLines(grid));
    return `${lines.join("\n")}\n`;
  }
}

function withWords(changes: readonly string[]): string {
  return changes.length ? ` (with ${changes.join("; ")})` : "";
}

function scoreLines(probes: ProbesFound, ranking: RankingFound | undefined): string[] {
  const worth = new Map(ranking?.heads.map(([layer, head, change]) => [`${layer} ${head}`, change]));
  const names = PATTERNS.map((pattern) => PATTERN_NAMES[pattern].toLowerCase());
  const lines = [`Patterns of ${probes.samples} × ${probes.tokens} random tokens, repeated once: ${names.join(", ")}`];
  probes.induction.forEach((row, layer) =>
    row.forEach((_, head) => {
      const scores = PATTERNS.map((pattern) => (probes[pattern][layer]?.[head] ?? 0).toFixed(3));
      const change = worth.get(`${layer} ${head}`);
      const more = change === undefined ? "" : `  ${signed(change)} bits per byte without it`;
      lines.push(`  L${layer}H${head}  ${scores.join("  ")}${more}`);
    }),
  );
  return lines;
}

function gridLines({ site, values, answer, against, tokens, estimate }: GridFound): string[] {
  const [clean, corrupted] = [0, 1].map((side) => tokens.map((pair) => pair[side]).join(""));
  return [
    `Patching ${site}, “${answer}” against “${against}”${estimate ? ", estimated by gradients" : ""}`,
    `  clean: ${clean ?? ""}`,
    `  corrupted: ${corrupted ?? ""}`,
    ...values.map((row, layer) => `  layer ${layer}: ${row.map((value) => value.toFixed(3)).join(" ")}`),
  ];
}

/** "+0.0123", with a true minus. */
export function signed(value: number): string {
  return `${value < 0 ? "−" : "+"}${Math.abs(value).toFixed(4)}`;
}
