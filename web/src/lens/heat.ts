/**
 * Pictures of many numbers: one pixel each, drawn on a canvas in the colours of styles/tokens.css,
 * which follow the scheme. What is to be read of them stands in words beside them.
 */

import { resolved } from "../ui/scale";

const STEPS = 256;

/** Colours for numbers from 0 to 1, or from -1 to 1, as they look at an element now. */
export interface Palette {
  /** RGBA of a number; what is outside has the colour of the end. */
  at(value: number): number;
}

/** From the scale's low end to its high end: for what is never negative. */
export function sequential(element: Element): Palette {
  const colours = sample(element, (share) => mix("low", "high", share));
  return { at: (value) => colours[place(value)] ?? 0 };
}

/** Two colours on both sides of the sheet's: for what may be negative. */
export function diverging(element: Element): Palette {
  const up = sample(element, (share) => mix("low", "high", share));
  const down = sample(element, (share) => mixOf("var(--thimble-scale-low)", "var(--thimble-series-1)", share));
  return { at: (value) => (value < 0 ? down[place(-value)] : up[place(value)]) ?? 0 };
}

/** Draw numbers [height, width] in a picture with one pixel each; styles make it as large as it is. */
export function paint(
  canvas: HTMLCanvasElement,
  numbers: ArrayLike<number>,
  width: number,
  palette: Palette,
  most = 1,
): void {
  const height = Math.max(1, Math.floor(numbers.length / width));
  if (canvas.width !== width) canvas.width = width;
  if (canvas.height !== height) canvas.height = height;
  const context = canvas.getContext("2d");
  if (!context) return;
  const picture = context.createImageData(width, height);
  const pixels = new Uint32Array(picture.data.buffer);
  const scale = most > 0 ? 1 / most : 0;
  for (let i = 0; i < pixels.length; i += 1) pixels[i] = palette.at((numbers[i] ?? 0) * scale);
  context.putImageData(picture, 0, 0);
}

/** Run `draw` when the page's colours are others. */
export function onScheme(draw: () => void): void {
  const theme = new MutationObserver(draw);
  theme.observe(document.documentElement, { attributeFilter: ["data-theme"] });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
}

function place(value: number): number {
  return Math.min(STEPS - 1, Math.max(0, Math.round(value * (STEPS - 1))));
}

function mix(from: string, to: string, share: number): string {
  return mixOf(`var(--thimble-scale-${from})`, `var(--thimble-scale-${to})`, share);
}

function mixOf(from: string, to: string, share: number): string {
  return `color-mix(in oklab, ${from}, ${to} ${(100 * share).toFixed(1)}%)`;
}

/** The colours of a scale as numbers that a picture's memory takes: the browser's own mixing. */
function sample(element: Element, colour: (share: number) => string): Uint32Array {
  const canvas = document.createElement("canvas");
  canvas.width = STEPS;
  canvas.height = 1;
  const context = canvas.getContext("2d", { willReadFrequently: true });
  if (!context) return new Uint32Array(STEPS);
  const gradient = context.createLinearGradient(0, 0, STEPS, 0);
  // Between so few steps of OKLab the straight way is the same.
  const stops = 16;
  for (let i = 0; i <= stops; i += 1) gradient.addColorStop(i / stops, resolved(colour(i / stops), element));
  context.fillStyle = gradient;
  context.fillRect(0, 0, STEPS, 1);
  return new Uint32Array(context.getImageData(0, 0, STEPS, 1).data.buffer);
}
