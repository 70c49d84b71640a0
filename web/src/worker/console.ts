/** What the Python panel asks for: packages that its code imports, the code, and what came of it. */

import type { ConsoleAnswer, ConsoleEngine, Shown } from "../protocol/console";
import type { Python } from "./python";

/** Run code, telling on `port` what it shows while it runs. */
async function run(
  python: Python,
  session: number,
  code: string,
  port: MessagePort,
): Promise<ConsoleAnswer> {
  const show = (kind: Shown["kind"], text: string, words: string): void =>
    port.postMessage({ kind, text, words } satisfies Shown);
  python.takeInterrupt();
  try {
    const wanted = python.call<string[]>("console.imports", code);
    await python.loadPackages(wanted, (words) => show("status", words, ""));
    if (python.takeInterrupt()) return { status: "interrupted" };
    return python.callInterruptibly<ConsoleAnswer>("console.run", session, code, show);
  } finally {
    port.postMessage(null);
  }
}

/** Keep in mind whether a sampler of the visitor's own is at work. */
function noting<Answer extends { readonly sampler?: string | null }>(python: Python, answer: Answer): Answer {
  if (answer.sampler !== undefined) python.runsVisitorsCode = answer.sampler !== null;
  return answer;
}

export function consoleAnswers(engine: () => Python): ConsoleEngine {
  return {
    consoleHello: (session) => noting(engine(), engine().call("console.hello", session)),
    consoleRun: async (session, code, port) =>
      noting(engine(), await run(engine(), session, code, port)),
    consoleComplete: (session, before) =>
      engine().callInterruptibly("console.complete", session, before),
    consoleResetSampler: (session) => {
      engine().call("console.reset_sampler", session);
      engine().runsVisitorsCode = false;
    },
    consoleReread: (session, prompt, known) => engine().call("console.reread", session, prompt, known),
    consolePutBack: (session, prompt, known) =>
      engine().call("console.put_back", session, prompt, known),
  };
}
