import assert from "node:assert/strict";
import test from "node:test";
import type { LiveSession } from "../src/live";
import type { Message, TalkNews } from "../src/protocol/talk";
import { Conversation, isTooLong } from "../src/talk/conversation";

/** A model whose context holds so many messages, and that answers with what it was sent. */
function talker(most = Infinity): { conversation: Conversation; sent: { messages: Message[]; seed: unknown }[] } {
  const sent: { messages: Message[]; seed: unknown }[] = [];
  const say = (_session: number, messages: Message[], options: string): Promise<void> => {
    sent.push({ messages, seed: (JSON.parse(options) as { seed?: number }).seed });
    if (messages.length <= most) return Promise.resolve();
    return Promise.reject(Object.assign(new Error("too long"), { name: "ContextError" }));
  };
  const session = {
    contextWindow: 100,
    destroy: () => undefined,
    async listen(question: (engine: unknown, session: number, port: null) => Promise<void>, hear: (news: TalkNews) => void) {
      await question({ talk: { say } }, 1, null);
      hear({ type: "begun", prompt: 10, reused: 4 });
      const batch = { count: 2, context: 12, finish_reason: "stop", text: `answer ${sent.length}` } as const;
      hear({ type: "batch", batch });
    },
  };
  const live = Object.assign(new EventTarget(), {
    model: "tiny", createSession: () => Promise.resolve(session),
  }) as unknown as LiveSession;
  return { conversation: new Conversation(live), sent };
}

const said = (conversation: Conversation): string[] => conversation.turns.map(({ text }) => text);

test("every question carries the whole conversation, the system's word first", async () => {
  const { conversation, sent } = talker();
  conversation.system = " Be brief. ";
  await conversation.send("One?", {});
  await conversation.send("Two?", {});
  assert.deepEqual(sent[1]?.messages, [
    { role: "system", content: "Be brief." },
    { role: "user", content: "One?" },
    { role: "assistant", content: "answer 1" },
    { role: "user", content: "Two?" },
  ]);
  assert.deepEqual(said(conversation), ["One?", "answer 1", "Two?", "answer 2"]);
  const { context, window, reused, read } = conversation.counts ?? {};
  assert.deepEqual({ context, window, reused, read }, { context: 12, window: 100, reused: 4, read: 6 });
});

test("another answer takes the place of the last, by the next seed", async () => {
  const { conversation, sent } = talker();
  await conversation.send("One?", { seed: 2 ** 32 - 1 });
  await conversation.regenerate({ seed: 2 ** 32 - 1 });
  await conversation.regenerate({ seed: 2 ** 32 - 1 });
  assert.deepEqual(sent.map(({ seed }) => seed), [2 ** 32 - 1, 0, 1]);
  assert.deepEqual(said(conversation), ["One?", "answer 3"]);
});

test("an edited message removes what came after it", async () => {
  const { conversation } = talker();
  await conversation.send("One?", {});
  await conversation.send("Two?", {});
  await conversation.resend(0, "Uno?", {});
  assert.deepEqual(said(conversation), ["Uno?", "answer 3"]);
});

test("where the context is full, the oldest turns are removed until the rest fits", async () => {
  const { conversation } = talker(3);
  await conversation.send("One?", {});
  await conversation.send("Two?", {});
  await assert.rejects(conversation.send("Three?", {}), /too long/);
  assert.deepEqual(said(conversation), ["One?", "answer 1", "Two?", "answer 2", "Three?"]);
  await conversation.forgetAndAnswer({});
  assert.deepEqual(said(conversation), ["Two?", "answer 2", "Three?", "answer 4"]);
});

test("a message that does not fit alone is refused and stays", async () => {
  const { conversation } = talker(0);
  await assert.rejects(conversation.send("One?", {}), /too long/);
  const failure: unknown = await conversation.forgetAndAnswer({}).catch((error: unknown) => error);
  assert.ok(isTooLong(failure));
  assert.deepEqual(said(conversation), ["One?"]);
  assert.equal(conversation.busy, false);
});
