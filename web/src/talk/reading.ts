/**
 * Sees to it that what a model has read of a conversation is not read again: it lets the worker keep
 * that a quiet moment after each answer, and take it up when the conversation goes on, after a
 * reload too. It knows no element of the page.
 */

import type { Thimble as Session } from "../thimble";

/** After an answer; who writes on at once does not wait for it. */
const QUIET_MS = 600;

export class Reading {
  readonly #wanted: () => boolean;
  /** The conversation whose tokens the session holds. */
  #id: string | null = null;
  #session: Session | null = null;
  #unsaved = false;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #working: Promise<void> = Promise.resolve();

  /** `wanted` tells whether anything is to be kept. */
  constructor(wanted: () => boolean) {
    this.#wanted = wanted;
  }

  /** Let the session hold what was read of this conversation, if it holds another's; whether it did. */
  async enter(session: Session, id: string): Promise<boolean> {
    if (this.#session !== session || this.#id !== id) await this.flush();
    const isOther = this.#session !== session || this.#id !== id;
    if (isOther) this.#working = this.#restore(session, id);
    await this.#working;
    return isOther;
  }

  /** The session holds another answer of the conversation. */
  answered(): void {
    this.#unsaved = true;
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => void this.flush(), QUIET_MS);
  }

  /** An answer begins: what is kept follows it. */
  begins(): void {
    clearTimeout(this.#timer);
  }

  /** The session is gone, or what it holds is no conversation of ours. */
  leave(): void {
    clearTimeout(this.#timer);
    this.#id = this.#session = null;
    this.#unsaved = false;
  }

  /** Keep now what is not kept yet. */
  async flush(): Promise<void> {
    clearTimeout(this.#timer);
    await (this.#working = this.#working.then(() => this.#keep()));
  }

  async #restore(session: Session, id: string): Promise<void> {
    this.#session = session;
    this.#id = id;
    if (!this.#wanted()) return;
    try {
      const { tokens, why } = await session.ask((engine, number) => engine.talk.restoreCache(number, id));
      if (tokens) session.used(tokens);
      if (why) console.info(`thimble: the conversation is read again: ${why}`);
    } catch {
      // The worker is gone; whoever asks next is told.
    }
  }

  async #keep(): Promise<void> {
    const [session, id] = [this.#session, this.#id];
    if (!this.#unsaved || !session || id === null || !this.#wanted()) return;
    this.#unsaved = false;
    try {
      const { why } = await session.ask((engine, number) => engine.talk.keepCache(number, id));
      if (why) console.info(`thimble: what was read is not kept: ${why}`);
    } catch {
      // As above; the text is read again.
    }
  }
}
