/** Answers to the Talk panel: a turn is written as any text is, a frame's tokens at a time. */

import type { Batch } from "../protocol";
import type { TalkNews, Message } from "../protocol/talk";
import { yieldToMessages } from "./generate";
import type { Python } from "./python";
import type { OwnMethods } from "./services";

const BATCH_MS = 12;

/** Sessions whose turn is to end. */
const stopping = new Set<number>();

async function say(
  python: Python,
  session: number,
  messages: readonly Message[],
  options: string,
  port: MessagePort,
): Promise<void> {
  const tell = (news: TalkNews): void => port.postMessage(news);
  stopping.delete(session);
  try {
    type Begun = { prompt: number; reused: number; left_out: number };
    tell({ type: "begun", ...python.call<Begun>("talk.start", session, JSON.stringify(messages), options) });
    let first = true;
    while (!stopping.has(session)) {
      const batch = python.call<Batch>("run", session, first ? 0 : BATCH_MS);
      if (batch.count > 0) {
        first = false;
        tell({ type: "batch", batch });
      }
      if (batch.finish_reason !== null) return;
      await yieldToMessages();
    }
    python.call("stop", session);
  } finally {
    stopping.delete(session);
    port.postMessage(null);
  }
}

export function talkMethods(engine: () => Python): OwnMethods["talk"] {
  return {
    say: async (session, messages, options, port) => say(engine(), session, messages, options, port),
    stop: (session) => void stopping.add(session),
  };
}
