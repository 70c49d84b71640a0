/**
 * What stands in the service worker's place when offline use is withdrawn: it removes every file
 * that a service worker of ours has kept for this site, then itself. The next load comes from the
 * server. Models, snapshots and whatever else visitors keep are left alone: they are checked
 * wherever they are used.
 */

import { WITHDRAWN, appCache, extrasCache } from "./offline/names";
import type { ToServiceWorker } from "./offline/names";

declare const self: ServiceWorkerGlobalScope;

self.addEventListener("install", (event) => event.waitUntil(self.skipWaiting()));

self.addEventListener("activate", (event) => {
  const site = self.registration.scope;
  const gone = Promise.all([caches.delete(appCache(site)), caches.delete(extrasCache(site))]);
  event.waitUntil(gone.then(() => self.registration.unregister()));
});

// Pages ask, so that they can say why nothing is kept.
self.addEventListener("message", (event) => {
  const message = event.data as ToServiceWorker;
  if (message.type === "which build") event.ports[0]?.postMessage(WITHDRAWN);
});
