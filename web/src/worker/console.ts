/** What the Python panel asks for: packages that its code imports, the code, and what came of it. */

import type { ConsoleAnswer, ConsoleEngine, Shown } from "../protocol/console";
import type { Python } from "./python";

type Show = (kind: Shown["kind"], text: string, words: string) => void;

/** Load what the code imports and the site carries; what it does not is left to Python to say. */
async function loadImports(python: Python, code: string, show: Show): Promise<void> {
  const offered = python.offered();
  const names = JSON.stringify([...offered.keys()]);
  for (const wanted of python.call<string[]>("console.imports", code, names)) {
    const name = offered.get(wanted);
    if (name === undefined) continue;
    show("status", `Loading ${name} …`, "");
    const failure = await python.loadPackage(name);
    show("status", "", "");
    if (failure !== null) show("note", `${name} did not come: ${failure}`, "");
  }
}

/** Run code, telling on `port` what it shows while it runs. */
async function run(
  python: Python,
  session: number,
  code: string,
  port: MessagePort,
): Promise<ConsoleAnswer> {
  const show: Show = (kind, text, words) =>
    port.postMessage({ kind, text, words } satisfies Shown);
  python.takeInterrupt();
  try {
    await loadImports(python, code, show);
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
