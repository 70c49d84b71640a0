/**
 * What a model writes as Markdown, as elements. `marked` reads it; no text of the model's is ever
 * parsed as HTML, no picture is loaded, and only a link that the reader follows leads anywhere.
 */

import { html, nothing } from "lit";
import type { TemplateResult } from "lit";
import { Marked } from "marked";
import type { Token, Tokens } from "marked";

type Shown = TemplateResult | string | typeof nothing;

/** What is done with parts of a text, as far as it is there. */
export interface Ways {
  /** Told the code whose button was pressed. */
  readonly copy: (code: string) => void;
  /** Code in colours; null where it stays as it is. */
  readonly highlight?: (code: string, language: string) => unknown;
  /** A formula's element; null where it is none. */
  readonly formula?: (tex: string, display: boolean) => Element | null;
}

/** A formula: between dollars that no space follows or precedes, or as TeX writes it. */
const INLINE = /^\$(?=\S)((?:[^$\n\\]|\\.){1,500}?)(?<=\S)\$(?!\d)|^\\\(((?:[^\\]|\\(?!\))){1,500}?)\\\)/;
const DISPLAY = /^\$\$((?:[^$]|\\\$){1,2000}?)\$\$|^\\\[((?:[^\\]|\\(?!\])){1,2000}?)\\\]/;

interface Formula extends Tokens.Generic {
  readonly type: "formula";
  readonly tex: string;
  readonly display: boolean;
}

const reader = new Marked({
  extensions: [{
    name: "formula",
    level: "inline",
    start: (source: string) => source.match(/\$|\\[([]/)?.index,
    tokenizer(source: string): Formula | undefined {
      for (const [rule, display] of [[DISPLAY, true], [INLINE, false]] as const) {
        const found = rule.exec(source);
        if (found) return { type: "formula", raw: found[0], tex: found[1] ?? found[2] ?? "", display };
      }
      return undefined;
    },
  }],
});

/** Where a link may lead. */
const SAFE = /^(https?|mailto):/i;

/** Nested so deep that reading and laying it out would take seconds; nobody writes so. */
const DEEP = /^ {60}|^(?: *> ?){20}/m;

/** Elements for a text. */
export function markdown(text: string, ways: Ways): Shown[] {
  const raw = html`<p class="raw">${text}</p>`;
  if (DEEP.test(text)) return [raw];
  try {
    return blocks(reader.lexer(text), ways);
  } catch {
    return [raw]; // what the parser gives up at
  }
}

function blocks(tokens: readonly Token[], ways: Ways): Shown[] {
  return tokens.map((token) => block(token, ways));
}

function block(token: Token, ways: Ways): Shown {
  switch (token.type) {
    case "space": return nothing;
    case "hr": return html`<hr>`;
    case "heading": return html`<p class="heading" data-depth=${(token as Tokens.Heading).depth}>${inline(token.tokens, ways)}</p>`;
    case "paragraph": return html`<p>${inline(token.tokens, ways)}</p>`;
    case "text": return html`${token.tokens ? inline(token.tokens, ways) : (token as Tokens.Text).text}`;
    case "blockquote": return html`<blockquote>${blocks(token.tokens ?? [], ways)}</blockquote>`;
    case "list": return list(token as Tokens.List, ways);
    case "table": return table(token as Tokens.Table, ways);
    case "code": return code(token as Tokens.Code, ways);
    default: return html`<p class="raw">${token.raw}</p>`; // HTML, a definition: as it was written
  }
}

function list({ ordered, start, items }: Tokens.List, ways: Ways): TemplateResult {
  const rows = items.map((item) => {
    const box = item.task ? (item.checked ? "☑ " : "☐ ") : nothing;
    const shown = item.tokens.filter(({ type }) => type !== "checkbox");
    return html`<li>${box}${blocks(shown, ways)}</li>`;
  });
  return ordered ? html`<ol start=${start === "" ? 1 : start}>${rows}</ol>` : html`<ul>${rows}</ul>`;
}

function table({ header, rows }: Tokens.Table, ways: Ways): TemplateResult {
  return html`<div class="table" tabindex="0" role="region" aria-label="Table"><table>
    <thead><tr>${header.map((cell) => html`<th scope="col" data-align=${cell.align ?? nothing}>${inline(cell.tokens, ways)}</th>`)}</tr></thead>
    <tbody>${rows.map((row) => html`<tr>${row.map((cell) => html`<td data-align=${cell.align ?? nothing}>${inline(cell.tokens, ways)}</td>`)}</tr>`)}</tbody>
  </table></div>`;
}

function code({ text, lang }: Tokens.Code, { copy, highlight }: Ways): TemplateResult {
  return html`<figure class="code">
    <figcaption><span>${lang || "code"}</span><button type="button" class="quiet" @click=${() => copy(text)}>Copy code</button></figcaption>
    <pre tabindex="0"><code>${highlight?.(text, /^[\w+#-]+/.exec(lang ?? "")?.[0].toLowerCase() ?? "") ?? text}</code></pre>
  </figure>`;
}

function inline(tokens: readonly Token[] | undefined, ways: Ways): Shown[] {
  return (tokens ?? []).map((token): Shown => {
    switch (token.type) {
      case "strong": return html`<strong>${inline(token.tokens, ways)}</strong>`;
      case "em": return html`<em>${inline(token.tokens, ways)}</em>`;
      case "del": return html`<del>${inline(token.tokens, ways)}</del>`;
      case "codespan": return html`<code>${(token as Tokens.Codespan).text}</code>`;
      case "br": return html`<br>`;
      case "escape": return (token as Tokens.Escape).text;
      case "text": return token.tokens ? html`${inline(token.tokens, ways)}` : (token as Tokens.Text).text;
      case "link": return link(token as Tokens.Link, ways);
      case "formula": return formula(token as Formula, ways);
      default: return token.raw; // a picture, HTML
    }
  });
}

function formula({ tex, display, raw }: Formula, ways: Ways): Shown {
  const element = ways.formula?.(tex, display);
  return element ? html`<span class="formula" ?data-display=${display}>${element}</span>` : raw;
}

/** A link says where it leads. */
function link({ href, raw, tokens }: Tokens.Link, ways: Ways): Shown {
  if (!SAFE.test(href)) return raw;
  const words = inline(tokens, ways);
  const told = raw === href ? nothing : html` <span class="address">(${href})</span>`;
  return html`<a href=${href} target="_blank" rel="noopener noreferrer nofollow">${words}</a>${told}`;
}

