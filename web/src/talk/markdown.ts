/**
 * What a model writes as Markdown, as elements. `marked` reads it; no text of the model's is ever
 * parsed as HTML, no picture is loaded, and only a link that the reader follows leads anywhere.
 */

import { html, nothing } from "lit";
import type { TemplateResult } from "lit";
import { Lexer } from "marked";
import type { Token, Tokens } from "marked";

type Shown = TemplateResult | string | typeof nothing;

/** Where a link may lead. */
const SAFE = /^(https?|mailto):/i;

/** Nested so deep that reading and laying it out would take seconds; nobody writes so. */
const DEEP = /^ {60}|^(?: *> ?){20}/m;

/** Elements for a text; `copy` is told the code whose button was pressed. */
export function markdown(text: string, copy: (code: string) => void): Shown[] {
  const raw = html`<p class="raw">${text}</p>`;
  if (DEEP.test(text)) return [raw];
  try {
    return blocks(Lexer.lex(text), copy);
  } catch {
    return [raw]; // what the parser gives up at
  }
}

function blocks(tokens: readonly Token[], copy: (code: string) => void): Shown[] {
  return tokens.map((token) => block(token, copy));
}

function block(token: Token, copy: (code: string) => void): Shown {
  switch (token.type) {
    case "space": return nothing;
    case "hr": return html`<hr>`;
    case "heading": return html`<p class="heading" data-depth=${(token as Tokens.Heading).depth}>${inline(token.tokens)}</p>`;
    case "paragraph": return html`<p>${inline(token.tokens)}</p>`;
    case "text": return html`${token.tokens ? inline(token.tokens) : (token as Tokens.Text).text}`;
    case "blockquote": return html`<blockquote>${blocks(token.tokens ?? [], copy)}</blockquote>`;
    case "list": return list(token as Tokens.List, copy);
    case "table": return table(token as Tokens.Table);
    case "code": return code(token as Tokens.Code, copy);
    default: return html`<p class="raw">${token.raw}</p>`; // HTML, a definition: as it was written
  }
}

function list({ ordered, start, items }: Tokens.List, copy: (code: string) => void): TemplateResult {
  const rows = items.map((item) => {
    const box = item.task ? (item.checked ? "☑ " : "☐ ") : nothing;
    const shown = item.tokens.filter(({ type }) => type !== "checkbox");
    return html`<li>${box}${blocks(shown, copy)}</li>`;
  });
  return ordered ? html`<ol start=${start === "" ? 1 : start}>${rows}</ol>` : html`<ul>${rows}</ul>`;
}

function table({ header, rows }: Tokens.Table): TemplateResult {
  return html`<div class="table" tabindex="0" role="region" aria-label="Table"><table>
    <thead><tr>${header.map((cell) => html`<th scope="col" data-align=${cell.align ?? nothing}>${inline(cell.tokens)}</th>`)}</tr></thead>
    <tbody>${rows.map((row) => html`<tr>${row.map((cell) => html`<td data-align=${cell.align ?? nothing}>${inline(cell.tokens)}</td>`)}</tr>`)}</tbody>
  </table></div>`;
}

function code({ text, lang }: Tokens.Code, copy: (code: string) => void): TemplateResult {
  return html`<figure class="code">
    <figcaption><span>${lang || "code"}</span><button type="button" class="quiet" @click=${() => copy(text)}>Copy code</button></figcaption>
    <pre tabindex="0"><code>${text}</code></pre>
  </figure>`;
}

function inline(tokens: readonly Token[] = []): Shown[] {
  return tokens.map((token): Shown => {
    switch (token.type) {
      case "strong": return html`<strong>${inline(token.tokens)}</strong>`;
      case "em": return html`<em>${inline(token.tokens)}</em>`;
      case "del": return html`<del>${inline(token.tokens)}</del>`;
      case "codespan": return html`<code>${(token as Tokens.Codespan).text}</code>`;
      case "br": return html`<br>`;
      case "escape": return (token as Tokens.Escape).text;
      case "text": return token.tokens ? html`${inline(token.tokens)}` : (token as Tokens.Text).text;
      case "link": return link(token as Tokens.Link);
      default: return token.raw; // a picture, HTML
    }
  });
}

/** A link says where it leads. */
function link({ href, raw, tokens }: Tokens.Link): Shown {
  if (!SAFE.test(href)) return raw;
  const words = inline(tokens);
  const told = raw === href ? nothing : html` <span class="address">(${href})</span>`;
  return html`<a href=${href} target="_blank" rel="noopener noreferrer nofollow">${words}</a>${told}`;
}

