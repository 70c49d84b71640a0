/**
 * Whose word it was: what the embedding, each head and each MLP added to the logit of a token at the
 * position (Elhage et al. 2021). A head's row leads to where that head looks.
 */

import type { LensPart, LensParts } from "../protocol/lens";
import { byId } from "../ui/dom";
import { count } from "../ui/format";
import { quoted } from "../ui/tokens";
import { signedTable } from "./signed";
import { Pane } from "./state";
import type { LensText, LensView } from "./state";

/** Parts of a model with more of them that are listed. */
const MOST = 40;

const element = (id: string): HTMLElement => byId(id, HTMLElement);

class Parts extends Pane {
  readonly #word = byId("lens-word", HTMLSelectElement);
  readonly #against = byId("lens-against", HTMLSelectElement);
  readonly #order = byId("lens-order", HTMLSelectElement);
  /** What is shown: of which text, where, and of which tokens. */
  #shown = "";
  #at = "";
  #found: LensParts | null = null;

  constructor(root: HTMLElement, lens: LensView) {
    super(root, lens, "parts");
    for (const select of [this.#word, this.#against]) {
      select.addEventListener("change", () => this.follow());
    }
    this.#order.addEventListener("change", () => this.#list());
    this.follow();
  }

  protected async show(text: LensText): Promise<void> {
    const { position } = this.lens;
    const at = `${text.look} ${position}`;
    const next = text.tokens[position + 1] ?? null;
    const fresh = at !== this.#at;
    const token = fresh ? (next?.id ?? null) : numberOf(this.#word);
    const against = fresh ? null : numberOf(this.#against);
    const wanted = `${at} ${token} ${against}`;
    if (wanted !== this.#shown) {
      if (!this.lens.permits("parts")) return;
      const found = await this.lens.ask((engine) => engine.lens.parts(text.look, position, token, against));
      if (!found || text !== this.lens.text || position !== this.lens.position) return;
      this.#found = found;
      this.#at = at;
      if (fresh) this.#offer(found, next);
      this.#shown = `${at} ${found.token} ${against}`;
    }
    this.#list();
  }

  /** The words that may be asked about: the text's own next one, and the model's best. */
  #offer(found: LensParts, next: { id: number; text: string } | null): void {
    const options = found.best.map(([id, text]) => new Option(quoted(text), String(id)));
    if (next && !found.best.some(([id]) => id === next.id)) {
      options.unshift(new Option(`${quoted(next.text)}, the actual next token`, String(next.id)));
    }
    this.#word.replaceChildren(...options);
    this.#word.value = String(found.token);
    const others = found.best.map(([id, text]) => new Option(quoted(text), String(id)));
    this.#against.replaceChildren(new Option("nothing", ""), ...others);
    this.#against.value = "";
  }

  #list(): void {
    const found = this.#found;
    if (!found) return;
    const { layer, head } = this.lens.place;
    const parts = [...found.parts];
    if (this.#order.value === "size") parts.sort((a, b) => Math.abs(b[3]) - Math.abs(a[3]));
    const bars = parts.slice(0, MOST).map((part) => {
      const [kind, l, h, value] = part;
      return {
        label: labelOf(part), value, words: signed(value),
        current: kind === "head" && l === layer && h === head,
        ...(kind === "head" && l !== null && h !== null ? { choose: () => this.#look(l, h) } : {}),
      };
    });
    const against = this.#against.selectedOptions[0];
    const words = this.#against.value ? ` more than ${against?.text}` : "";
    const logit = this.#against.value ? "The difference of the logits" : "The logit";
    element("lens-parts-words").textContent =
      `${logit} of ${quoted(found.text)}${words} is ${signed(found.value)}; the parts add up to it, except for a rounding error of ${signed(found.rest)}.` +
      (parts.length > MOST ? ` The ${MOST} largest of ${count(parts.length)} parts.` : "");
    element("lens-parts-list").replaceChildren(
      signedTable({ caption: "What each part contributed", heads: ["part", "logit"], bars }),
    );
  }

  /** Go to where this head looks. */
  #look(layer: number, head: number): void {
    this.lens.go({ layer, head });
    this.lens.view = "attention";
  }
}

function numberOf(select: HTMLSelectElement): number | null {
  return select.value === "" ? null : Number(select.value);
}

function labelOf([kind, layer, head]: LensPart): string {
  if (kind === "head") return `Layer ${layer}, head ${head}`;
  if (kind === "mlp") return `Layer ${layer}, MLP`;
  if (kind === "scan") return `Layer ${layer}, scan`;
  if (kind === "conv") return `Layer ${layer}, convolution`;
  return { embed: "Embedding", position: "Position", bias: "Biases" }[kind];
}

/** A number with its sign, as it is added. */
function signed(value: number): string {
  return `${value < 0 ? "−" : "+"}${Math.abs(value).toFixed(2)}`;
}

export function mount(root: HTMLElement, lens: LensView): void {
  new Parts(root, lens);
}
