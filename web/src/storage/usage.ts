/** When something that is saved on this machine was used last. */

const USED = "thimble.used.";

/** Write down that something is used now. */
export function markUsed(id: string): void {
  try {
    localStorage.setItem(USED + id, String(Date.now()));
  } catch {
    // Then nobody knows.
  }
}

export function usedAt(id: string): Date | null {
  try {
    const saved = localStorage.getItem(USED + id);
    return saved === null ? null : new Date(Number(saved));
  } catch {
    return null;
  }
}

export function forgetUse(id: string): void {
  try {
    localStorage.removeItem(USED + id);
  } catch {
    // Nothing was written there.
  }
}
