/**
 * What stands in the service worker's place when offline use is withdrawn: it removes every file
 * that a service worker of ours has saved for this site, then itself. The next load comes from the
 * server. Models, snapshots and whatever else visitors keep are left alone: they are checked
 * wherever they are used.
 */

import { WITHDRAWN, appCache, extrasCache } from "./storage/names";
import type { ToServiceWorker, Withdrawal } from "./storage/names";

declare const self: ServiceWorkerGlobalScope;

self.addEventListener("install", (event) => event.waitUntil(self.skipWaiting()));

self.addEventListener("activate", (event) => {
  const site = self.registration.scope;
  const gone = Promise.all([caches.delete(appCache(site)), caches.delete(extrasCache(site))]);
  event.waitUntil(gone.then(() => tell(site)).then(() => self.registration.unregister()));
});

/** Pages say why nothing is saved, also those that came past every service worker. */
async function tell(site: string): Promise<void> {
  for (const page of await self.clients.matchAll({ includeUncontrolled: true })) {
    page.postMessage({ type: "withdrawn", site } satisfies Withdrawal);
  }
}

// A page that has just come may ask before it is told.
self.addEventListener("message", (event) => {
  const message = event.data as ToServiceWorker;
  if (message.type === "which build") event.ports[0]?.postMessage(WITHDRAWN);
});
