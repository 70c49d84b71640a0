/** Bits per byte of several models as dots on one line each: a chart that need not begin at zero. */

export interface Dot {
  readonly label: string;
  /** The label where there is little room. */
  readonly brief: string;
  readonly value: number;
  /** The one that the chart is about. */
  readonly strong: boolean;
}

const SVG = "http://www.w3.org/2000/svg";
const ROW = 26;
const FOOT = 34;
const EDGE = 56;
/** Pixels from which on there is room for whole labels. */
const WIDE = 480;
/** Letters of a label that there is room for. */
const LETTERS = 30;

/** The chart, as wide as `host` and following it; `words` say the same to those who do not see it. */
export function dotChart(host: HTMLElement, dots: readonly Dot[], unit: string, words: string): void {
  let width = 0;
  const draw = (): void => {
    if (host.clientWidth === width || !host.clientWidth) return;
    width = host.clientWidth;
    host.replaceChildren(drawn(dots, unit, words, width));
  };
  observers.get(host)?.disconnect();
  const observer = new ResizeObserver(draw);
  observers.set(host, observer);
  observer.observe(host);
  draw();
}

const observers = new WeakMap<HTMLElement, ResizeObserver>();

function drawn(dots: readonly Dot[], unit: string, words: string, width: number): SVGSVGElement {
  const labels = width < WIDE ? 96 : 230;
  const values = dots.map(({ value }) => value);
  const [least, most] = [Math.min(...values), Math.max(...values)];
  const margin = (most - least || most || 1) * 0.12;
  const [low, high] = [least - margin, most + margin];
  const x = (value: number): number => labels + ((value - low) / (high - low)) * (width - labels - EDGE);
  const height = dots.length * ROW + FOOT;
  const root = make("svg", { width, height, class: "dots-chart", role: "img", "aria-label": words });
  const best = x(least);
  root.append(make("line", { x1: best, x2: best, y1: 0, y2: dots.length * ROW, class: "dots-best" }));
  dots.forEach((dot, at) => {
    const y = at * ROW + ROW / 2;
    root.append(
      write(width < WIDE ? dot.brief : cut(dot.label), { x: 0, y, class: dot.strong ? "strong" : "" }),
      make("line", { x1: labels, x2: width - EDGE, y1: y, y2: y, class: "dots-line" }),
      make("circle", { cx: x(dot.value), cy: y, r: 5.5, class: dot.strong ? "strong" : "" }),
      write(dot.value.toFixed(3), { x: width, y, class: `number${dot.strong ? " strong" : ""}` }),
    );
  });
  const y = dots.length * ROW + FOOT / 2;
  root.append(write(`${unit}, lower is better`, { x: labels, y, class: "dots-unit" }));
  return root;
}

function cut(label: string): string {
  return label.length > LETTERS ? `${label.slice(0, LETTERS - 1)}…` : label;
}

function write(text: string, attributes: Attributes): SVGElement {
  const made = make("text", { ...attributes, "dominant-baseline": "central" });
  made.textContent = text;
  return made;
}

type Attributes = Readonly<Record<string, string | number>>;

function make<Name extends keyof SVGElementTagNameMap>(
  name: Name,
  attributes: Attributes,
): SVGElementTagNameMap[Name] {
  const made = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, String(value));
  return made;
}
