/**
 * The browser's `LanguageModel` where it has none: the Prompt API on Thimble's models.
 *
 *     import "https://example.org/language-model.js";
 *     const session = await LanguageModel.create();
 *
 * With `?force` behind the address, or `install({ force: true })`, it takes the place of the browser's.
 */

import { LanguageModel } from "./prompt-api/model";
import { Thimble, ThimbleError } from "./thimble";

export { LanguageModel, Thimble, ThimbleError };
export type * from "./prompt-api/types";

/** Make it the page's `LanguageModel`; false where the browser's own stays. */
export function install({ force = false }: { force?: boolean } = {}): boolean {
  if ("LanguageModel" in globalThis && !force) return false;
  Object.defineProperty(globalThis, "LanguageModel", {
    value: LanguageModel, writable: true, configurable: true, enumerable: false,
  });
  return true;
}

// In a bundle a module has no address: there `install` says it.
const own: string | undefined = import.meta.url;
install({ force: own !== undefined && new URL(own).searchParams.has("force") });
