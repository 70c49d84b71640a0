/** The model that the visitor chose last, for the next visit. */

const KEY = "thimble.model";

/** Its name; null where nobody chose one, or storage is blocked. */
export function lastModel(): string | null {
  try {
    return localStorage.getItem(KEY);
  } catch {
    return null;
  }
}

/** Remember a model by its name, or none. */
export function rememberModel(name: string | null): void {
  try {
    if (name === null) localStorage.removeItem(KEY);
    else localStorage.setItem(KEY, name);
  } catch {
    // Then the next visit begins with the site's own.
  }
}
