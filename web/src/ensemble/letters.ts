/** Members by letter: with it go a colour and a pattern of the line under a token (ensemble.css). */

const LETTERS = "ABCDEFGH";

export function letter(at: number): string {
  return LETTERS[at] ?? "?";
}

/** A letter as it stands in a column's head and in the legend. */
export function badge(at: number): HTMLElement {
  const made = document.createElement("span");
  made.className = "mark-badge";
  made.dataset["mark"] = made.textContent = letter(at);
  return made;
}
