/** Answers about adapters. */

import type { AdapterEngine } from "../protocol/adapter";
import type { Python } from "./python";

export function adapterAnswers(engine: () => Python): AdapterEngine {
  return {
    adapterPut: async (session, name, file, strength) =>
      engine().call("adapter.put", session, name, file, strength),
    adapterTurn: async (session, strength) => engine().call("adapter.turn", session, strength),
    adapterRemove: async (session) => engine().call("adapter.remove", session),
    adapterDescribe: async (session) => engine().call("adapter.describe", session),
    adapterNext: async (session, prompt) => engine().call("adapter.next", session, prompt),
  };
}
