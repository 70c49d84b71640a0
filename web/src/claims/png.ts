/** A report as a picture: one line a claim, in the page's colours. */

import { resolved } from "../ui/scale";
import type { Report } from "./report";
import { sayRange, sayResult } from "./words";

const WIDTH = 1200;
const MARGIN = 72;
const ROW = 78;
const HEAD = 190;
const FOOT = 96;

/** The picture's file; `host` is an element with the page's colours. */
export async function picture(report: Report, host: HTMLElement): Promise<Blob> {
  const { results } = report;
  const canvas = document.createElement("canvas");
  canvas.width = WIDTH;
  canvas.height = HEAD + results.length * ROW + FOOT;
  const context = canvas.getContext("2d");
  if (!context) throw new Error("this browser has no canvas");
  const colour = (name: string): string => resolved(`var(--thimble-${name})`, host);
  const style = getComputedStyle(host);
  const sans = style.getPropertyValue("--thimble-sans").trim() || "sans-serif";
  const prose = style.getPropertyValue("--thimble-prose").trim() || "serif";
  context.fillStyle = colour("ground");
  context.fillRect(0, 0, canvas.width, canvas.height);
  const write = (
    words: string, x: number, y: number, font: string, ink: string, align: CanvasTextAlign = "left",
    width = WIDTH - 2 * MARGIN,
  ): void => {
    context.font = font;
    context.fillStyle = colour(ink);
    context.textAlign = align;
    context.fillText(fitted(context, words, width), x, y);
  };
  write("Small models, measured here", MARGIN, 96, `600 46px ${prose}`, "ink");
  const when = new Date(report.made).toISOString().slice(0, 10);
  write(`${report.model.name}, ${(report.model.bytes / 1e6).toFixed(1)} MB, ${report.machine.cores} cores, ${when}`, MARGIN, 140, `24px ${sans}`, "ink-2");
  results.forEach((result, at) => {
    const y = HEAD + at * ROW;
    context.fillStyle = colour("line");
    context.fillRect(MARGIN, y, WIDTH - 2 * MARGIN, 1);
    const [first] = result.quantities;
    write(result.title, MARGIN, y + 48, `500 27px ${sans}`, "ink", "left", 400);
    const ink = result.status === "done" ? "accent" : "danger";
    write(sayResult(result), 850, y + 40, `600 31px ${sans}`, ink, "right", 380);
    write(first?.name ?? result.error ?? "", 850, y + 66, `18px ${sans}`, "ink-3", "right", 420);
    if (first) write(sayRange(first), WIDTH - MARGIN, y + 48, `18px ${sans}`, "ink-3", "right", 265);
  });
  const doubts = results.filter((result) => result.doubts.length > 0).length;
  const note = doubts ? ` · ${doubts} of these measurements were disturbed: see the report` : "";
  write(`Thimble ${report.thimble}, build ${report.build.slice(0, 8)}${note}`, MARGIN, canvas.height - 40, `20px ${sans}`, "ink-3");
  return new Promise((resolve, reject) =>
    canvas.toBlob((blob) => (blob ? resolve(blob) : reject(new Error("the picture could not be made"))), "image/png"),
  );
}

/** As much of the words as fits. */
function fitted(context: CanvasRenderingContext2D, words: string, width: number): string {
  if (context.measureText(words).width <= width) return words;
  let cut = words;
  while (cut && context.measureText(`${cut}…`).width > width) cut = cut.slice(0, -1);
  return `${cut.trimEnd()}…`;
}
