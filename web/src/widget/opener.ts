/** How an element comes to its session: the API module is fetched when the first one asks. */

import type { CreateOptions, DownloadProgressEvent, Task, TaskSource, Thimble } from "../thimble";
import { importApi, site } from "./place";
import { PolicyWatch } from "./policy";

export interface Opening {
  readonly model: string | null;
  /** Aborted when the element is gone. */
  readonly signal: AbortSignal;
  progress(event: DownloadProgressEvent): void;
}

/** Milliseconds without an element after which the engine goes: pages change, and elements move. */
const LEFT_MS = 5_000;

/** Elements that have a session, or wait for one. */
let holders = 0;
let leaving: ReturnType<typeof setTimeout> | undefined;

function hold(): void {
  holders += 1;
  clearTimeout(leaving);
}

/** With the last element go the worker and the models in it, unless the page itself uses them. */
function release(): void {
  holders -= 1;
  if (holders > 0) return;
  leaving = setTimeout(() => void importApi().then(({ Thimble }) => Thimble.endIfUnused()), LEFT_MS);
}

/** A session of one's own on a model that all elements share; it goes when the signal is aborted. */
export function openSession(opening: Opening): Promise<Thimble> {
  return held(opening, (api, options) => api.create(options));
}

/** A task out of its file, in the same way. */
export function openTask(source: TaskSource, opening: Opening): Promise<Task> {
  return held(opening, async (api, options) => {
    const task = api.task(source, options);
    try {
      await task.ready;
      return task;
    } catch (error) {
      task.destroy();
      throw error;
    }
  });
}

type Make<Held> = (api: typeof Thimble, options: CreateOptions) => Promise<Held>;

async function held<Held extends { destroy(): void }>(opening: Opening, make: Make<Held>): Promise<Held> {
  const { signal } = opening;
  hold();
  try {
    const made = await open(opening, make);
    if (signal.aborted) made.destroy();
    signal.throwIfAborted();
    signal.addEventListener("abort", () => {
      made.destroy();
      release();
    }, { once: true });
    return made;
  } catch (error) {
    release();
    throw error;
  }
}

async function open<Held>({ model, signal, progress }: Opening, make: Make<Held>): Promise<Held> {
  const watch = new PolicyWatch(site().origin);
  try {
    const { Thimble } = await importApi();
    const options: CreateOptions = {
      signal,
      monitor: (monitor) =>
        monitor.addEventListener("downloadprogress", (event) =>
          progress(event as DownloadProgressEvent),
        ),
    };
    return await make(Thimble, model === null ? options : { ...options, model });
  } catch (error) {
    if (signal.aborted || !(error instanceof Error)) throw error;
    throw await watch.explain(error);
  } finally {
    watch.close();
  }
}
