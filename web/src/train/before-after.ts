/** What the model before and the model after fine-tuning write, side by side. */

import type { TrainInfo, TrainHistory } from "../protocol/train";
import { byId } from "../ui/dom";
import { complaint } from "./host";
import type { TrainingHost } from "./host";

const TOKENS = 120;

export class BeforeAfter {
  readonly #host: TrainingHost;
  readonly #part = byId("tune-result", HTMLElement);
  readonly #prompt = byId("tune-prompt", HTMLInputElement);
  readonly #seed = byId("tune-seed", HTMLInputElement);
  readonly #write = byId("tune-write", HTMLButtonElement);
  readonly #words = byId("tune-compare-words", HTMLElement);
  /** The run that is compared, so that a finished one is compared once by itself. */
  #of: TrainInfo | null = null;

  constructor(host: TrainingHost) {
    this.#host = host;
    this.#write.addEventListener("click", () => void this.#compare());
    for (const field of [this.#prompt, this.#seed]) {
      field.addEventListener("keydown", (event) => {
        if (event.key !== "Enter") return;
        event.preventDefault(); // it would begin a training
        void this.#compare();
      });
    }
  }

  /** Show a run that began from a model and is over; null for none. */
  show(info: TrainInfo | null, history: TrainHistory): void {
    this.#part.hidden = info === null;
    if (!info) {
      this.#of = null;
      return;
    }
    const [before, after] = [history.heldout[0], history.heldout.at(-1)];
    byId("tune-before-bits", HTMLElement).textContent = bits(before?.[1]);
    byId("tune-after-bits", HTMLElement).textContent = bits(after === before ? undefined : after?.[1]);
    if (this.#of === info) return;
    this.#of = info;
    const [prompt] = info.about.prompts;
    this.#prompt.value ||= prompt ?? "";
    void this.#compare();
  }

  async #compare(): Promise<void> {
    this.#write.disabled = true;
    this.#words.textContent = "Writing …";
    const prompt = this.#prompt.value;
    const seed = Math.max(0, Math.trunc(this.#seed.valueAsNumber || 0));
    try {
      const texts = await this.#host.ask((engine) => engine.train.compare(prompt, seed, TOKENS));
      tell("tune-before", prompt, texts.before);
      tell("tune-after", prompt, texts.after);
      this.#words.textContent = "";
    } catch (error) {
      this.#words.textContent = complaint(error);
    } finally {
      this.#write.disabled = false;
    }
  }
}

/** The prompt, quieter, and what came of it. */
function tell(id: string, prompt: string, text: string): void {
  const before = document.createElement("span");
  before.className = "prompt";
  before.textContent = prompt;
  byId(id, HTMLElement).replaceChildren(before, text);
}

function bits(value: number | undefined): string {
  return value === undefined ? "" : `${value.toFixed(3)} bits per byte`;
}
