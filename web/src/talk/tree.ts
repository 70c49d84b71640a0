/**
 * What was said, as a tree: another answer, and an edited message, stand beside what was there
 * before. One way from a root to a leaf is what is read, and what the model is asked with.
 */

import type { FinishReason } from "../protocol";
import type { Aside } from "./asides";

export interface Turn {
  /** Unlike every other's, in any tab. */
  readonly id: string;
  /** The turn that this one follows; null for a first one. */
  readonly parent: string | null;
  readonly role: "user" | "assistant";
  text: string;
  /** What an answer has beside its words. */
  asides?: Aside[];
  /** The model that wrote it. */
  readonly model?: string;
  tokens: number;
  /** Null while it is being written, or where it was stopped. */
  finish: FinishReason | null;
  /** What its tokens are drawn by. */
  seed?: number;
  /** Milliseconds from the question to the answer's first token. */
  wait?: number;
  /** Tokens a second from there on. */
  rate?: number;
}

/** A name that nothing else has; `randomUUID` is missing on plain http. */
export function newId(): string {
  return [...crypto.getRandomValues(new Uint8Array(12))].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}

export class Tree {
  /** In the order in which they were said. */
  readonly #turns = new Map<string, Turn>();
  #leaf: Turn | null = null;
  /** From the root to the leaf. */
  path: readonly Turn[] = [];

  constructor(turns: readonly Turn[] = [], leaf: string | null = null) {
    this.merge(turns);
    this.#read(this.#turns.get(leaf ?? "") ?? this.all.at(-1) ?? null);
  }

  get all(): Turn[] {
    return [...this.#turns.values()];
  }

  get leaf(): string | null {
    return this.#leaf?.id ?? null;
  }

  /** Say something after a turn, and read on from there. */
  add(parent: Turn | null, said: Omit<Turn, "id" | "parent">): Turn {
    const turn: Turn = { ...said, id: newId(), parent: parent?.id ?? null };
    this.#turns.set(turn.id, turn);
    this.#read(turn);
    return turn;
  }

  /** Take a turn that nothing follows back, and read what was read before. */
  remove(turn: Turn, before: string | null): void {
    this.#turns.delete(turn.id);
    this.#read(this.#turns.get(before ?? "") ?? null);
  }

  /** What stands at a turn's place, itself among them. */
  versions({ parent, role }: Turn): Turn[] {
    return this.all.filter((other) => other.parent === parent && other.role === role);
  }

  /** Read another version, and what was said last after it. */
  choose(turn: Turn): void {
    let leaf = turn;
    const all = this.all;
    for (let next: Turn | undefined = turn; next; next = all.findLast(({ parent }) => parent === leaf.id)) leaf = next;
    this.#read(leaf);
  }

  /** Read only as far as a turn. */
  cut(turn: Turn | null): void {
    this.#read(turn);
  }

  /**
   * Take over what was said elsewhere. Of a turn that has grown there the longer text counts; where
   * both have grown, each its own way, both stay. Whether there was anything new.
   */
  merge(others: readonly Turn[]): boolean {
    let isNew = false;
    for (const other of others) {
      if (other.parent !== null && !this.#turns.has(other.parent)) continue; // nothing leads there
      const known = this.#turns.get(other.id);
      if (known?.text.startsWith(other.text)) continue;
      if (known && other.text.startsWith(known.text)) {
        const { id: _id, parent: _parent, role: _role, ...grown } = other;
        Object.assign(known, grown);
      } else {
        const id = known ? `${other.id.slice(0, 40)}.${fingerprint(other.text)}` : other.id;
        if (this.#turns.has(id)) continue;
        this.#turns.set(id, { ...other, id });
      }
      isNew = true;
    }
    return isNew;
  }

  #read(leaf: Turn | null): void {
    const path: Turn[] = [];
    for (let turn = leaf; turn; turn = this.#turns.get(turn.parent ?? "") ?? null) path.push(turn);
    this.#leaf = leaf;
    this.path = path.reverse();
  }
}

/** A text as a short name of its own (FNV-1a): the same in every tab. */
function fingerprint(text: string): string {
  let hash = 0x811c9dc5;
  for (let at = 0; at < text.length; at += 1) hash = Math.imul(hash ^ text.charCodeAt(at), 0x01000193);
  return (hash >>> 0).toString(16);
}
