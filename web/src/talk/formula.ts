/** Formulas as MathML, which browsers draw by themselves: KaTeX makes the elements, without styles,
 * fonts or markup of a text's own. Loaded when an answer first has one. */

import katex from "katex";

/** An element for a formula in TeX; null for what is none. */
export function formula(tex: string, display: boolean): Element | null {
  const place = document.createElement("span");
  try {
    katex.render(tex, place, {
      output: "mathml", displayMode: display, trust: false, strict: "ignore", maxExpand: 200, maxSize: 20, errorColor: "currentcolor",
    });
  } catch {
    return null;
  }
  return place.querySelector("math");
}
