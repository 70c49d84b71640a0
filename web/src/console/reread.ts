/** What a visitor's code did to the session, shown in every panel. */

import type { LiveSession } from "../live";

/** Read the session's tokens again and show them as the page's text. */
export async function showTokens(live: LiveSession): Promise<void> {
  const { writing, model } = live;
  const { prompt: begun, settings } = live.draft();
  const request = writing?.request ?? { prompt: begun, settings, model };
  const before = writing?.tokens ?? [];
  const ids = JSON.stringify(before.map((token) => token.id));
  const { prompt, unchanged, tokens, context } = await live.ask((engine, session) =>
    engine.console.reread(session, request.prompt, ids),
  );
  const fresh = tokens.map(([text, id, logprob, entropy, top]) => ({
    text, id, logprob, entropy, finish_reason: null,
    top_logprobs: top.map(([id, text, logprob]) => ({ id, text, logprob })),
  }));
  const whole = [...before.slice(0, unchanged), ...fresh];
  live.replace({ request: { ...request, prompt }, tokens: whole, finishReason: null }, context);
}
