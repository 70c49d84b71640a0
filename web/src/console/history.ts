/** What was run before, to be had again: kept for the visit, in this page only. */

const MOST = 200;

export class History {
  readonly #entries: string[] = [];
  #at = 0;
  /** What stood there before the visitor went back. */
  #draft = "";

  add(code: string): void {
    if (this.#entries.at(-1) !== code) this.#entries.push(code);
    if (this.#entries.length > MOST) this.#entries.shift();
    this.#at = this.#entries.length;
  }

  /** The entry before the one that is shown, or null at the beginning. */
  back(shown: string): string | null {
    if (this.#at === this.#entries.length) this.#draft = shown;
    if (this.#at === 0) return null;
    this.#at -= 1;
    return this.#entries[this.#at] ?? null;
  }

  /** The entry after the one that is shown; at the end what stood there at first. */
  forward(): string | null {
    if (this.#at === this.#entries.length) return null;
    this.#at += 1;
    return this.#entries[this.#at] ?? this.#draft;
  }
}
