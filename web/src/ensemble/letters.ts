/** Members by letter: with it go a colour and a pattern of the line under a token (ensemble.css). */

const LETTERS = "ABCDEFGH";

/** A title where there is little room: what all of ours begin with says nothing. */
export function short(title: string): string {
  return title.replace(/^Thimble (?=\S)/, "");
}

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
