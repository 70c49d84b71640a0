/** The Python panel's runs: packages that the code imports first, then the code. */

import type { ConsoleAnswer, Shown } from "../protocol/console";
import type { Python } from "./python";

/** Run code, telling on `port` what it shows while it runs. */
export async function runConsole(
  python: Python,
  session: number,
  code: string,
  whole: boolean,
  port: MessagePort,
): Promise<ConsoleAnswer> {
  const show = (kind: Shown["kind"], text: string, words: string): void =>
    port.postMessage({ kind, text, words } satisfies Shown);
  python.forgetInterrupt();
  try {
    const wanted = python.call<string[]>("console.imports", code);
    await python.loadPackages(wanted, (words) => show("status", words, ""));
    return python.callInterruptibly<ConsoleAnswer>("console.run", session, code, whole, show);
  } finally {
    port.postMessage(null);
  }
}
