/**
 * Finds the passages of texts that have the words of a question: Okapi BM25 (Robertson and Zaragoza,
 * "The Probabilistic Relevance Framework", 2009) over paragraphs. It knows no model and no page.
 */

const K1 = 1.2;
const B = 0.75;
/** Characters of a passage, about: paragraphs are joined up to that, and cut at a line after it. */
const PASSAGE = 700;

export interface Passage {
  readonly file: string;
  /** The line that it begins with, from 1. */
  readonly line: number;
  readonly text: string;
}

interface Indexed extends Passage {
  readonly counts: ReadonlyMap<string, number>;
  readonly length: number;
}

/** The words of a text in lower case, without accents. */
function wordsOf(text: string): string[] {
  return text.normalize("NFKD").replace(/\p{M}/gu, "").toLowerCase().match(/[\p{L}\p{N}]+/gu) ?? [];
}

/** A text in passages that end with a paragraph, or else with a line. */
export function passagesOf(file: string, text: string): Passage[] {
  const found: Passage[] = [];
  let held: string[] = [];
  let size = 0;
  let line = 1;
  const end = (next: number): void => {
    const passage = held.join("\n").trim();
    if (passage) found.push({ file, line: line + held.findIndex((one) => one.trim() !== ""), text: passage });
    held = [];
    size = 0;
    line = next;
  };
  for (const [at, one] of text.split("\n").entries()) {
    for (let from = 0; from === 0 || from < one.length; from += 2 * PASSAGE) {
      const piece = one.slice(from, from + 2 * PASSAGE);
      if (size > 0 && size + piece.length > 2 * PASSAGE) end(at + 1);
      held.push(piece);
      size += piece.length + 1;
    }
    if (size >= PASSAGE && one.trim() === "") end(at + 2);
  }
  end(0);
  return found;
}

export class TextIndex {
  #passages: Indexed[] = [];
  /** In how many passages each word is. */
  readonly #known = new Map<string, number>();

  get files(): string[] {
    return [...new Set(this.#passages.map(({ file }) => file))];
  }

  /** Take a text in; one of the same name gives way. */
  add(file: string, text: string): void {
    this.remove(file);
    for (const passage of passagesOf(file, text)) {
      const counts = new Map<string, number>();
      const words = wordsOf(passage.text);
      for (const word of words) counts.set(word, (counts.get(word) ?? 0) + 1);
      for (const word of counts.keys()) this.#known.set(word, (this.#known.get(word) ?? 0) + 1);
      this.#passages.push({ ...passage, counts, length: words.length });
    }
  }

  remove(file: string): void {
    for (const { counts } of this.#passages.filter((one) => one.file === file)) {
      for (const word of counts.keys()) this.#known.set(word, (this.#known.get(word) ?? 1) - 1);
    }
    this.#passages = this.#passages.filter((one) => one.file !== file);
  }

  /** The passages that answer a question best, the best first; none that has none of its words. */
  search(question: string, most: number): Passage[] {
    const all = this.#passages.length;
    const mean = this.#passages.reduce((sum, { length }) => sum + length, 0) / Math.max(all, 1);
    const wanted = [...new Set(wordsOf(question))];
    const scored = this.#passages.map((passage) => ({ passage, score: this.#score(passage, wanted, all, mean) }));
    return scored.filter(({ score }) => score > 0).sort((a, b) => b.score - a.score).slice(0, most)
      .map(({ passage: { file, line, text } }) => ({ file, line, text }));
  }

  #score({ counts, length }: Indexed, wanted: readonly string[], all: number, mean: number): number {
    return wanted.reduce((sum, word) => {
      const count = counts.get(word) ?? 0;
      const known = this.#known.get(word) ?? 0;
      const rarity = Math.log(1 + (all - known + 0.5) / (known + 0.5));
      return sum + (rarity * count * (K1 + 1)) / (count + K1 * (1 - B + (B * length) / mean));
    }, 0);
  }
}
