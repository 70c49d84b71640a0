/** Specialists: what is more than a call of Python, since it needs a model's whole file. */

import type { Python } from "./python";
import type { OwnMethods } from "./services";
import { bytesOf } from "./train";

export function taskMethods(
  engine: () => Promise<Python>,
  startThreads: (engine: Python) => Promise<void>,
): OwnMethods["tasks"] {
  return {
    begin: async (base, order, saved) => {
      const python = await engine();
      await startThreads(python);
      return python.call("tasks.begin", await bytesOf(base), JSON.stringify(order), saved);
    },
    open: async (base, file) => (await engine()).call("tasks.open", await bytesOf(base), file),
  };
}
