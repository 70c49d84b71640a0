/**
 * The element's style: the page's own tokens, each of which a host page may set, on the element or
 * on anything around it. Constructed sheets, so no policy on styles stands in the way.
 */

import { css, unsafeCSS } from "lit";
import type { CSSResult } from "lit";
import tokens from "../../styles/tokens.css";
import task from "./task.css";
import own from "./widget.css";

/**
 * `--thimble-ink: black` becomes `--_ink: var(--thimble-ink, black)`. Lengths do not shrink on pages
 * whose root has a small font.
 */
function themable(sheet: string): string {
  const found = sheet.matchAll(/--thimble-([\w-]+):([^;}]+)/g);
  const seen = new Map<string, string>();
  for (const [, name = "", value = ""] of found) if (!seen.has(name)) seen.set(name, value);
  const lines = [...seen].map(([name, value]) => `--_${name}:var(--thimble-${name},${value})`);
  return lines.join(";").replace(/(?<![\w.])([\d.]+)rem/g, "calc($1*max(1rem,16px))");
}

export const styles: CSSResult[] = [css`:host{${unsafeCSS(themable(tokens))}}`, unsafeCSS(own)];

/** Of `<thimble-task>`. */
export const taskStyles: CSSResult[] = [...styles, unsafeCSS(task)];
