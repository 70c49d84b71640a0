import assert from "node:assert/strict";
import test from "node:test";
import type { LiveSession } from "../src/live";
import type { FromRun, Message } from "../src/protocol";
import type { Conversing } from "../src/protocol/talk";
import type { PromptOptions } from "../src/thimble";
import { Conversation, isTooLong } from "../src/talk/conversation";

interface Sent {
  messages: Message[];
  seed: unknown;
  how: Conversing | undefined;
}

/** A model whose context holds so many messages, and that answers with what it was sent; of more, the
 * oldest pairs are left out. */
function talker(most = Infinity): { conversation: Conversation; sent: Sent[] } {
  const sent: Sent[] = [];
  const session = {
    contextWindow: 100,
    destroy: () => undefined,
    write(messages: Message[], { seed, conversation: how, max_tokens }: PromptOptions, hear: (news: FromRun) => void): ReadableStream<string> {
      sent.push({ messages, seed, how });
      const left_out = 2 * Math.ceil(Math.max(0, messages.length - most) / 2);
      return new ReadableStream({
        start(to): void {
          if (left_out >= messages.length) return to.error(Object.assign(new Error("too long"), { name: "ContextError" }));
          const resumed = how?.resume ? { resumed: { text: "answer ", tokens: 1 } } : {};
          hear({ type: "begun", prompt: 10, reused: 4, left_out, ...resumed });
          const batch = { count: 2, context: 12, finish_reason: max_tokens ? "length" : "stop", text: `answer ${sent.length}` } as const;
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

test("another answer stands beside the last, by a seed of its own", async () => {
  const { conversation, sent } = talker();
  await conversation.send("One?", { seed: 2 ** 32 - 1 });
  await conversation.regenerate({ seed: 2 ** 32 - 1 });
  await conversation.regenerate({ seed: 2 ** 32 - 1 });
  assert.deepEqual(sent.map(({ seed }) => seed), [2 ** 32 - 1, 0, 1]);
  assert.deepEqual(said(conversation), ["One?", "answer 3"]);
  const last = conversation.turns[1];
  assert.ok(last);
  assert.deepEqual(conversation.tree.versions(last).map(({ text }) => text), ["answer 1", "answer 2", "answer 3"]);
});

test("an edited message stands beside the one before, with what came after each", async () => {
  const { conversation } = talker();
  await conversation.send("One?", {});
  await conversation.send("Two?", {});
  await conversation.resend(0, "Uno?", {});
  assert.deepEqual(said(conversation), ["Uno?", "answer 3"]);
  const [one] = conversation.tree.all;
  assert.ok(one);
  conversation.choose(one);
  assert.deepEqual(said(conversation), ["One?", "answer 1", "Two?", "answer 2"]);
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

test("an answer that is cut off goes on from its tokens, or from its text where they are gone", async () => {
  const { conversation, sent } = talker();
  await conversation.send("One?", { max_tokens: 2, seed: 7 });
  await conversation.continue({ max_tokens: 2 });
  assert.deepEqual(sent[1]?.how, { resume: true });
  assert.equal(sent[1]?.seed, 7);
  assert.deepEqual(said(conversation), ["One?", "answer answer 2"]);
  assert.equal(conversation.turns[1]?.tokens, 3);
  conversation.close();
  await conversation.continue({});
  assert.deepEqual(sent[2]?.how, { keep: 0, newest: 1, prefix: true });
  assert.deepEqual(sent[2]?.messages.at(-1), { role: "assistant", content: "answer answer 2" });
  assert.equal(conversation.canContinue, false);
});

test("a conversation that was cleared comes back until something is said", async () => {
  const { conversation } = talker();
  await conversation.send("One?", {});
  conversation.clear();
  conversation.restore();
  assert.deepEqual(said(conversation), ["One?", "answer 1"]);
  conversation.clear();
  await conversation.send("Two?", {});
  assert.equal(conversation.canRestore, false);
});
