/**
 * What is called how in the browser's storage: what page and service worker agree on.
 *
 * Two sites may share an origin (`/a/`, `/b/`), so whatever is of one site carries its address.
 */

/** The files of the page and its engine, of every version that a tab still shows. */
export function appCache(site: string): string {
  return `thimble-app ${site}`;
}

/** Files that are saved once they were asked for, like NumPy. */
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

/** A file of a version, or a page of it, whose address ends with a slash. */
export interface PrecacheEntry {
  readonly url: string;
  /** Null where the name says what is in it. */
  readonly revision: string | null;
  /** SHA-256 of its bytes, as Subresource Integrity writes it. */
  readonly integrity: string;
}

/** What answers are about, as far as their headers are others. */
export type AnswerKind = "page" | "fetching" | "frame" | "file";

/** The part of the service worker's file that differs from build to build; see precache.py. */
export interface Precache {
  readonly build: string;
  readonly entries: readonly PrecacheEntry[];
  /** Saved when first asked for. */
  readonly extras: readonly Omit<PrecacheEntry, "revision">[];
  /** The security headers of each kind of answer. */
  readonly headers: Readonly<Record<AnswerKind, Readonly<Record<string, string>>>>;
  /** Media types by what a file's name ends with. */
  readonly types: Readonly<Record<string, string>>;
}
