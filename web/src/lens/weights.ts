/** A matrix as a picture, and how far storing it in few bits can have moved each weight. */

import type { LensMatrix, TensorRow } from "../protocol/lens";
import { histogram, lineChart } from "../ui/chart";
import type { Chart } from "../ui/chart";
import { byId } from "../ui/dom";
import { count, plural } from "../ui/format";
import { diverging, onScheme, paint, sequential } from "./heat";
import { Pane } from "./state";
import type { LensText, LensView } from "./state";

/** The picture's strongest colour is this many times the root mean square. */
const RANGE = 3;
/** Numbers of which a distribution is counted; of more, every so many. */
const COUNTED = 50_000;

const element = (id: string): HTMLElement => byId(id, HTMLElement);

class Weights extends Pane {
  readonly #select = byId("lens-matrix", HTMLSelectElement);
  readonly #picture = byId("lens-weights-picture", HTMLCanvasElement);
  readonly #moved = byId("lens-moved-picture", HTMLCanvasElement);
  readonly #charts: { weights: Chart; moved: Chart };
  #text: LensText | null = null;
  #shown = "";
  #found: { matrix: LensMatrix; weights: Float32Array; moved: Float32Array } | null = null;

  constructor(root: HTMLElement, lens: LensView) {
    super(root, lens, "weights");
    this.#select.addEventListener("change", () => lens.go({ matrix: this.#select.value }));
    const y = { name: "weights", fromZero: true };
    this.#charts = {
      weights: lineChart(element("lens-weights-chart"), {
        title: "Distribution", x: { name: "weight", digits: 3 }, y, series: ["weights"], kind: "line",
        describe: (x) => (x.length ? `${x[0]?.toFixed(2)} to ${x.at(-1)?.toFixed(2)}` : "nothing yet"),
      }),
      moved: lineChart(element("lens-moved-chart"), {
        title: "The bounds", x: { name: "% of the weights’ root mean square", digits: 2 }, y, series: ["weights"],
        describe: (x) => (x.length ? `up to ${x.at(-1)?.toPrecision(2)} %` : "nothing yet"),
      }),
    };
    onScheme(() => this.#draw());
    this.follow();
  }

  protected async show(text: LensText): Promise<void> {
    this.lens.levels = null;
    if (text !== this.#text) {
      const tensors = await this.lens.ask((engine) => engine.lens.tensors(text.look));
      if (!tensors || text !== this.lens.text) return;
      this.#text = text;
      this.#offer(tensors);
      this.#shown = "";
    }
    const name = this.#chosen();
    if (name === this.#shown) return;
    this.#select.value = name;
    const found = await this.lens.ask((engine) => engine.lens.matrix(text.look, name));
    if (!found || name !== this.#chosen()) return;
    this.#shown = name;
    const size = found.rows * found.cols;
    this.#found = {
      matrix: found,
      weights: new Float32Array(found.numbers, 0, size),
      moved: new Float32Array(found.numbers, 4 * size, size),
    };
    this.#draw();
    this.#tell(name);
  }

  /** The tensors, by layer. */
  #offer(tensors: readonly TensorRow[]): void {
    const groups = new Map<string, HTMLOptGroupElement>();
    for (const [name, type, shape] of tensors) {
      const layer = /^blk\.(\d+)\./.exec(name)?.[1];
      const title = layer === undefined ? "Outside the layers" : `Layer ${layer}`;
      const group = groups.get(title) ?? document.createElement("optgroup");
      group.label = title;
      groups.set(title, group);
      group.append(new Option(`${name}, ${shape.join(" × ")}, ${type}`, name));
    }
    this.#select.replaceChildren(...groups.values());
  }

  /** The matrix of the place, or one of the layer that is looked at. */
  #chosen(): string {
    const { matrix, layer } = this.lens.place;
    const has = (name: string): boolean => [...this.#select.options].some(({ value }) => value === name);
    const usual = `blk.${layer}.attn_output.weight`;
    return has(matrix) ? matrix : has(usual) ? usual : (this.#select.options[0]?.value ?? "");
  }

  #draw(): void {
    if (!this.#found) return;
    const { matrix, weights, moved } = this.#found;
    paint(this.#picture, weights, matrix.cols, diverging(this.root), RANGE * rootMeanSquare(weights));
    paint(this.#moved, moved, matrix.cols, sequential(this.root), largest(moved));
    for (const canvas of [this.#picture, this.#moved]) {
      canvas.style.aspectRatio = `${matrix.cols} / ${Math.min(2 * matrix.cols, Math.max(matrix.rows, matrix.cols / 12))}`;
    }
  }

  #tell(name: string): void {
    if (!this.#found) return;
    const { matrix, weights, moved } = this.#found;
    const { type, every, rows, cols } = matrix;
    const size = rootMeanSquare(weights);
    const half = rootMeanSquare(moved);
    const part = every > 1 ? `, of which every ${every}th row is shown` : "";
    const words = `${name}: ${plural(rows * every, "row")} of ${count(cols)}${part}, stored as ${type}. Root mean square ${size.toPrecision(3)}.`;
    element("lens-weights-words").textContent = words;
    this.#picture.setAttribute("aria-label", `The weights of ${words}`);
    const share = size ? (100 * half) / size : 0;
    const bound = `${howStored(type)} At most ${largest(moved).toPrecision(2)}; root mean square of these bounds ${half.toPrecision(2)}, ${share.toPrecision(2)} % of the weights’.`;
    element("lens-moved-words").textContent = bound;
    this.#moved.setAttribute("aria-label", `How far rounding can have moved each weight. ${bound}`);
    const values = histogram(thinned(weights), 48);
    this.#charts.weights.update(values.x, [values.counts]);
    const bounds = histogram(thinned(moved).map((one) => (size ? (100 * one) / size : 0)), 24);
    this.#charts.moved.update(bounds.x, [bounds.counts]);
  }
}

/** What the bound is, for an encoding. */
function howStored(type: string): string {
  if (type === "Q8_0" || type === "Q4_0") {
    const extra = type === "Q4_0" ? " A block’s other extreme may be off by a whole step." : "";
    return `Every 32 weights of a row share a step size; each weight was rounded to a whole number of steps, so it moved by at most half a step.${extra}`;
  }
  return `Each weight was rounded to the nearest number of type ${type}, so it moved by at most half the distance between neighbours.`;
}

function rootMeanSquare(numbers: Float32Array): number {
  let sum = 0;
  for (const number of numbers) sum += number * number;
  return Math.sqrt(sum / Math.max(1, numbers.length));
}

function largest(numbers: Float32Array): number {
  let most = 0;
  for (const number of numbers) most = Math.max(most, number);
  return most;
}

function thinned(numbers: Float32Array): number[] {
  const every = Math.ceil(numbers.length / COUNTED);
  return every < 2 ? [...numbers] : [...numbers].filter((_, at) => at % every === 0);
}

export function mount(root: HTMLElement, lens: LensView): void {
  new Weights(root, lens);
}
