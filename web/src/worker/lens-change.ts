/** Answers about changes inside a model. */

import type { LensChangeEngine } from "../protocol/lens-change";
import type { Python } from "./python";

export function lensChangeAnswers(engine: () => Python): LensChangeEngine {
  return {
    lensChangePut: (session, changes, text) =>
      engine().call("lens_change.put", session, changes, text),
    lensChangeNext: (session, tokens) => engine().call("lens_change.next", session, tokens),
    lensChangeWrite: (session, tokens, options) =>
      engine().call("lens_change.write", session, tokens, options),
    lensChangeEffect: (session, text, most) =>
      engine().call("lens_change.effect", session, text, most),
    lensChangeRank: (session, text, most) => engine().call("lens_change.rank", session, text, most),
    lensChangeProbe: (session) => engine().call("lens_change.probe", session),
    lensChangePatch: (session, question) => engine().call("lens_change.patch", session, question),
    lensChangeTour: (session, step, question, text) =>
      engine().call("lens_change.tour", session, step, question, text),
    lensChangeWork: (job, milliseconds) => engine().call("lens_change.work", job, milliseconds),
    lensChangeEnd: (job) => engine().call("lens_change.end", job),
  };
}
