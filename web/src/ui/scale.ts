/**
 * One scale for how expected a token was, the same in every panel.
 *
 * A level from 0 (expected) to 1 (a surprise) becomes a background between two colours of
 * styles/tokens.css, `--thimble-scale-low` and `--thimble-scale-high`. They are mixed in OKLab, so
 * equal steps look equal; lightness alone tells the levels apart, so every kind of colour vision
 * does; and ink on any of them keeps a contrast of at least 4.5 to 1, in light and in dark.
 */

/** What the shading tells: bits of surprise, or the probability itself. */
export type Shading = "surprise" | "probability";

/** Surprise from which on the scale is at its end: one in 4,096. */
const MOST_BITS = 12;

/** Surprise in bits of a natural log-probability. */
export function bitsOf(logprob: number): number {
  return Math.max(0, -logprob / Math.LN2);
}

/** Nats as bits: entropies come in nats. */
export function natsToBits(nats: number): number {
  return nats / Math.LN2;
}

/** The level of a token with this natural log-probability: the less expected, the higher. */
export function levelOf(logprob: number, shading: Shading): number {
  const level = shading === "surprise" ? bitsOf(logprob) / MOST_BITS : 1 - Math.exp(logprob);
  return Math.min(1, Math.max(0, level));
}

/** The colour of a level as CSS, for elements and SVG; a chart's canvas takes `resolved`. */
export function colourOf(level: number): string {
  const share = `${(100 * Math.min(1, Math.max(0, level))).toFixed(1)}%`;
  return `color-mix(in oklab, var(--thimble-scale-low), var(--thimble-scale-high) ${share})`;
}

/** What a CSS colour is at `element`, variables and scheme worked out: what a canvas understands. */
export function resolved(colour: string, element: Element): string {
  const probe = document.createElement("span");
  probe.style.color = colour;
  probe.hidden = true;
  element.append(probe);
  const found = getComputedStyle(probe).color;
  probe.remove();
  return found;
}

/** "23 %", "0.4 %", "under 0.001 %": a probability as people read it. */
export function percent(probability: number): string {
  const value = 100 * probability;
  if (value > 0 && value < 0.001) return "under 0.001 %";
  const digits = value >= 99.95 || value === 0 ? 0 : value >= 10 ? 1 : value >= 0.1 ? 2 : 3;
  return `${value.toFixed(digits)} %`;
}

/** "3.21 bits". */
export function bitWords(bits: number): string {
  return `${bits.toFixed(2)} bits`;
}

const ENDS: Record<Shading, readonly [string, string]> = {
  surprise: ["0", `${MOST_BITS} bits or more`],
  probability: ["100 %", "0 %"],
};

/** A legend of the scale: a bar between its two ends. */
export function legend(shading: Shading): HTMLElement {
  const root = document.createElement("span");
  root.className = "scale-legend";
  const bar = document.createElement("span");
  bar.className = "scale-bar";
  const title = document.createElement("span");
  title.className = "visually-hidden";
  title.textContent = `The scale of ${shading}, from pale to strong: `;
  const [low, high] = ENDS[shading];
  root.append(title, low, bar, high);
  return root;
}
