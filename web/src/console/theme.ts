/** The editor's look, from the page's own tokens, which reach into its shadow root. */

import { EditorView } from "@codemirror/view";

const v = (name: string): string => `var(--thimble-${name})`;

export const THEME = EditorView.theme({
  "&": { color: v("ink"), backgroundColor: "transparent", fontSize: "inherit" },
  "&.cm-focused": { outline: "none" },
  ".cm-scroller": { fontFamily: v("mono"), lineHeight: "1.6", maxHeight: "45vh", overflow: "auto" },
  ".cm-content": { padding: `${v("2")} 0`, caretColor: v("accent"), minHeight: "3.2em" },
  ".cm-line": { padding: `0 ${v("2")}` },
  ".cm-gutters": { backgroundColor: "transparent", border: "none", color: v("ink-3"), paddingInlineStart: v("1") },
  ".cm-lineNumbers .cm-gutterElement": { minWidth: "1.75em" },
  ".cm-cursor": { borderInlineStartColor: v("accent"), borderInlineStartWidth: "2px" },
  "&.cm-focused > .cm-scroller > .cm-selectionLayer .cm-selectionBackground, .cm-selectionBackground": {
    background: `color-mix(in oklab, ${v("accent")} 28%, transparent)`,
  },
  "&.cm-focused .cm-matchingBracket": { backgroundColor: v("accent-soft"), outline: `1px solid ${v("edge")}` },
  ".cm-tooltip": {
    border: `1px solid ${v("line")}`,
    borderRadius: v("corner"),
    backgroundColor: v("sheet"),
    color: v("ink"),
    overflow: "hidden",
  },
  ".cm-tooltip.cm-tooltip-autocomplete > ul": { fontFamily: v("mono"), maxHeight: "14em" },
  ".cm-tooltip.cm-tooltip-autocomplete > ul > li": { padding: `${v("1")} ${v("3")}` },
  ".cm-tooltip-autocomplete ul li[aria-selected]": { backgroundColor: v("accent"), color: v("on-accent") },
  ".cm-completionMatchedText": { textDecoration: "none", fontWeight: "700" },
  ".tok-keyword, .tok-bool, .tok-atom": { color: v("accent"), fontWeight: "600" },
  ".tok-string, .tok-string2": { color: v("code-string") },
  ".tok-number": { color: v("code-number") },
  ".tok-comment": { color: v("ink-3"), fontStyle: "italic" },
  ".tok-definition, .tok-className": { fontWeight: "600" },
});
