/** The HTML that an author puts into a page: the element, or a frame with it. */

import { DEFAULTS } from "./attributes";

/** What an author has chosen; null leaves a value to the element. */
export interface Choices {
  readonly model: string;
  readonly prompt: string;
  readonly "max-tokens": number | null;
  readonly temperature: number | null;
  readonly "top-p": number | null;
  readonly seed: number | null;
  readonly reveal: "auto" | "manual";
  readonly readonly: boolean;
}

/** Attributes as the element has them; what it does anyway is left out. */
export function attributesOf(choices: Choices): ReadonlyMap<string, string> {
  const { model, prompt, reveal, readonly, ...numbers } = choices;
  const found = new Map([["model", model]]);
  if (prompt) found.set("prompt", prompt);
  for (const [name, value] of Object.entries(numbers)) {
    const usual = (DEFAULTS as Record<string, number | undefined>)[name];
    if (value !== null && value !== usual) found.set(name, String(value));
  }
  if (reveal === "manual") found.set("reveal", reveal);
  if (readonly) found.set("readonly", "");
  return found;
}

/** The element and the script that it needs, from the site at `site`. */
export function tagSnippet(site: URL, choices: Choices): string {
  const script = new URL("widget.js", site).href;
  const attributes = [...attributesOf(choices)]
    .map(([name, value]) => (value === "" ? name : `${name}="${escape(value)}"`))
    .join(" ");
  return (
    `<script type="module" src="${escape(script)}"></script>\n` +
    `<thimble-lm ${attributes}></thimble-lm>`
  );
}

/** The element of a task, whose file lies beside the page. */
export function taskSnippet(site: URL, file: string): string {
  const script = new URL("task-widget.js", site).href;
  return (
    `<script type="module" src="${escape(script)}"></script>\n` +
    `<thimble-task src="${escape(file)}"></thimble-task>`
  );
}

/** The address of the page in a frame. */
export function frameAddress(site: URL, choices: Choices): URL {
  const query = [...attributesOf(choices)]
    .filter(([name]) => name !== "model")
    .map(([name, value]) => `${name}=${encodeURIComponent(value || "true")}`)
    .join("&");
  // The slash at its end serves a folder of plain files as well as a server.
  const page = new URL(`embed/${encodeURIComponent(choices.model)}/`, site);
  page.search = query;
  return page;
}

/** A frame with the element, for pages that run no script of others. */
export function frameSnippet(site: URL, choices: Choices, title: string): string {
  const page = frameAddress(site, choices);
  return (
    `<iframe src="${escape(page.href)}"\n  title="${escape(title)}" width="640" height="420" ` +
    `style="border: 0; max-width: 100%" loading="lazy"></iframe>`
  );
}

function escape(text: string): string {
  const named: Record<string, string> = { "&": "&amp;", '"': "&quot;", "<": "&lt;", ">": "&gt;" };
  return text.replace(/[&"<>]/g, (sign) => named[sign] ?? sign);
}
