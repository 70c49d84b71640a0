/** Answers to the Ensemble panel. */

import type { EnsembleEngine } from "../protocol/ensemble";
import type { Python } from "./python";

export function ensembleAnswers(engine: () => Python): EnsembleEngine {
  return {
    ensembleMake: (sessions, method) => engine().call("ensemble.make", sessions, method),
    ensembleClose: (ensemble) => engine().call("ensemble.close", ensemble),
    ensembleCombine: (ensemble, method, weights) =>
      engine().call("ensemble.combine", ensemble, method, weights),
    ensembleView: (ensemble) => engine().call("ensemble.view", ensemble),
    ensembleLook: (ensemble, at) => engine().call("ensemble.look", ensemble, at),
    ensembleBegin: (ensemble, prompt, options) =>
      engine().call("ensemble.begin", ensemble, prompt, options),
    ensembleRun: (ensemble, milliseconds) => engine().call("ensemble.run", ensemble, milliseconds),
    ensembleStop: (ensemble) => engine().call("ensemble.stop", ensemble),
    ensembleMeasure: (ensemble, text, rival) =>
      engine().call("ensemble.measure", ensemble, text, rival),
    ensembleFit: (ensemble, text) => engine().call("ensemble.fit", ensemble, text),
    ensembleDraft: (ensemble, target, draft, prompt, options) =>
      engine().call("ensemble.draft", ensemble, target, draft, prompt, options),
    ensembleChoose: (ensemble, judge, prompt, options, texts) =>
      engine().call("ensemble.choose", ensemble, judge, prompt, options, texts),
    ensembleWork: (job, milliseconds) => engine().call("ensemble.work", job, milliseconds),
    ensembleEnd: (job) => engine().call("ensemble.end", job),
  };
}
