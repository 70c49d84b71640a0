/**
 * The page inside an iframe: it gives the element what the address says, and lets the page around
 * it, and no other, ask and hear (docs/embedding.md).
 */

import type { ThimbleLm } from "./widget";
import { VERSION, read } from "./widget/messages";
import type { FromFrame, Ignored, ToFrame } from "./widget/messages";

/** The address's parameters that are attributes of the element. */
const ATTRIBUTES = [
  "prompt", "max-tokens", "temperature", "top-p", "seed", "loading", "reveal", "readonly",
];

/** The address's parameters; those in the fragment, which no server sees, come first. */
function parameters(): ReadonlyMap<string, string> {
  const query = new URLSearchParams(location.search);
  const fragment = new URLSearchParams(location.hash.slice(1));
  return new Map([...query, ...fragment]);
}

function apply(given: ReadonlyMap<string, string>, element: Element): void {
  for (const name of ATTRIBUTES) {
    const value = given.get(name);
    if (value === undefined || (name === "readonly" && value === "false")) continue;
    element.setAttribute(name, value);
  }
  const theme = given.get("theme");
  if (theme === "light" || theme === "dark") document.documentElement.dataset["theme"] = theme;
}

/** The origin of the page around this one, where it can be known before that page speaks. */
function originAround(given: ReadonlyMap<string, string>): string | null {
  const named = given.get("origin");
  if (named === "null") return named;
  if (named !== undefined && !URL.canParse(named)) {
    throw new RangeError(`origin=${named} is not an origin: write one like https://example.org`);
  }
  if (named !== undefined) return new URL(named).origin;
  const [nearest] = (location as { ancestorOrigins?: Iterable<string> }).ancestorOrigins ?? [];
  if (nearest !== undefined) return /^https?:/.test(nearest) ? nearest : "null"; // a file's is none
  return document.referrer ? new URL(document.referrer).origin : null;
}

/** The page around this one. */
class HostPage {
  readonly #element: ThimbleLm;
  readonly #ignored: Ignored = { origin: 0, malformed: 0 };
  /** Null until that page has said something that can be understood. */
  #origin: string | null;

  constructor(element: ThimbleLm, origin: string | null) {
    this.#element = element;
    this.#origin = origin;
    addEventListener("message", (event) => this.#hear(event));
    for (const type of ["load", "progress", "token", "finish", "error"] as const) {
      element.addEventListener(type, (event) =>
        this.#say({ type, ...(event as CustomEvent<object>).detail } as FromFrame),
      );
    }
    new ResizeObserver(() =>
      this.#say({ type: "resize", height: Math.ceil(element.getBoundingClientRect().height) }),
    ).observe(element);
    // Nothing of anybody's is in this one, so it may go to a page that is not known yet.
    this.#post({ type: "ready", model: element.model ?? "" }, origin ?? "*");
  }

  #hear(event: MessageEvent<unknown>): void {
    const stranger = this.#origin !== null && event.origin !== this.#origin;
    if (event.source !== window.parent || stranger) {
      this.#ignored.origin += 1;
      return;
    }
    const message = read(event.data);
    if (!message) {
      this.#ignored.malformed += 1;
      return;
    }
    this.#origin = event.origin;
    this.#do(message);
  }

  #do(message: ToFrame): void {
    const element = this.#element;
    switch (message.type) {
      case "prompt": {
        const { max_tokens, temperature, top_p, seed } = message.options ?? {};
        if (max_tokens !== undefined) element.maxTokens = max_tokens;
        if (temperature !== undefined) element.temperature = temperature;
        if (top_p !== undefined) element.topP = top_p;
        if (seed !== undefined) element.seed = seed;
        element.prompt(message.text).catch(() => undefined); // told by its event
        break;
      }
      case "stop":
        void element.stop();
        break;
      case "clear":
        void element.clear();
        break;
      case "status":
        this.#say({ type: "status", state: element.state, ignored: { ...this.#ignored } });
    }
  }

  #say(message: FromFrame): void {
    if (this.#origin !== null) this.#post(message, this.#origin);
  }

  #post(message: FromFrame, origin: string): void {
    // A page without an origin, like a file or a sandbox, cannot be named.
    const target = origin === "null" ? "*" : origin;
    window.parent.postMessage({ thimble: VERSION, ...message }, target);
  }
}

const element = document.querySelector("thimble-lm");
const notice = document.querySelector<HTMLElement>(".notice");
if (!element || !notice) throw new Error("the page has no thimble-lm or no place for a notice");
const given = parameters();
apply(given, element); // before it comes to life
try {
  // The very module that other pages use.
  await import(new URL("../widget.js", import.meta.url).href);
  if (window.parent !== window) new HostPage(element, originAround(given));
} catch (error) {
  if (error instanceof RangeError) notice.textContent = error.message;
  notice.hidden = false;
  throw error;
}
