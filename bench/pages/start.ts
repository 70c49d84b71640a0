/** Time from the navigation to the first token, for a page that does nothing else. */

export interface Start {
  /** Milliseconds since the navigation. */
  readonly firstToken: number;
  /** When each stage on the way began, as far as the runner says. */
  readonly stages: Record<string, number>;
}

declare global {
  interface Window {
    started: Promise<Start>;
  }
}

export const PROMPT = "Once upon a time";

export interface Wanted {
  readonly model: string;
  readonly url: string;
}

/** What the address asks for. */
export function wanted(): Wanted {
  const asked = new URLSearchParams(location.search);
  return { model: asked.get("model") ?? "", url: asked.get("url") ?? "" };
}

export function now(): number {
  return performance.now(); // counted from the navigation
}
