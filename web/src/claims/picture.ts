/** A series as a picture: the charts that every panel has. */

import { dotChart } from "../ensemble/dots";
import { lineChart } from "../ui/chart";
import type { Chart } from "../ui/chart";
import type { Series } from "./report";

/** Draw a series into `host`; the answer takes it away again. */
export function draw(host: HTMLElement, series: Series): () => void {
  if (series.kind === "dots") return dots(host, series);
  const numbers = series.points.filter((point): point is readonly [number, number] => typeof point[0] === "number");
  const fine = numbers.some(([x]) => !Number.isInteger(x)) ? 2 : 0;
  const chart: Chart = lineChart(host, {
    title: series.name,
    x: { name: series.x, digits: fine },
    y: { name: series.y, digits: series.digits, fromZero: series.kind === "line" ? false : true },
    series: [series.y],
    kind: series.kind === "bars" && !fine ? "bars" : "line",
    height: 120,
  });
  chart.update(numbers.map(([x]) => x), [numbers.map(([, y]) => y)]);
  return () => chart.destroy();
}

function dots(host: HTMLElement, { name, y, digits, points }: Series): () => void {
  const figure = document.createElement("figure");
  figure.className = "chart";
  const caption = document.createElement("figcaption");
  const strong = document.createElement("strong");
  strong.textContent = name;
  caption.append(strong);
  const place = document.createElement("div");
  figure.append(caption, place);
  host.replaceChildren(figure);
  const shown = points.map(([label, value]) => {
    const words = String(label);
    return { label: words, brief: words.split(" ")[0] ?? words, value, strong: words === "Together" };
  });
  const words = shown.map(({ label, value }) => `${label} ${value.toFixed(digits)}`).join(", ");
  dotChart(place, shown, y, `${name}, ${y}: ${words}`);
  return () => figure.remove();
}
