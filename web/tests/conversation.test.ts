import assert from "node:assert/strict";
import test from "node:test";
import type { LiveSession } from "../src/live";
import type { FromRun, Message } from "../src/protocol";
import { Conversation, isTooLong } from "../src/talk/conversation";

/** A model whose context holds so many messages, and that answers with what it was sent; of more, the
 * oldest pairs are left out. */
function talker(most = Infinity): { conversation: Conversation; sent: { messages: Message[]; seed: unknown }[] } {
  const sent: { messages: Message[]; seed: unknown }[] = [];
  const session = {
    contextWindow: 100,
    destroy: () => undefined,
    write(messages: Message[], { seed }: { seed?: number }, hear: (news: FromRun) => void): ReadableStream<string> {
      sent.push({ messages, seed });
      const left_out = 2 * Math.ceil(Math.max(0, messages.length - most) / 2);
      return new ReadableStream({
        start(to): void {
          if (left_out >= messages.length) return to.error(Object.assign(new Error("too long"), { name: "ContextError" }));
          hear({ type: "begun", prompt: 10, reused: 4, left_out });
          const batch = { count: 2, context: 12, finish_reason: "stop", text: `answer ${sent.length}` } as const;
          hear({ type: "batch", batch });
          to.enqueue(batch.text);
          to.close();
        },
      });
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

test("where the context is full, the oldest turns stay and are not sent again", async () => {
  const { conversation, sent } = talker(3);
  for (const text of ["One?", "Two?", "Three?", "Four?"]) await conversation.send(text, {});
  assert.deepEqual(said(conversation), ["One?", "answer 1", "Two?", "answer 2", "Three?", "answer 3", "Four?", "answer 4"]);
  assert.equal(conversation.first, 4);
  assert.deepEqual(sent[2]?.messages.map(({ content }) => content)[0], "One?"); // left out by the engine
  assert.deepEqual(sent[3]?.messages.map(({ content }) => content)[0], "Two?");
  await conversation.resend(2, "Zwei?", {}); // an edit lets the model read from there on
  assert.equal(conversation.first, 2);
  assert.deepEqual(said(conversation), ["One?", "answer 1", "Zwei?", "answer 5"]);
  conversation.clear();
  assert.equal(conversation.first, 0);
});

test("a message that does not fit alone is refused and stays", async () => {
  const { conversation } = talker(0);
  const failure: unknown = await conversation.send("One?", {}).catch((error: unknown) => error);
  assert.ok(isTooLong(failure));
  assert.deepEqual(said(conversation), ["One?"]);
  assert.equal(conversation.busy, false);
});
