/** What a link carries, in the fragment, which no browser sends to a server. */

import { JSON_OPTIONS } from "../api/json-options";
import type { JsonOptions } from "../api/json-options";
import type { Constraint } from "../api/options";
import { OPTION_FORMS } from "../api/sampling-options";

/** Longer prompts would make links that programs cut off. */
const LONGEST = 8000;

export interface Shared {
  readonly prompt?: string;
  /** A name, or an address together with the digest of what lies there. */
  readonly model?: string;
  readonly sha256?: string;
  /** Settings by name, as the link spells them. */
  readonly settings: ReadonlyMap<string, string>;
  readonly constraint?: Constraint;
}

/** How a link names a model: the site's own by its name alone. */
export type ModelReference = Readonly<Record<"model", string> & Partial<Record<"sha256", string>>>;

/** Whether a link's model is an address and not a name. */
export function isAddress(model: string): boolean {
  return /^[a-z][a-z0-9+.-]*:\/\//i.test(model);
}

const NAMES = Object.keys(OPTION_FORMS);

const NOTATIONS = ["json_schema", "regex", "gbnf", "lark"] as const;

/** How a link wants JSON written; what is no value of an option is passed over. */
function jsonOptions(values: URLSearchParams): { options?: JsonOptions } {
  const found = Object.entries(JSON_OPTIONS).filter(([name, known]) => values.get(name) === known[1]);
  return found.length ? { options: Object.fromEntries(found.map(([name, known]) => [name, known[1]])) } : {};
}

/** Talk's settings in a fragment have this before their names; those without it are Write's. */
export const TALK = "talk_";

/** Settings by name; those of one form have `prefix` before their names. */
export function readSettings(values: URLSearchParams, prefix = ""): Map<string, string> {
  const found = NAMES.map((name) => [name, values.get(prefix + name)] as const);
  return new Map(found.filter((entry): entry is [string, string] => entry[1] !== null));
}

/** Read a fragment; null where it holds nothing of ours. */
export function readLink(fragment: string): Shared | null {
  const values = new URLSearchParams(fragment.replace(/^#/, ""));
  const prompt = values.get("prompt")?.slice(0, LONGEST);
  const model = values.get("model");
  const sha256 = values.get("sha256");
  const settings = readSettings(values);
  const [constraint] = NOTATIONS.flatMap((kind): Constraint[] => {
    const source = values.get(kind)?.slice(0, LONGEST);
    if (source === undefined) return [];
    return [{ kind, source, ...(kind === "json_schema" ? jsonOptions(values) : {}) }];
  });
  if (prompt === undefined && model === null && settings.size === 0 && !constraint) return null;
  return {
    ...(prompt === undefined ? {} : { prompt }),
    ...(model === null ? {} : { model }),
    ...(sha256 === null ? {} : { sha256 }),
    settings,
    ...(constraint ? { constraint } : {}),
  };
}

/** The address of this page with everything that makes the text again. */
export function writeLink(
  prompt: string,
  model: ModelReference,
  settings: Readonly<Record<string, number | undefined>>,
  constraint: Constraint | null,
  changes: readonly string[] = [],
): string {
  const values = new URLSearchParams({ prompt, ...model });
  for (const [name, value] of Object.entries(settings)) {
    if (value !== undefined) values.set(name, String(value));
  }
  if (constraint) values.set(constraint.kind, constraint.source);
  for (const [name, value] of Object.entries(constraint?.options ?? {}) as [string, string][]) values.set(name, value);
  for (const change of changes) values.append("change", change);
  const url = new URL(location.href);
  url.hash = values.toString();
  return url.href;
}
