/** wllama from nothing to its first token, with the cache that it keeps of its own accord. */

import type { Start } from "./start";
import { PROMPT, now, wanted } from "./start";
import { GREEDY, create } from "./wllama";

async function start(): Promise<Start> {
  const stages: Record<string, number> = { script: now() };
  const wllama = create();
  const url = new URL(wanted().url, location.href).href;
  await wllama.loadModelFromUrl(url, { n_ctx: 1024, n_threads: 1, n_gpu_layers: 0, n_parallel: 1 });
  stages["loaded"] = now();
  let first = 0;
  const options = { prompt: PROMPT, max_tokens: 8, ...GREEDY };
  await wllama.createCompletion({ ...options, stream: true, onData: () => (first ||= now()) });
  return { firstToken: first, stages };
}

window.started = start();
