/** Whether this browser has had the engine before, which only makes its progress bar finer. */

const KEY = "thimble.engine";

/** Storage may be forbidden; then every visit is a first one. */
export function hadBefore(engine: string): boolean {
  try {
    return localStorage.getItem(KEY) === engine;
  } catch {
    return false;
  }
}

export function remember(engine: string): void {
  try {
    localStorage.setItem(KEY, engine);
  } catch {
    // Nothing is lost by it.
  }
}
