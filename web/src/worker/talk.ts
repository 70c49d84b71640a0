/** What the model has read of a conversation, written to this machine and read from it. */

import type { CacheKept, CacheRestored } from "../protocol/talk";
import { readPromptCache, removePromptCache, writePromptCache } from "../storage/prompt-caches";
import { CrashError, EngineError } from "./python";
import type { LentBuffer, Python } from "./python";
import { hasRenounced, withStorage } from "./renounce";
import type { OwnMethods } from "./services";

const wordsOf = (error: unknown): string => (error instanceof Error ? error.message : String(error));

async function keepCache(python: Python, session: number, id: string): Promise<CacheKept> {
  try {
    const bytes = python.call<number>("talk.cache_size", session);
    const fill = (put: (part: Uint8Array) => void): void => {
      const lent = (data: LentBuffer): void => {
        const part = data.getBuffer("u8");
        try {
          put(part.data);
        } finally {
          part.release();
        }
      };
      python.call("talk.save_cache", session, lent);
    };
    await withStorage(() => writePromptCache(id, bytes, fill));
    return { bytes, why: null };
  } catch (error) {
    if (error instanceof CrashError) throw error;
    return { bytes: 0, why: wordsOf(error) };
  }
}

async function restoreCache(python: Python, session: number, id: string): Promise<CacheRestored> {
  try {
    const file = await withStorage(() => readPromptCache(id));
    if (!file) return { tokens: 0, why: null };
    let at = 0;
    const take = (size: number): Uint8Array => file.subarray(at, (at += size));
    return { tokens: python.call<number>("talk.load_cache", session, take), why: null };
  } catch (error) {
    if (error instanceof CrashError) throw error;
    // What is of another model may be of use again.
    const isDamaged = !(error instanceof EngineError) || error.name === "FormatError";
    if (isDamaged && !hasRenounced()) await withStorage(() => removePromptCache(id));
    return { tokens: 0, why: wordsOf(error) };
  }
}

export function talkMethods(engine: () => Python): OwnMethods["talk"] {
  return {
    keepCache: (session, id) => keepCache(engine(), session, id),
    restoreCache: (session, id) => restoreCache(engine(), session, id),
  };
}
