/** Answers about models that are not here yet. */

import { transfer } from "comlink";
import type { BringEngine, Examined, JoinAnswer, Joined, ModelEstimate } from "../protocol/bring";
import type { Python } from "./python";
import { Sink } from "./sink";

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
      const answer = engine().call<ModelEstimate | { more: number }>("bring.examine", new Uint8Array(head), total);
      return "more" in answer ? { estimate: null, more: answer.more } : { estimate: answer, more: 0 };
    },
    bringJoin: (heads, parts): JoinAnswer => {
      const sink = new Sink();
      const told = engine().call<Pick<Joined, "starts"> | { part: number; more: number }>(
        "bring.join", new Uint8Array(heads), JSON.stringify(parts), sink,
      );
      if ("more" in told) return { joined: null, ...told };
      const { buffer } = sink.bytes;
      return transfer({ joined: { ...told, header: buffer }, part: 0, more: 0 }, [buffer]);
    },
    bringSpeed: ({ reads, quantized, floats }) => engine().call("bring.speed", reads, quantized, floats),
    bringRoom: hasRoom,
  };
}
