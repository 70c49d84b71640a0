/** Tokens by their embeddings: which of the vocabulary lie nearest to the one that is looked at. */

import { byId } from "../ui/dom";
import { quoted } from "../ui/tokens";
import { signedTable } from "./signed";
import { Pane } from "./state";
import type { LensText, LensView } from "./state";

const element = (id: string): HTMLElement => byId(id, HTMLElement);

class Nearest extends Pane {
  #shown = "";

  constructor(root: HTMLElement, lens: LensView) {
    super(root, lens, "nearest");
    this.follow();
  }

  protected async show(text: LensText): Promise<void> {
    const { position } = this.lens;
    const wanted = `${text.look} ${position}`;
    if (wanted === this.#shown && this.lens.levels) return;
    this.#shown = wanted;
    const found = await this.lens.ask((engine) => engine.lens.similar(text.look, position));
    if (!found || wanted !== this.#shown) return;
    const own = quoted(text.tokens[position]?.text ?? "");
    element("lens-nearest-title").textContent = `Nearest to ${own}`;
    const heads = ["token", "cosine"] as const;
    const bars = found.nearest.map(([, word, value]) => ({ label: quoted(word), value, words: value.toFixed(3) }));
    element("lens-nearest-list").replaceChildren(
      signedTable({ caption: "The nearest tokens by cosine", heads, bars, most: 1 }),
    );
    const inText = found.text.map((value, at) => [value, at] as const).filter(([, at]) => at !== position);
    inText.sort(([a], [b]) => b - a);
    const rows = inText.slice(0, bars.length).map(([value, at]) => ({
      label: `${at + 1} ${quoted(text.tokens[at]?.text ?? "")}`, value, words: value.toFixed(3),
      choose: () => (this.lens.position = at),
    }));
    element("lens-nearest-text").replaceChildren(
      signedTable({ caption: "The nearest tokens of this text", heads, bars: rows, most: 1 }),
    );
    this.lens.levels = found.text.map((value) => Math.max(0, value));
  }
}

export function mount(root: HTMLElement, lens: LensView): void {
  new Nearest(root, lens);
}
