/**
 * The engine's services, as the page asks for them: a method is a call of Python's by the same
 * name, unless `own` has more to do for it, such as a loop that lets messages in.
 */

import type { Services } from "../protocol";
import type { Argument, Python } from "./python";

/** The methods that are more than one call of Python, which the worker has files for. */
export interface OwnMethods {
  readonly bring: Pick<Services["bring"], "hasMemory">;
  readonly claims: Pick<Services["claims"], "probe" | "watch" | "seen" | "fetched" | "askFor" | "memory">;
  readonly console: Pick<Services["console"], "hello" | "run" | "complete" | "resetSampler">;
  readonly quantize: Pick<Services["quantize"], "run" | "stop">;
  readonly talk: Pick<Services["talk"], "keepCache" | "restoreCache">;
  readonly tasks: Pick<Services["tasks"], "begin" | "open">;
  readonly train: Pick<Services["train"], "measure" | "run">;
}

type Method = (...args: never[]) => unknown;

/** "switchStop" is "switch_stop" in Python. */
function snakeCase(name: string): string {
  return name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
}

/** Lists and objects cross as JSON; bytes, numbers and texts as they are. */
function argumentOf(value: unknown): Argument {
  if (value instanceof ArrayBuffer) return new Uint8Array(value);
  if (typeof value !== "object" || value === null || value instanceof Uint8Array) return value as Argument;
  return JSON.stringify(value);
}

/** Whatever is asked of the service: its own methods, and Python's. */
function serviceOf(name: string, own: Record<string, Method>, python: () => Promise<Python>): object {
  const forward = (method: string) => async (...args: unknown[]) =>
    (await python()).call(`${snakeCase(name)}.${snakeCase(method)}`, ...args.map(argumentOf));
  return new Proxy(own, { get: (_own, method: string) => own[method] ?? forward(method) });
}

/** `core` with every service of Python's, which may be asked before Python has started. */
export function withServices<Core extends object>(
  core: Core, own: OwnMethods, python: () => Promise<Python>,
): Core & Services {
  const get = (_core: Core, name: string): unknown =>
    Object.hasOwn(core, name)
      ? core[name as keyof Core]
      : serviceOf(name, { ...own[name as keyof OwnMethods] }, python);
  return new Proxy(core, { get }) as Core & Services;
}
