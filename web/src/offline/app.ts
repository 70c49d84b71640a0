/**
 * The page as something that stays on this machine: its service worker, and the arrival of new
 * versions, which wait until the visitor wants them.
 */

import type { LiveSession } from "../live";
import type { Build } from "../api/build";
import { forgetUse, markUsed } from "../storage/usage";
import { isSaved, saveModel } from "../storage/models";
import { WITHDRAWN, appCache, extrasCache } from "../storage/names";
import type { ToServiceWorker, Withdrawal } from "../storage/names";

/** Of the page's own files: whether they are all here. */
export type OfflineState =
  | "unsupported" // no service workers, or a page that may have none
  | "withdrawn" // by the site's owner
  | "off" // by the visitor
  | "waiting" // for the page to have nothing else to do
  | "fetching"
  | "ready"
  | "failed";

const SWITCH = "thimble.offline";
/** Milliseconds without work after which fetching the rest disturbs nobody. */
const QUIET_MS = 1_500;
const HOUR_MS = 3_600_000;
/** A service worker that runs answers in milliseconds. */
const PATIENCE_MS = 5_000;

/** What the page's own files are called where use is written down. */
export const APP = "app";

/** The folder that the page lies in; this module is in its assets/. */
export const SITE = new URL("../", import.meta.url).href;

function isOff(): boolean {
  try {
    return localStorage.getItem(SWITCH) === "off";
  } catch {
    return false;
  }
}

function setOff(off: boolean): void {
  try {
    if (off) localStorage.setItem(SWITCH, "off");
    else localStorage.removeItem(SWITCH);
  } catch {
    // Where nothing may be saved, nothing is.
  }
}

/** What this page may have of service workers; asking alone is an error where a site may keep nothing. */
function serviceWorkers(): ServiceWorkerContainer | undefined {
  try {
    return navigator.serviceWorker;
  } catch {
    return undefined;
  }
}

/** What Chromium's browsers tell; TypeScript's library does not have it. */
export interface InstallEvent extends Event {
  prompt(): Promise<{ outcome: "accepted" | "dismissed" }>;
}

let current: OfflineApp | null = null;

/** The page's one; null where the page has no build, or has not come so far. */
export function offlineApp(): OfflineApp | null {
  return current;
}

/** Tells "change" when `state` or `newVersion` is another. */
export class OfflineApp extends EventTarget {
  readonly build: Build;
  #registration: ServiceWorkerRegistration | null = null;
  #reloading = false;
  /** Names of files that are saved with the page once they were asked for. */
  readonly #asked = new Set<string>();
  state: OfflineState = "waiting";
  /** Why there is nothing to work offline with. */
  failure = "";
  /** Another version than this tab's is here, or has taken over. */
  newVersion = false;
  /** How the page becomes a program among the machine's others, where the browser offers it. */
  installation: InstallEvent | null = null;

  constructor(build: Build) {
    super();
    this.build = build;
    const container = serviceWorkers();
    if (!container) this.state = "unsupported";
    else if (!build.offline) this.state = "withdrawn";
    else if (isOff()) this.state = "off";
    current = this;
    addEventListener("beforeinstallprompt", (event) => {
      event.preventDefault(); // the panel has a button for it
      this.installation = event as InstallEvent;
      this.#become(this.state);
    });
    container?.addEventListener("message", ({ data }: MessageEvent<Withdrawal>) => {
      if (data.type === "withdrawn" && data.site === SITE) this.#withdraw();
    });
    container?.addEventListener("controllerchange", () => {
      if (this.#reloading) location.reload();
      else void this.#look();
    });
  }

  /** Keep the page on this machine, once the visitor waits for nothing. */
  async start(live: LiveSession): Promise<void> {
    if (this.state === "withdrawn") return remove();
    markUsed(APP);
    live.addEventListener("state", () => this.#note(live));
    this.#note(live);
    if (this.state !== "waiting") return;
    const before = navigator.serviceWorker.getRegistration(SITE).catch(() => undefined);
    this.#registration = (await before) ?? null;
    await this.#look();
    await quiet(live);
    await this.keep();
    await this.#keepDefault().catch(() => undefined); // the panel shows that it is not here
  }

  /** Where a model of the site lies, or one of the visitor's own. */
  #note(live: LiveSession): void {
    if (live.state !== "ready") return;
    const file = live.files.get(live.model);
    const from = file instanceof Blob ? null : (file?.from ?? this.build.model(live.model)?.url);
    if (from) markUsed(from);
  }

  /** The page opens with this model, also for who came by a link to another one. */
  async #keepDefault(): Promise<void> {
    const model = this.build.model();
    if (!model || (await isSaved(model.url))) return;
    const response = await fetch(model.url);
    const { name, bytes, sha256 } = model;
    if (response.body) await saveModel(model.url, response.body, { name, bytes, sha256, source: null });
  }

  /** Fetch what is missing now, or look for a new version. */
  async keep(): Promise<void> {
    setOff(false);
    if (this.state !== "ready") this.#become("fetching");
    try {
      const options = { updateViaCache: "none" } as const;
      const script = new URL("service-worker.js", SITE);
      this.#registration = await navigator.serviceWorker.register(script, options);
      this.#watch(this.#registration);
      const { installing, waiting, active } = this.#registration;
      const newest = installing ?? waiting ?? active;
      if (newest && (await buildOf(newest)) === WITHDRAWN) return this.#withdraw();
      await this.#look();
      this.#registration.active?.postMessage({ type: "tidy" } satisfies ToServiceWorker);
    } catch (error) {
      this.failure = error instanceof Error ? error.message : String(error);
      this.#become("failed");
    }
  }

  /**
   * Keep files that are of use without a network from now on, like NumPy's, as soon as the page
   * itself is saved. They come out of the browser's own cache: the service worker has seen no request
   * that was made before it was there.
   */
  async keepExtras(files: readonly string[]): Promise<void> {
    for (const file of files) this.#asked.add(file);
    if (this.state !== "ready" || this.#asked.size === 0) return;
    const cache = await caches.open(extrasCache(SITE));
    for (const { url } of this.build.extras) {
      const isAsked = this.#asked.has(url.slice(url.lastIndexOf("/") + 1));
      if (isAsked && !(await cache.match(url))) await cache.add(url).catch(() => undefined); // no room, say
    }
  }

  /** Forget the page's files, and do not fetch them again until the visitor says so. */
  async drop(): Promise<void> {
    setOff(true);
    await remove();
    forgetUse(APP);
    this.#registration = null;
    this.#become("off");
  }

  /** Show the new version instead of this one. */
  reload(): void {
    this.#reloading = true;
    const waiting = this.#registration?.waiting;
    if (waiting) waiting.postMessage({ type: "take over" } satisfies ToServiceWorker);
    else location.reload(); // another tab has let it take over
  }

  #watch(registration: ServiceWorkerRegistration): void {
    const follow = (worker: ServiceWorker | null): void => {
      worker?.addEventListener("statechange", () => {
        if (this.state === "withdrawn") return;
        if (worker.state === "redundant" && !registration.active) {
          this.failure = "some of the page's files did not arrive";
          this.#become("failed");
        } else void this.#look();
      });
    };
    follow(registration.installing);
    registration.addEventListener("updatefound", () => follow(registration.installing));
    let looked = Date.now();
    document.addEventListener("visibilitychange", () => {
      if (document.hidden || Date.now() - looked < HOUR_MS) return;
      looked = Date.now();
      registration.update().catch(() => undefined); // offline, say
    });
  }

  async #look(): Promise<void> {
    const { active, waiting } = this.#registration ?? {};
    if (!active) return;
    const running = await buildOf(active);
    if (running === WITHDRAWN) return this.#withdraw();
    if (this.state === "withdrawn") return; // it has told so, and is gone
    this.newVersion = Boolean(waiting) || (running !== null && running !== this.build.hash);
    this.#become(active.state === "activated" ? "ready" : "fetching");
    await this.keepExtras([]).catch(() => undefined); // the panel shows what is not here
  }

  /** The site's owner has taken it back; what was saved is gone, or about to go. */
  #withdraw(): void {
    this.newVersion = false;
    this.#become("withdrawn");
  }

  #become(state: OfflineState): void {
    this.state = state;
    this.dispatchEvent(new Event("change"));
  }
}

/** Resolves when the engine has been ready, or has failed, and then nobody did anything. */
async function quiet(live: LiveSession): Promise<void> {
  const isBusy = (): boolean => live.state === "loading" || live.state === "writing";
  do {
    while (isBusy()) {
      await new Promise((resolve) => live.addEventListener("state", resolve, { once: true }));
    }
    await new Promise((resolve) => setTimeout(resolve, QUIET_MS));
  } while (isBusy());
}

/** Which build a service worker is of, or null where it does not say. */
function buildOf(worker: ServiceWorker): Promise<string | null> {
  return new Promise((resolve) => {
    const { port1, port2 } = new MessageChannel();
    port1.onmessage = ({ data }: MessageEvent<string>) => resolve(data);
    setTimeout(() => resolve(null), PATIENCE_MS);
    worker.postMessage({ type: "which build" } satisfies ToServiceWorker, [port2]);
  });
}

async function remove(): Promise<void> {
  // Two sites may lie one in the other; only this one's is taken away.
  const registration = await navigator.serviceWorker.getRegistration(SITE);
  if (registration?.scope === SITE) await registration.unregister();
  await caches.delete(appCache(SITE));
  await caches.delete(extrasCache(SITE));
}

/**
 * Whether page and build are of one version. A page that came just before a new version did is
 * loaded again, once: a browser or proxy that holds on to an old page must not make a circle of it.
 */
export function isOneVersion(hash: string): boolean {
  const shown = document.querySelector<HTMLMetaElement>('meta[name="thimble-build"]')?.content;
  if (shown === undefined || shown === hash) return true;
  const key = "thimble.reloaded";
  try {
    if (sessionStorage.getItem(key) === hash) return true;
    sessionStorage.setItem(key, hash);
  } catch {
    return true; // nothing to count in, so no second try
  }
  location.reload();
  return false;
}

/** Let `bar` say when a new version is there, and `button` bring it. */
export function offerNewVersion(app: OfflineApp, bar: HTMLElement, button: HTMLButtonElement): void {
  app.addEventListener("change", () => (bar.hidden = !app.newVersion));
  button.addEventListener("click", () => {
    button.disabled = true;
    app.reload();
  });
}
