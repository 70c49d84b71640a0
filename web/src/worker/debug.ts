/** Answers to the Step panel. */

import type { DebugEngine } from "../protocol/debug";
import type { Python } from "./python";

export function debugAnswers(engine: () => Python): DebugEngine {
  return {
    debugView: (session, known, options) => engine().call("debug.view", session, known, options),
    debugGiven: (session) => engine().call("debug.given", session),
    debugBegin: (session, prompt, options) => engine().call("debug.begin", session, prompt, options),
    debugSettings: (session, known, options) =>
      engine().call("debug.settings", session, known, options),
    debugStep: (session, known, options) => engine().call("debug.step", session, known, options),
    debugBack: (session, known) => engine().call("debug.back", session, known),
    debugStart: (session, known, options) => engine().call("debug.start", session, known, options),
    debugRun: (session, known, milliseconds) =>
      engine().call("debug.run", session, known, milliseconds),
    debugGo: (session, known, depth) => engine().call("debug.go", session, known, depth),
    debugBranch: (session, known, index, token) =>
      engine().call("debug.branch", session, known, index, token),
    debugSwitch: (session, known, branch) => engine().call("debug.switch", session, known, branch),
    debugRename: (session, known, branch, name) =>
      engine().call("debug.rename", session, known, branch, name),
    debugDrop: (session, known, branch) => engine().call("debug.drop", session, known, branch),
    debugCompare: (session, one, other) => engine().call("debug.compare", session, one, other),
    debugEdit: (session, known, token, logit) =>
      engine().call("debug.edit", session, known, token, logit),
    debugBan: (session, known, token) => engine().call("debug.ban", session, known, token),
    debugForce: (session, known, token) => engine().call("debug.force", session, known, token),
    debugClear: (session, known, token) => engine().call("debug.clear", session, known, token),
    debugLook: (session, index) => engine().call("debug.look", session, index),
    debugStopAt: (session, known, kind, value) =>
      engine().call("debug.stop_at", session, known, kind, value),
    debugSwitchStop: (session, known, stop, on) =>
      engine().call("debug.switch_stop", session, known, stop, on),
    debugDropStop: (session, known, stop) => engine().call("debug.drop_stop", session, known, stop),
    debugSave: (session) => engine().call("debug.save", session),
    debugOpen: (session, content) => engine().call("debug.open", session, content),
    debugReplay: (session, known, milliseconds) =>
      engine().call("debug.replay", session, known, milliseconds),
  };
}
