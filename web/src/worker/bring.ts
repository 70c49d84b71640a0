/** What only a worker finds out about a model that is not here yet. */

import type { OwnMethods } from "./services";


const PAGE = 65_536;

/** Whether a memory of this size can be had. It is given back at once; nothing is written to it. */
function hasMemory(bytes: number): boolean {
  try {
    new WebAssembly.Memory({ initial: Math.ceil(bytes / PAGE) });
    return true;
  } catch {
    return false;
  }
}

export const bringMethods: OwnMethods["bring"] = { hasMemory };
