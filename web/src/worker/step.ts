/** Answers to the Step panel. */

import type { StepEngine } from "../protocol/step";
import type { Python } from "./python";

export function stepAnswers(engine: () => Python): StepEngine {
  return {
    stepView: (session, known, options) => engine().call("step.view", session, known, options),
    stepGiven: (session) => engine().call("step.given", session),
    stepBegin: (session, prompt, options) => engine().call("step.begin", session, prompt, options),
    stepSettings: (session, known, options) =>
      engine().call("step.settings", session, known, options),
    stepStep: (session, known, options) => engine().call("step.step", session, known, options),
    stepBack: (session, known) => engine().call("step.back", session, known),
    stepStart: (session, known, options) => engine().call("step.start", session, known, options),
    stepRun: (session, known, milliseconds) =>
      engine().call("step.run", session, known, milliseconds),
    stepGo: (session, known, depth) => engine().call("step.go", session, known, depth),
    stepBranch: (session, known, index, token) =>
      engine().call("step.branch", session, known, index, token),
    stepSwitch: (session, known, branch) => engine().call("step.switch", session, known, branch),
    stepRename: (session, known, branch, name) =>
      engine().call("step.rename", session, known, branch, name),
    stepDrop: (session, known, branch) => engine().call("step.drop", session, known, branch),
    stepCompare: (session, one, other) => engine().call("step.compare", session, one, other),
    stepEdit: (session, known, token, logit) =>
      engine().call("step.edit", session, known, token, logit),
    stepBan: (session, known, token) => engine().call("step.ban", session, known, token),
    stepForce: (session, known, token) => engine().call("step.force", session, known, token),
    stepClear: (session, known, token) => engine().call("step.clear", session, known, token),
    stepLook: (session, index) => engine().call("step.look", session, index),
    stepStopAt: (session, known, kind, value) =>
      engine().call("step.stop_at", session, known, kind, value),
    stepSwitchStop: (session, known, stop, on) =>
      engine().call("step.switch_stop", session, known, stop, on),
    stepDropStop: (session, known, stop) => engine().call("step.drop_stop", session, known, stop),
    stepSave: (session) => engine().call("step.save", session),
    stepOpen: (session, content) => engine().call("step.open", session, content),
    stepReplay: (session, known, milliseconds) =>
      engine().call("step.replay", session, known, milliseconds),
  };
}
