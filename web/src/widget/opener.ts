/** How an element comes to its session: the API module is fetched when the first one asks. */

import type { CreateOptions, DownloadProgressEvent, Thimble } from "../thimble";
import { importApi, site } from "./place";
import { PolicyWatch } from "./policy";

export interface Opening {
  readonly model: string | null;
  /** Aborted when the element is gone. */
  readonly signal: AbortSignal;
  progress(event: DownloadProgressEvent): void;
}

/** A session of one's own on a model that all elements share. */
export async function openSession({ model, signal, progress }: Opening): Promise<Thimble> {
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
