/**
 * The editor: CodeMirror with Python's grammar, and the keys of a console.
 *
 * It stands in a shadow root: there CodeMirror writes its styles into a constructed style sheet,
 * which the page's content policy allows; in the document itself it would make a style element. It
 * knows nothing of engines: what may be completed is asked of `Keys`.
 */

import { autocompletion, closeBrackets, closeBracketsKeymap, completionKeymap } from "@codemirror/autocomplete";
import type { CompletionContext, CompletionResult } from "@codemirror/autocomplete";
import { defaultKeymap, history, historyKeymap, indentWithTab } from "@codemirror/commands";
import { localCompletionSource, python, pythonLanguage } from "@codemirror/lang-python";
import {
  bracketMatching, indentOnInput, indentUnit, syntaxHighlighting,
} from "@codemirror/language";
import { EditorState, Prec } from "@codemirror/state";
import { EditorView, drawSelection, highlightSpecialChars, keymap, lineNumbers } from "@codemirror/view";
import { classHighlighter, highlightCode } from "@lezer/highlight";
import { THEME } from "./theme";

/** What the editor asks of the panel. */
export interface Keys {
  run(): void;
  /** Interrupt what runs; false where nothing does. */
  interrupt(): boolean;
  /** The code before this one in the history, or after it; null where there is none. */
  recall(step: -1 | 1, shown: string): string | null;
  complete(before: string): Promise<{ start: number; options: readonly { label: string; type: string }[] }>;
}

/**
 * One whole line and the cursor at its end: where Enter runs, as in any console. What the grammar
 * misses at the end (a block's lines, a bracket) is what may still come.
 */
function isOneLine(state: EditorState): boolean {
  const { doc, selection } = state;
  const atEnd = selection.main.empty && selection.main.head === doc.length;
  if (doc.lines !== 1 || doc.length === 0 || !atEnd) return false;
  const code = doc.toString().trimEnd();
  let whole = !code.endsWith("\\");
  pythonLanguage.parser.parse(code).iterate({
    enter: (node) => {
      if (node.type.isError && node.to >= code.length) whole = false;
    },
  });
  return whole;
}

export class Editor {
  readonly #view: EditorView;

  constructor(place: HTMLElement, label: string, description: string, keys: Keys) {
    const root = place.attachShadow({ mode: "open", delegatesFocus: true });
    const recall = (step: -1 | 1) => (view: EditorView): boolean => {
      const { main } = view.state.selection;
      const line = view.state.doc.lineAt(main.head).number;
      if (!main.empty || line !== (step < 0 ? 1 : view.state.doc.lines)) return false;
      const code = keys.recall(step, this.text);
      if (code !== null) this.set(code);
      return code !== null;
    };
    const run = (): boolean => (keys.run(), true);
    const enter = (view: EditorView): boolean => isOneLine(view.state) && run();
    this.#view = new EditorView({
      root,
      parent: root,
      extensions: [
        Prec.high(keymap.of([
          { key: "Shift-Enter", run }, { key: "Mod-Enter", run },
          // With something selected it copies, as anywhere.
          { key: "Ctrl-c", run: ({ state }) => state.selection.main.empty && keys.interrupt() },
          { key: "ArrowUp", run: recall(-1) }, { key: "ArrowDown", run: recall(1) },
        ])),
        keymap.of([...completionKeymap]),
        keymap.of([
          { key: "Enter", run: enter },
          ...closeBracketsKeymap, ...defaultKeymap, ...historyKeymap, indentWithTab,
        ]),
        lineNumbers(), history(), drawSelection(), highlightSpecialChars(), bracketMatching(),
        closeBrackets(), indentOnInput(), indentUnit.of("    "), EditorState.tabSize.of(4),
        python(), syntaxHighlighting(classHighlighter), EditorView.lineWrapping, THEME,
        autocompletion({
          override: [(context) => liveCompletions(context, keys), localCompletionSource],
          icons: false,
        }),
        EditorView.contentAttributes.of({
          "aria-label": label, "aria-description": description, autocapitalize: "off", spellcheck: "false",
        }),
      ],
    });
  }

  get text(): string {
    return this.#view.state.doc.toString();
  }

  /** Other code in place of this, with the cursor at its end or, to be read, at its beginning. */
  set(code: string, at: "end" | "beginning" = "end"): void {
    const { length } = this.#view.state.doc;
    this.#view.dispatch({
      changes: { from: 0, to: length, insert: code },
      selection: { anchor: at === "end" ? code.length : 0 },
      scrollIntoView: true,
    });
  }

  focus(): void {
    this.#view.focus();
  }
}

/** Names and attributes of the live objects; Tab and a pause ask too, not only a dot. */
async function liveCompletions(context: CompletionContext, keys: Keys): Promise<CompletionResult | null> {
  const line = context.state.doc.lineAt(context.pos);
  const before = line.text.slice(0, context.pos - line.from);
  if (!context.explicit && !/[\w.]$/.test(before)) return null;
  const { start, options } = await keys.complete(before).catch(() => ({ start: 0, options: [] }));
  if (options.length === 0) return null;
  return { from: context.pos - start, options: [...options], validFor: /^\w*$/ };
}

/** Code as elements, coloured like the editor's. */
export function coloured(code: string): DocumentFragment {
  const made = document.createDocumentFragment();
  const put = (text: string, classes: string): void => {
    if (!classes) return made.append(text);
    const span = document.createElement("span");
    span.className = classes;
    span.textContent = text;
    made.append(span);
  };
  highlightCode(code, pythonLanguage.parser.parse(code), classHighlighter, put, () => made.append("\n"));
  return made;
}
