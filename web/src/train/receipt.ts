/** The receipt of a run, to be read, copied and taken away. */

import { copy } from "../ui/clipboard";
import { byId } from "../ui/dom";
import { duration } from "./plan";
import { download } from "./files";

const NAME = "receipt.json";

/** What people look for in a receipt, in this order, where it is there. */
const FACTS: readonly (readonly [key: string, title: string])[] = [
  ["weights", "Weights, SHA-256"],
  ["data", "Text, SHA-256"],
  ["kernels", "Kernels, SHA-256"],
  ["steps", "Steps"],
  ["seconds", "Time"],
  ["core_seconds", "Core time"],
  ["machine", "Machine"],
];

export class ReceiptView {
  readonly #root = byId("train-receipt", HTMLElement);
  readonly #facts = byId("train-facts", HTMLElement);
  readonly #text = byId("train-receipt-text", HTMLElement);
  readonly #copy = byId("train-receipt-copy", HTMLButtonElement);

  constructor() {
    this.#copy.addEventListener("click", () => void this.#copied());
    byId("train-receipt-download", HTMLButtonElement).addEventListener("click", () =>
      download(NAME, [this.#text.textContent ?? ""], "application/json"),
    );
  }

  show(receipt: Readonly<Record<string, unknown>> | null): void {
    this.#root.hidden = receipt === null;
    if (!receipt) return;
    this.#text.textContent = JSON.stringify(receipt, null, 1);
    const known = FACTS.filter(([key]) => receipt[key] !== undefined);
    this.#facts.replaceChildren(
      ...known.flatMap(([key, title]) => {
        const term = document.createElement("dt");
        const value = document.createElement("dd");
        term.textContent = title;
        value.textContent = valueOf(key, receipt[key]);
        return [term, value];
      }),
    );
  }

  async #copied(): Promise<void> {
    const done = await copy(this.#text.textContent ?? "");
    this.#copy.textContent = done ? "Copied" : "Copying is not allowed here";
    setTimeout(() => (this.#copy.textContent = "Copy"), 1600);
  }
}

function valueOf(key: string, value: unknown): string {
  if (key.endsWith("seconds")) return duration(Number(value));
  if (typeof value === "object" && value !== null && "sha256" in value) return String(value.sha256);
  return String(value);
}
