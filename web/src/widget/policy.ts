/**
 * Whether the host page's Content-Security-Policy is why something failed. Browsers tell a script
 * no more than that a fetch or a compilation failed; the reason is in an event beside it.
 */

import { directives } from "../api/policy";

/** The smallest WebAssembly module there is. */
const NOTHING = new Uint8Array([0, 97, 115, 109, 1, 0, 0, 0]);

export class PolicyWatch {
  readonly #origin: string;
  readonly #violated = new Set<string>();
  readonly #hear = (event: SecurityPolicyViolationEvent): void => {
    const ours = [this.#origin, "blob", "data"].some((one) => event.blockedURI.startsWith(one));
    if (ours && event.disposition === "enforce") this.#violated.add(event.effectiveDirective);
  };

  /** Watch over what this page does with the site at `origin`. */
  constructor(origin: string) {
    this.#origin = origin;
    document.addEventListener("securitypolicyviolation", this.#hear);
  }

  close(): void {
    document.removeEventListener("securitypolicyviolation", this.#hear);
  }

  /** The error, with the directives that are missing where the policy is or may be its cause. */
  async explain(error: Error): Promise<Error> {
    await new Promise((resolve) => setTimeout(resolve)); // the event may come after the failure
    const { name, message } = error;
    if (message.includes("Content-Security-Policy")) return error;
    const forbidden = [...this.#violated];
    if (!mayCompile()) forbidden.push("script-src");
    const right = `it must allow "${directives(this.#origin)}"`;
    let words = "";
    if (forbidden.length > 0) {
      const which = [...new Set(forbidden)].join(", ");
      words = `this page's Content-Security-Policy (${which}) forbids what the model needs; ${right}`;
    } else if (name === "StartError" && this.#origin !== origin) {
      words = `${message} (where this page has a Content-Security-Policy, ${right})`;
    }
    return words ? Object.assign(new Error(words, { cause: error }), { name }) : error;
  }
}

/** Whether WebAssembly may be compiled; the worker is under the same policy. */
function mayCompile(): boolean {
  try {
    new WebAssembly.Module(NOTHING);
    return true;
  } catch {
    return false;
  }
}
