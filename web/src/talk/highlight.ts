/** Code in colours: `lowlight` (highlight.js' grammars) gives a tree, Lit makes elements of it. Loaded
 * when an answer first has code. */

import { html } from "lit";
import type { TemplateResult } from "lit";
import { common, createLowlight } from "lowlight";

/** Longer code is shown as it is. */
const LONGEST = 20_000;

const lowlight = createLowlight(common);

/** The look of what highlight.js tells apart, by the first word of its class. */
const LOOKS: Readonly<Record<string, string>> = {
  "hljs-keyword": "code-keyword", "hljs-literal": "code-keyword", "hljs-built_in": "code-keyword", "hljs-type": "code-keyword",
  "hljs-selector-tag": "code-keyword", "hljs-name": "code-keyword", "hljs-section": "code-keyword",
  "hljs-string": "code-string", "hljs-regexp": "code-string", "hljs-addition": "code-string",
  "hljs-number": "code-number", "hljs-symbol": "code-number", "hljs-deletion": "code-number",
  "hljs-comment": "code-comment", "hljs-quote": "code-comment", "hljs-meta": "code-comment",
};

interface Node {
  readonly type: string;
  readonly value?: string;
  readonly children?: readonly Node[];
  readonly properties?: { readonly className?: unknown };
}

/** Code in the colours of its language; null where the language is not known. */
export function highlight(code: string, language: string): readonly (TemplateResult | string)[] | null {
  if (code.length > LONGEST || !lowlight.registered(language)) return null;
  return shown(lowlight.highlight(language, code).children as readonly Node[]);
}

function shown(nodes: readonly Node[]): (TemplateResult | string)[] {
  return nodes.map(({ value, children = [], properties }) => {
    if (value !== undefined) return value;
    const [name] = (properties?.className ?? []) as string[];
    return html`<span class=${LOOKS[name ?? ""] ?? ""}>${shown(children)}</span>`;
  });
}
