/** Thimble from nothing to its first token. */

import type { Start } from "./start";
import { PROMPT, now, wanted } from "./start";
import { api } from "./thimble";

async function start(): Promise<Start> {
  const stages: Record<string, number> = { script: now() };
  const { Thimble } = await api();
  stages["api"] = now();
  const session = await Thimble.create({
    model: wanted().model,
    temperature: 0,
    monitor: (target) =>
      target.addEventListener("downloadprogress", (event) => {
        const { stage } = event as unknown as { stage: string };
        stages[stage] ??= now();
      }),
  });
  stages["created"] = now();
  const reader = session.promptStreaming(PROMPT, { max_tokens: 8 }).getReader();
  await reader.read();
  return { firstToken: now(), stages };
}

window.started = start();
