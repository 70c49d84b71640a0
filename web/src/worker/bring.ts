/** Answers about models that are not here yet. */

import type { BringEngine, Examined, ModelOutlook } from "../protocol/bring";
import type { Python } from "./python";

const PAGE = 65_536;

/** Whether a memory of this size can be had. It is given back at once; nothing is written to it. */
function hasRoom(bytes: number): boolean {
  try {
    new WebAssembly.Memory({ initial: Math.ceil(bytes / PAGE) });
    return true;
  } catch {
    return false;
  }
}

export function bringAnswers(engine: () => Python): BringEngine {
  return {
    bringExamine: (head, total): Examined => {
      const answer = engine().call<ModelOutlook | { more: number }>("bring.examine", new Uint8Array(head), total);
      return "more" in answer ? { outlook: null, more: answer.more } : { outlook: answer, more: 0 };
    },
    bringSpeed: ({ reads, quantized, floats }) => engine().call("bring.speed", reads, quantized, floats),
    bringRoom: hasRoom,
  };
}
