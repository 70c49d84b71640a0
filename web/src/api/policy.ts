/** What a host page's Content-Security-Policy must allow. */

/** The directives that let a page of another origin use the site at `origin`. */
export function directives(origin: string): string {
  return (
    `script-src ${origin} 'wasm-unsafe-eval'; worker-src blob: ${origin}; connect-src ${origin}`
  );
}
