/** Small helpers for the parts of the Step panel that a script makes. */

/** An element with a class and what is in it. */
export function make<Name extends keyof HTMLElementTagNameMap>(
  name: Name,
  className = "",
  ...inside: (Node | string)[]
): HTMLElementTagNameMap[Name] {
  const made = document.createElement(name);
  if (className) made.className = className;
  made.append(...inside);
  return made;
}

/** A quiet button that does something; `label` where its words alone do not say of what. */
export function quietButton(words: string, press: () => void, label = ""): HTMLButtonElement {
  const made = make("button", "quiet", words);
  made.type = "button";
  if (label) made.setAttribute("aria-label", label);
  made.addEventListener("click", press);
  return made;
}
