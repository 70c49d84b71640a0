/** Answers to the Read panel. */

import type { ReadEngine } from "../protocol/read";
import type { Python } from "./python";

export function readAnswers(engine: () => Python): ReadEngine {
  return {
    readBegin: (session, text, top) => engine().call("read.begin", session, text, top),
    readStep: (reading, milliseconds, start, end) =>
      engine().call("read.step", reading, milliseconds, start, end),
    readRows: (reading, start, end) => engine().call("read.rows", reading, start, end),
    readParts: (reading) => engine().call("read.parts", reading),
    readClose: (reading) => engine().call("read.close", reading),
  };
}
