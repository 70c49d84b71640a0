/** What a link carries, in the fragment, which no browser sends to a server. */

/** Longer prompts would make links that programs cut off. */
const LONGEST = 8000;

export interface Shared {
  readonly prompt?: string;
  readonly model?: string;
  /** Settings by name, as the link spells them. */
  readonly settings: ReadonlyMap<string, string>;
}

const NAMES = [
  "temperature", "top_k", "top_p", "min_p", "repetition_penalty", "max_tokens", "seed",
];

/** Read a fragment; null where it holds nothing of ours. */
export function readLink(fragment: string): Shared | null {
  const values = new URLSearchParams(fragment.replace(/^#/, ""));
  const prompt = values.get("prompt")?.slice(0, LONGEST);
  const model = values.get("model");
  const settings = new Map<string, string>();
  for (const name of NAMES) {
    const value = values.get(name);
    if (value !== null) settings.set(name, value);
  }
  if (prompt === undefined && model === null && settings.size === 0) return null;
  return {
    ...(prompt === undefined ? {} : { prompt }),
    ...(model === null ? {} : { model }),
    settings,
  };
}

/** The address of this page with everything that makes the text again. */
export function writeLink(
  prompt: string,
  model: string,
  settings: Readonly<Record<string, number | undefined>>,
): string {
  const values = new URLSearchParams({ prompt, model });
  for (const [name, value] of Object.entries(settings)) {
    if (value !== undefined) values.set(name, String(value));
  }
  const url = new URL(location.href);
  url.hash = values.toString();
  return url.href;
}
