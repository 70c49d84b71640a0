/** Answers to the Lens panel. What is long leaves Python as bytes, and goes on as it is. */

import { transfer } from "comlink";
import type { LensEngine, LensGrid, LensMatrix } from "../protocol/lens";
import type { Python } from "./python";
import { Sink } from "./sink";

export function lensAnswers(engine: () => Python): LensEngine {
  return {
    lensBegin: (session, prompt, ids) => engine().call("lens.begin", session, prompt, ids),
    lensClose: (look) => engine().call("lens.close", look),
    lensWeigh: (look) => engine().call("lens.weigh", look),
    lensPatterns: (look, first, last) => {
      const sink = new Sink();
      engine().call("lens.patterns", look, first, last, sink);
      return sent(sink);
    },
    lensGrid: (look) => {
      const sink = new Sink();
      const told = engine().call<Omit<LensGrid, "records">>("lens.grid", look, sink);
      return transfer({ ...told, records: sink.bytes.buffer }, [sink.bytes.buffer]);
    },
    lensParts: (look, position, token, against) =>
      engine().call("lens.parts", look, position, token, against),
    lensNeurons: (look, layer) => {
      const sink = new Sink();
      engine().call("lens.neurons", look, layer, sink);
      return sent(sink);
    },
    lensWrites: (look, layer, neuron) => engine().call("lens.writes", look, layer, neuron),
    lensSimilar: (look, position) => engine().call("lens.similar", look, position),
    lensTensors: (look) => engine().call("lens.tensors", look),
    lensMatrix: (look, name) => {
      const sink = new Sink();
      const told = engine().call<Omit<LensMatrix, "numbers">>("lens.matrix", look, name, sink);
      return transfer({ ...told, numbers: sink.bytes.buffer }, [sink.bytes.buffer]);
    },
  };
}

function sent({ bytes: { buffer } }: Sink): ArrayBuffer {
  return transfer(buffer, [buffer]);
}
