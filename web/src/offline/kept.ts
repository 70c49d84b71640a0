/**
 * What is kept on this machine, by kind: where a part of the page that keeps something says so, for
 * the panel that shows it all. It knows no kind; they are registered in kinds.ts, one each.
 */

export interface KeptThing {
  /** Unlike every other's of its kind. */
  readonly id: string;
  readonly title: string;
  readonly words: string;
  /** Null where nobody knows. */
  readonly bytes: number | null;
  /** Null where nobody wrote it down. */
  readonly used: Date | null;
  /** False for what could be kept and is not. */
  readonly here: boolean;
  /** Keep it from now on; rejects with the reason why not. */
  keep?(): Promise<void>;
  /** Remove it from this machine. */
  drop?(): Promise<void>;
}

export interface KeptKind {
  readonly id: string;
  readonly title: string;
  /** What there is now; rejects where the browser does not let us look. */
  list(): Promise<readonly KeptThing[]>;
}

const registered: KeptKind[] = [];

export function registerKept(kind: KeptKind): void {
  registered.push(kind);
}

export function keptKinds(): readonly KeptKind[] {
  return registered;
}

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
    const kept = localStorage.getItem(USED + id);
    return kept === null ? null : new Date(Number(kept));
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
