/** Where the built site lies: beside the module, unless somebody has said where. */

import { ThimbleError } from "./errors";

// In a bundle of somebody else's a module has no place of its own; there the build of the npm
// package puts `undefined`.
const own: string | undefined = import.meta.url;
let chosen: string | null = null;
let asked = false;

/** The site that somebody has named, or null. */
export function chosenSite(): string | null {
  return chosen;
}

/** The site's address, with a slash at its end; from now on it stays. */
export function siteAddress(): string {
  if (chosen === null && own === undefined) {
    throw new ThimbleError(
      "OptionError",
      `nobody has said where the site is: Thimble.configure({ site: "https://example.org/thimble/" })`,
    );
  }
  asked = true;
  return chosen ?? new URL("./", own).href;
}

/** Take everything from the site at this address, with or without a slash at its end. */
export function chooseSite(address: string | URL): void {
  const there = resolved(address);
  if (!there.pathname.endsWith("/")) there.pathname += "/";
  if (asked && there.href !== (chosen ?? new URL("./", own).href)) {
    throw new ThimbleError(
      "OptionError",
      `the site is ${String(chosen ?? own)} already; configure comes before everything else`,
    );
  }
  chosen = there.href;
}

function resolved(address: string | URL): URL {
  let url: URL | null = null;
  try {
    url = new URL(address, typeof location === "object" ? location.href : undefined);
  } catch {
    // Said below.
  }
  if (!url?.pathname.startsWith("/") || url.search || url.hash) {
    throw new ThimbleError(
      "OptionError",
      `the site is "${String(address)}"; it must be an address like https://example.org/thimble/`,
    );
  }
  return url;
}
