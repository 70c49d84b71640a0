/** What the Python panel asks for: packages that its code imports, the code, and what came of it. */

import type { ConsoleAnswer, Shown } from "../protocol/console";
import type { Python } from "./python";
import { renounceStorage } from "./renounce";
import type { OwnMethods } from "./services";

const WITHOUT_NETWORK =
  "It comes from this site's server when it is first imported, and is saved from then on";

type Show = (kind: Shown["kind"], text: string, words: string) => void;

/**
 * Load what the code imports and the site carries, and tell the files that came; what it does not
 * carry is left to Python to say.
 */
async function loadImports(python: Python, code: string, show: Show): Promise<string[]> {
  const brought: string[] = [];
  const offered = python.offered();
  const names = JSON.stringify([...offered.keys()]);
  for (const wanted of python.call<string[]>("console.imports", code, names)) {
    const name = offered.get(wanted)?.name;
    if (name === undefined) continue;
    show("status", `Loading ${name} …`, "");
    const failure = await python.loadPackage(name);
    show("status", "", "");
    if (failure === null) brought.push(offered.get(wanted)?.file ?? "");
    else show("note", `${name} could not be loaded: ${failure}. ${WITHOUT_NETWORK}`, "");
  }
  return brought;
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
    const brought = await loadImports(python, code, show);
    if (python.takeInterrupt()) return { status: "interrupted", brought };
    await renounceStorage();
    const answer = python.callInterruptibly<ConsoleAnswer>("console.run", session, code, show);
    return { ...answer, brought };
  } finally {
    port.postMessage(null);
  }
}

/** Keep in mind whether a sampler of the visitor's own is at work. */
function noting<Answer extends { readonly sampler?: string | null }>(python: Python, answer: Answer): Answer {
  if (answer.sampler !== undefined) python.runsVisitorsCode = answer.sampler !== null;
  return answer;
}

export function consoleMethods(engine: () => Python): OwnMethods["console"] {
  return {
    hello: (session) => noting(engine(), engine().call("console.hello", session)),
    run: async (session, code, port) =>
      noting(engine(), await run(engine(), session, code, port)),
    complete: async (session, before) => {
      await renounceStorage(); // it looks at attributes, which may be code
      return engine().callInterruptibly("console.complete", session, before);
    },
    resetSampler: (session) => {
      engine().call("console.reset_sampler", session);
      engine().runsVisitorsCode = false;
    },
  };
}
