/** What a model that is not here yet would be on this machine: whether it fits, how fast it may be. */

import type { LiveSession } from "../live";
import type { ModelEstimate, ModelSpeed } from "../protocol/bring";
import { count, megabytes, rate } from "../ui/format";

/** Most headers are shorter; the vocabulary makes them long. */
const FIRST_BYTES = 2 ** 20;

export interface ResourceEstimate {
  readonly model: ModelEstimate;
  readonly speed: ModelSpeed;
  /** Whether the browser gives as much memory now. */
  readonly hasMemory: boolean;
}

/**
 * Examine a file by its first bytes, which `read` gives, so many as are asked for. Rejects with the
 * engine's reason for what cannot run here.
 */
export async function examine(
  live: LiveSession,
  read: (bytes: number) => Promise<{ head: ArrayBuffer; total: number | null }>,
): Promise<ResourceEstimate> {
  for (let bytes = FIRST_BYTES; ; ) {
    const { head, total } = await read(bytes);
    const { estimate: model, more } = await live.ask((engine) => engine.bring.examine(head, total));
    if (model) {
      const speed = await live.ask((engine) => engine.bring.speed(model.reads, model.quantized, model.floats));
      return { model, speed, hasMemory: await live.ask((engine) => engine.bring.hasMemory(model.needed)) };
    }
    bytes = more;
  }
}

/** "1.2 GB", "35.1 MB". */
export function size(bytes: number): string {
  return bytes >= 1e9 ? `${megabytes(bytes / 1e3)} GB` : `${megabytes(bytes)} MB`;
}

/** What kind of model it is, in a line. */
export function kindOf({ model }: ResourceEstimate): string {
  const { architecture, parameters, types, window, chat } = model;
  const millions = parameters >= 1e6 ? `${rate(parameters / 1e6)} million` : count(parameters);
  const talks = chat ? ", with a chat template" : "";
  return `${architecture}, ${millions} parameters as ${types.slice(0, 2).join(" and ")}, context ${count(window)}${talks}`;
}

/** Why it will not run here; null where it should. */
export function whyNot({ model, hasMemory }: ResourceEstimate): string | null {
  const takes = `it takes ${size(model.needed)} of memory`;
  if (!model.fits) return `${takes}, and a page can give a model at most ${size(model.limit)}`;
  return hasMemory ? null : `${takes}, and the browser does not give this page that much now`;
}

/** What it takes, in words. */
export function memoryOf(estimate: ResourceEstimate): string {
  const { needed, neededFull } = estimate.model;
  const reason = whyNot(estimate);
  if (reason !== null) return `It does not fit: ${reason}`;
  const more = neededFull > 1.05 * needed ? `, ${size(neededFull)} with a full context` : "";
  return `It fits: ${size(needed)}${more}`;
}

/** How fast it may be, in words. */
export function speedOf({ speed }: ResourceEstimate): string {
  return (
    `At best ${rate(speed.speed)} tokens/s on one thread, limited by ${speed.by} ` +
    `(measured now: ${rate(speed.read / 1e9)} GB/s)`
  );
}
