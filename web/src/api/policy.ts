/** What a host page's Content-Security-Policy must allow. */

/** Pages in a sandbox, and files, have none; Chromium gives them no module worker out of a blob. */
export function hasOrigin(): boolean {
  return origin !== "null";
}

/** The directives that let this page, if it is of another origin, use the site at `site`. */
export function directives(site: string): string {
  const local = hasOrigin() ? "blob:" : "data:";
  return (
    `script-src ${site} 'wasm-unsafe-eval'; worker-src ${local} ${site}; connect-src ${site}`
  );
}

interface TrustedTypes {
  createPolicy(
    name: string,
    rules: { createScriptURL(url: string): string },
  ): { createScriptURL(url: string): unknown };
}

let policy: ReturnType<TrustedTypes["createPolicy"]> | null = null;

/** A page may demand that every script's address comes from a policy (Trusted Types). */
export function trustedScriptUrl(url: string): string {
  const { trustedTypes } = globalThis as { trustedTypes?: TrustedTypes };
  if (!trustedTypes) return url;
  policy ??= trustedTypes.createPolicy("thimble", { createScriptURL: (address) => address });
  return policy.createScriptURL(url) as string;
}
