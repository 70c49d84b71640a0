/** The window follows a text that grows, until the reader scrolls up; at its end it follows again. */

/** Pixels that still count as the end. */
const NEAR = 24;

export class Follow {
  readonly #sheet: HTMLElement;
  #follows = false;
  #last = scrollY;

  constructor(sheet: HTMLElement) {
    this.#sheet = sheet;
    // What grows may be told after the scroll that it calls for: only a way up means to leave.
    addEventListener("scroll", () => {
      if (this.#below() <= NEAR) this.#follows = true;
      else if (scrollY < this.#last) this.#follows = false;
      this.#last = scrollY;
    }, { passive: true });
  }

  /** Follow from now on, as after something was said. */
  begin(): void {
    this.#follows = true;
    this.keep();
  }

  /** Show the end, where it is followed. */
  keep(): void {
    const below = this.#below();
    if (this.#follows && below > 0) scrollBy({ top: below, behavior: "instant" });
  }

  /** Pixels of the sheet below the window. */
  #below(): number {
    return this.#sheet.getBoundingClientRect().bottom - innerHeight;
  }
}
