/** How an element comes to its session: the API module is fetched when the first one asks. */

import type { CreateOptions, DownloadProgressEvent, Thimble } from "../thimble";
import { PolicyWatch } from "./policy";

type Api = typeof import("../thimble");

/** Where this module is of, which is where everything else comes from. */
export const SITE = new URL("./", import.meta.url);

/** One module for the whole page, whoever imports it: it holds the worker. */
const API = new URL("thimble.js", SITE).href;

export interface Opening {
  readonly model: string | null;
  /** Aborted when the element is gone. */
  readonly signal: AbortSignal;
  progress(event: DownloadProgressEvent): void;
}

/** A session of one's own on a model that all elements share. */
export async function openSession({ model, signal, progress }: Opening): Promise<Thimble> {
  const watch = new PolicyWatch(SITE.origin);
  try {
    const { Thimble } = await importApi();
    const options: CreateOptions = {
      signal,
      monitor: (monitor) =>
        monitor.addEventListener("downloadprogress", (event) =>
          progress(event as DownloadProgressEvent),
        ),
    };
    const session = await Thimble.create(model === null ? options : { ...options, model });
    if (!signal.aborted) return session;
    session.destroy();
    throw signal.reason;
  } catch (error) {
    if (signal.aborted || !(error instanceof Error)) throw error;
    throw await watch.explain(error);
  } finally {
    watch.close();
  }
}

async function importApi(): Promise<Api> {
  try {
    return (await import(API)) as Api;
  } catch (error) {
    const failed = new Error(`${API} did not come (${String(error)})`, { cause: error });
    failed.name = "LoadError";
    throw failed;
  }
}
