/** What the model wrote at fixed steps: the latest, and a way back to the others. */

import type { TrainHistory } from "../protocol/train";
import { byId } from "../ui/dom";
import { count } from "../ui/format";

type Samples = TrainHistory["samples"];

/** What an untrained model writes of these would be invisible, or move the page. */
const CONTROL = /[\0-\x09\x0b-\x1f\x7f-\x9f]/g;
const SUM = /^(\d+)([-+])(\d+)=(.*)$/;

export class SampleView {
  readonly #empty = byId("train-empty", HTMLElement);
  readonly #lines = byId("train-lines", HTMLElement);
  readonly #back = byId("train-back", HTMLElement);
  readonly #at = byId("train-at", HTMLInputElement);
  readonly #words = byId("train-at-words", HTMLElement);
  #samples: Samples = [];

  constructor() {
    this.#at.addEventListener("input", () => this.#show());
  }

  /** These are the samples now; who looks at the latest one goes on to see the latest. */
  update(samples: Samples): void {
    if (samples.length === this.#samples.length && samples[0] === this.#samples[0]) return;
    const latest = this.#at.valueAsNumber >= this.#samples.length - 1;
    this.#samples = samples;
    this.#at.max = String(Math.max(0, samples.length - 1));
    if (latest || samples.length === 1) this.#at.value = this.#at.max;
    this.#show();
  }

  #show(): void {
    const sample = this.#samples[this.#at.valueAsNumber];
    this.#empty.hidden = sample !== undefined;
    this.#lines.hidden = sample === undefined;
    this.#back.hidden = this.#samples.length < 2;
    if (!sample) return;
    const [step, text] = sample;
    const lines = text.replace(CONTROL, "·").split("\n");
    this.#lines.classList.toggle("many", lines.length > 6);
    const { right, sums } = this.#mark(lines);
    const judged = sums ? ` · ${right} of ${sums} right` : "";
    const when = step ? `After ${count(step)} steps` : "Before the first step";
    this.#words.textContent = `${when}${judged}`;
    this.#at.setAttribute("aria-valuetext", when);
  }

  /** Write the lines; sums that are wrong are marked. */
  #mark(lines: readonly string[]): { right: number; sums: number } {
    let [right, sums] = [0, 0];
    const all = lines.every((line) => SUM.test(line));
    this.#lines.replaceChildren(
      ...lines.flatMap((line, at) => {
        const end = at < lines.length - 1 ? "\n" : "";
        const sum = all ? SUM.exec(line) : null;
        if (!sum) return [line + end];
        sums += 1;
        if (isRight(sum)) {
          right += 1;
          return [line + end];
        }
        const wrong = document.createElement("span");
        wrong.className = "wrong";
        wrong.textContent = line;
        return [wrong, end];
      }),
    );
    return { right, sums };
  }
}

function isRight([, a, sign, b, answer]: RegExpExecArray): boolean {
  const [x, y] = [Number(a), Number(b)];
  const result = sign === "+" ? x + y : x - y;
  return answer === String(result);
}
