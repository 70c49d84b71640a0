/**
 * What it costs to have a text's probabilities: the same generation as bare text, with each token's
 * probability, with its ten best alternatives, and with those shown as the page's token view.
 */

import { TokenView, tokenOf } from "../../web/src/ui/tokens";
import type { Chunk } from "../../web/src/thimble";
import { api } from "./thimble";
import { Stopwatch } from "./types";

type Way = "text" | "probabilities" | "alternatives" | "shaded";

interface Wanted {
  readonly model: string;
  readonly prompt: string;
  readonly tokens: number;
  readonly seed: number;
  /** The ids that end a text, which must not come. */
  readonly banned: readonly number[];
}

/** Milliseconds from the first token to the last, on the page; of the shaded one, as it stands. */
export async function shading(way: Way, wanted: Wanted): Promise<number> {
  const { Thimble } = await api();
  const session = await Thimble.create({ model: wanted.model });
  const bias = Object.fromEntries(wanted.banned.map((id) => [id, -1000]));
  const options = { max_tokens: wanted.tokens, seed: wanted.seed, temperature: 0.8, logit_bias: bias };
  const host = document.body.appendChild(document.createElement("div"));
  const view = way === "shaded" ? new TokenView(host, { label: "text" }) : null;
  const watch = new Stopwatch();
  try {
    if (way === "text") {
      const reader = session.promptStreaming(wanted.prompt, options).getReader();
      while (!(await reader.read()).done) watch.piece();
    } else {
      const top = way === "probabilities" ? 0 : 10;
      const details = { ...options, logprobs: true, top_logprobs: top } as const;
      const reader = session.promptStreaming(wanted.prompt, details).getReader();
      await show(reader, view, watch);
    }
    const before = await session.tokenize(wanted.prompt);
    if (session.contextUsage < wanted.tokens + before.length) {
      throw new Error(`${session.contextUsage} tokens came of ${wanted.tokens}`);
    }
    return watch.sample(0, wanted.tokens).decodeMs;
  } finally {
    view?.destroy();
    host.remove();
    session.destroy();
  }
}

/** Take the tokens as they come and show them a frame at a time, as the Write panel does. */
async function show(
  reader: ReadableStreamDefaultReader<Chunk>,
  view: TokenView | null,
  watch: Stopwatch,
): Promise<void> {
  let pending: Chunk[] = [];
  let frame = 0;
  const flush = (): void => {
    frame = 0;
    view?.append(pending.map(tokenOf));
    pending = [];
  };
  for (;;) {
    const { done, value } = await reader.read();
    if (done) break;
    watch.piece();
    pending.push(value);
    if (view) frame ||= requestAnimationFrame(flush);
  }
  cancelAnimationFrame(frame);
  flush();
  // What is not laid out is not shown.
  if (view && document.body.offsetHeight > 0) watch.piece();
}
