/** A task's file, opened and asked: what `Thimble.task` gives. */

import type { RemoteEngine } from "../protocol";
import type { SpecialistInfo, TaskKind } from "../protocol/specialist";
import { abortable } from "./abort";
import type { Build } from "./build";
import { ThimbleError } from "./errors";

/** A task's file: its address, its bytes or what is parsed of it. */
export type TaskSource = string | URL | Blob | Readonly<Record<string, unknown>>;

export interface TaskDetails {
  readonly name: string;
  readonly kind: TaskKind;
  /** Of a task of kind "label"; empty otherwise. */
  readonly labels: readonly string[];
  /** Below it a label is not sure. */
  readonly threshold: number;
}

export interface TaskResult {
  /** The label, the JSON or the text; the likeliest label too where it is not sure. */
  readonly text: string;
  /** Whether the label reaches the threshold; whether what was written is whole. */
  readonly sure: boolean;
  /** Of every label, the likeliest first. */
  readonly probabilities: Readonly<Record<string, number>>;
  /** The JSON's value; undefined where the task is of another kind, or the JSON is not whole. */
  readonly fields: unknown;
  readonly milliseconds: number;
}

export interface AskOptions {
  /** From 0 to 1, instead of the task's own from now on. */
  threshold?: number;
  /** Abort to wait no longer. */
  signal?: AbortSignal;
}

/** Called with a text it answers. */
export interface Task {
  (text: string, options?: AskOptions): Promise<TaskResult>;
  /** What it is, once it is there. */
  readonly ready: Promise<TaskDetails>;
  /** Give back its memory; the model stays for the others. */
  destroy(): void;
}

/** What a task needs of a session. */
interface TaskSession {
  ask<Value>(question: (engine: RemoteEngine, session: number) => Promise<Value>): Promise<Value>;
  destroy(): void;
}

interface Opened {
  readonly session: TaskSession;
  readonly info: SpecialistInfo;
}

/** A file larger than this is none (`MOST_BYTES` of thimble/tasks/task.py). */
const MOST_BYTES = 256 * 2 ** 20;

/** A task that opens at once, and again when it is asked after the engine died. */
export function openedTask(
  read: () => Promise<Uint8Array>, create: (file: Uint8Array) => Promise<TaskSession>,
): Task {
  let opening: Promise<Opened> | null = null;
  let destroyed = false;

  const begin = async (): Promise<Opened> => {
    const file = await read();
    const session = await create(file);
    try {
      const info = await session.ask((engine, id) => engine.specialist.open(id, file));
      if (destroyed) throw gone();
      return { session, info };
    } catch (error) {
      session.destroy();
      throw error;
    }
  };
  const open = (): Promise<Opened> => {
    if (destroyed) return Promise.reject(gone());
    if (opening) return opening;
    const mine = (opening = begin());
    mine.catch(() => {
      if (opening === mine) opening = null; // the next call may find the network again
    });
    return mine;
  };

  const answer = async (text: string, { threshold, signal }: AskOptions): Promise<TaskResult> => {
    const mine = open();
    const { session, info } = await mine;
    if (destroyed) throw gone();
    signal?.throwIfAborted();
    try {
      const said = await session.ask((engine) => engine.specialist.answer(info.id, text, threshold ?? null));
      const { sure, milliseconds } = said;
      const fields = info.kind === "json" ? parsed(said.text) : undefined;
      return { text: said.text, sure, probabilities: Object.fromEntries(said.probabilities), fields, milliseconds };
    } catch (error) {
      if (error instanceof Error && error.name === "CrashError" && opening === mine) opening = null;
      throw error;
    }
  };
  open().catch(() => undefined); // told to whoever asks

  const task = (text: string, options: AskOptions = {}): Promise<TaskResult> => {
    if (options.signal?.aborted) return Promise.reject(options.signal.reason as Error);
    return abortable(answer(String(text), options), options.signal);
  };
  const destroy = (): void => {
    destroyed = true;
    opening?.then(({ session, info }) => {
      session.ask((engine) => engine.specialist.close(info.id)).catch(() => undefined);
      session.destroy();
    }, () => undefined);
  };
  return Object.defineProperties(Object.assign(task, { destroy }), {
    ready: { get: () => open().then(({ info: { name, kind, labels, threshold } }) => ({ name, kind, labels, threshold })) },
  }) as unknown as Task;
}

/** A task's file, wherever it is. Addresses are the page's, or whole ones. */
export async function readTask(source: TaskSource, signal?: AbortSignal): Promise<Uint8Array> {
  if (source instanceof Blob) return bytesOf(source);
  if (typeof source !== "string" && !(source instanceof URL)) {
    return new TextEncoder().encode(JSON.stringify(source));
  }
  const address = new URL(source, globalThis.document?.baseURI ?? location.href).href;
  let answer: Response;
  try {
    answer = await fetch(address, { signal: signal ?? null, credentials: "omit" });
  } catch (error) {
    signal?.throwIfAborted();
    throw new ThimbleError("LoadError", `the task at ${address} did not come (${String(error)})`, { cause: error });
  }
  if (!answer.ok) throw new ThimbleError("LoadError", `the task at ${address} did not come: status ${answer.status}`);
  return bytesOf(await answer.blob());
}

async function bytesOf(file: Blob): Promise<Uint8Array> {
  if (file.size > MOST_BYTES) {
    throw new ThimbleError("FormatError", `the file has ${file.size} bytes; a task has at most ${MOST_BYTES}`);
  }
  return new Uint8Array(await file.arrayBuffer());
}

/** What is read here of a file, before Python reads it. */
type Said = { name?: unknown; base?: { name?: unknown; sha256?: unknown } } | null | undefined;

/** The name of the site's model that a task's file is for. */
export function baseOf(file: Uint8Array, build: Build): string {
  const said = parsed(new TextDecoder().decode(file)) as Said;
  const sha256 = said?.base?.sha256;
  if (typeof sha256 !== "string") {
    throw new ThimbleError("FormatError", "this is no task file: it names no model by base.sha256");
  }
  const found = build.models.find((model) => model.sha256 === sha256);
  if (found) return found.name;
  const names = build.models.map((model) => model.name).join(", ");
  throw new ThimbleError(
    "OptionError",
    `the task ${JSON.stringify(said?.name)} is for the model ${JSON.stringify(said?.base?.name)} with SHA-256 ` +
      `${sha256.slice(0, 12)}…; this site has ${names}: give it as \`model\``,
  );
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch {
    return undefined;
  }
}

function gone(): DOMException {
  return new DOMException("the task was destroyed", "InvalidStateError");
}
