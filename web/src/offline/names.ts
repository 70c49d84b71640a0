/**
 * What is called how in the browser's storage: what page and service worker agree on.
 *
 * Two sites may share an origin (`/a/`, `/b/`), so whatever is of one site carries its address.
 */

/** The files of the page and its engine, of every version that a tab still shows. */
export function appCache(site: string): string {
  return `thimble-app ${site}`;
}

/** Files that are kept once they were asked for, like NumPy. */
export function extrasCache(site: string): string {
  return `thimble-extras ${site}`;
}

/** Models: of this site by their address, any other by its SHA-256. */
export const MODEL_CACHE = "thimble-models";

/** Page to service worker. A port comes with a question. */
export type ToServiceWorker =
  | { readonly type: "which build" }
  | { readonly type: "take over" }
  | { readonly type: "tidy" };

/** The answer to "which build" of the one that only takes everything away; see withdrawn-worker.ts. */
export const WITHDRAWN = "";

/** What the same one tells every open page before it goes: asked later, it would answer no more. */
export interface Withdrawal {
  readonly type: "withdrawn";
  readonly site: string;
}

/** The part of the service worker's file that differs from build to build; see precache.py. */
export interface Precache {
  readonly build: string;
  readonly entries: readonly {
    readonly url: string;
    readonly revision: string | null;
    readonly integrity?: string;
  }[];
  /** Kept when first asked for. */
  readonly extras: readonly string[];
}
