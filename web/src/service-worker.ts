/**
 * The service worker: after one visit the page works without a network, version by version.
 *
 * An install fetches every file of a version and the browser checks each against its digest; unless
 * all are right nothing of it is ever used. Every answer is checked again (offline/verified.ts). What
 * a tab has begun with it goes on with: its page, its scripts and its build.json are of one version,
 * whatever has been installed since. Models are not its business.
 */

import { PrecacheController } from "workbox-precaching/PrecacheController.js";
import { appCache, extrasCache } from "./storage/names";
import type { Precache, PrecacheEntry, ToServiceWorker } from "./storage/names";
import { Verified } from "./offline/verified";

declare const self: ServiceWorkerGlobalScope & { readonly THIMBLE_PRECACHE: Precache };

const { build, entries, extras } = self.THIMBLE_PRECACHE;
const SITE = self.registration.scope;
const ASSETS = new URL("assets/", SITE).href;
const APP = appCache(SITE);
const EXTRAS = new Map(extras.map((entry) => [new URL(entry.url, SITE).href, entry]));
const verified = new Verified(SITE, self.THIMBLE_PRECACHE);

/** What a path says, however it was written. */
function plain(path: string): string {
  try {
    return decodeURIComponent(path);
  } catch {
    return path; // and no page of ours is called like that
  }
}

/** From the paths of what the server renders, the page and those in frames, to their addresses. */
const PAGES = new Map(
  entries.map(({ url }) => new URL(url, SITE))
    .filter(({ pathname }) => pathname.endsWith("/"))
    .map(({ pathname, href }) => [plain(pathname), href]),
);

const precache = new PrecacheController({ cacheName: APP });
precache.addToCacheList([...entries]);

/** A file of a version, and where it is in the cache. */
interface Place {
  readonly entry: PrecacheEntry;
  readonly key: string;
}

/** Which version a tab has begun with, saved in the cache because this worker ends at any time. */
interface Tab {
  readonly build: string;
  /** Its files by their addresses. */
  readonly files: Readonly<Record<string, Place>>;
}

const tabKey = (client: string): string => new URL(`?thimble-tab=${client}`, SITE).href;
const TAB = /[?&]thimble-tab=([^&]+)/;

const THIS_VERSION: Tab = {
  build,
  files: Object.fromEntries(
    entries.map((entry) => {
      const { href } = new URL(entry.url, SITE);
      return [href, { entry, key: precache.getCacheKeyForURL(href) ?? href }];
    }),
  ),
};

async function rememberTab(client: string): Promise<void> {
  const cache = await caches.open(APP);
  await cache.put(tabKey(client), new Response(JSON.stringify(THIS_VERSION)));
}

/** What was written down for a tab. A tab of this version is not asked: our own list says better. */
async function tabAt(key: string): Promise<Tab> {
  const saved = await (await caches.open(APP)).match(key);
  const tab = saved && ((await saved.json()) as Tab);
  return tab && tab.build !== build ? tab : THIS_VERSION;
}

/** Remove what no tab shows any more. */
async function tidy(): Promise<void> {
  const cache = await caches.open(APP);
  const open = await self.clients.matchAll({ type: "window", includeUncontrolled: true });
  const ids = new Set(open.map((client) => client.id));
  let others = false;
  for (const { url } of await cache.keys()) {
    const client = TAB.exec(url)?.[1];
    if (client === undefined) continue;
    if (!ids.has(client)) await cache.delete(url);
    else others ||= (await tabAt(url)).build !== build;
  }
  if (others) return;
  const expected = new Set(precache.getURLsToCacheKeys().values());
  for (const { url } of await cache.keys()) {
    if (!expected.has(url) && !TAB.test(url)) await cache.delete(url);
  }
  const saved = await caches.open(extrasCache(SITE));
  for (const { url } of await saved.keys()) if (!EXTRAS.has(url)) await saved.delete(url);
}

/** A page; the server's own where neither the cache nor the server has this version's any more. */
async function page(event: FetchEvent, address: string): Promise<Response> {
  event.waitUntil(rememberTab(event.resultingClientId).catch(() => undefined));
  const place = THIS_VERSION.files[address];
  if (!place) return fetch(event.request);
  return verified.answer(place.entry, APP, place.key).catch(() => fetch(event.request));
}

/** The answer for a tab or a frame that is to show an address of this site. */
function navigation(event: FetchEvent, url: URL): Promise<Response> | null {
  if (!["document", "iframe"].includes(event.request.destination)) return null;
  const path = plain(url.pathname).replace(/\/index\.html$/, "/");
  const address = PAGES.get(path);
  if (address !== undefined) return page(event, address);
  if (!PAGES.has(`${path}/`)) return null;
  // The addresses in it are relative to the one with the slash.
  url.pathname += "/";
  return Promise.resolve(Response.redirect(url.href));
}

/** A file with a fixed name, of the version that the tab has begun with. */
async function ofTab(event: FetchEvent, url: string): Promise<Response> {
  const { files } = await tabAt(tabKey(event.clientId));
  const place = files[url] ?? THIS_VERSION.files[url];
  return place ? verified.answer(place.entry, APP, place.key) : fetch(event.request);
}

/** A file that this version does not have, for a tab that began with an older one. */
async function ofOlderTab(request: Request, url: string): Promise<Response> {
  for (const { url: key } of await (await caches.open(APP)).keys()) {
    const place = TAB.test(key) ? (await tabAt(key)).files[url] : undefined;
    if (place) return verified.answer(place.entry, APP, place.key);
  }
  return fetch(request);
}

/** The answer to a request that is ours to answer, or null. */
function answer(event: FetchEvent): Promise<Response> | null {
  const { request } = event;
  const url = new URL(request.url);
  url.hash = "";
  if (request.method !== "GET" || !url.href.startsWith(SITE) || request.headers.has("range")) {
    return null;
  }
  if (request.mode === "navigate") return navigation(event, url);
  const extra = EXTRAS.get(url.href);
  if (extra) return verified.answer(extra, extrasCache(SITE), url.href);
  const place = THIS_VERSION.files[url.href];
  if (place?.entry.revision) return ofTab(event, url.href);
  // Named by its content, so it does not matter which version asks for it.
  if (place) return verified.answer(place.entry, APP, place.key);
  const isAsset = url.href.startsWith(ASSETS) && !url.pathname.endsWith(".gguf");
  return isAsset ? ofOlderTab(request, url.href) : null;
}

/** Workbox would end the install with the first try. */
const aTry = { type: "install", waitUntil: () => undefined } as unknown as ExtendableEvent;

/**
 * Fetch what is not here. A file that was damaged on its way lies in the browser's own cache, for
 * ever as its name promises: whatever failed is fetched past that cache, and then tried again.
 */
async function install(): Promise<void> {
  try {
    await precache.install(aTry);
  } catch {
    const cache = await caches.open(APP);
    for (const { url, integrity } of entries) {
      if (await cache.match(precache.getCacheKeyForURL(url) ?? url)) continue;
      await (await fetch(url, { cache: "reload", integrity })).arrayBuffer();
    }
    await precache.install(aTry);
  }
}

self.addEventListener("install", (event) => event.waitUntil(install()));

self.addEventListener("activate", (event) => {
  event.waitUntil(self.clients.claim().then(tidy));
});

self.addEventListener("fetch", (event) => {
  const answered = answer(event);
  if (answered) event.respondWith(answered);
});

self.addEventListener("message", (event) => {
  const message = event.data as ToServiceWorker;
  if (message.type === "take over") event.waitUntil(self.skipWaiting());
  if (message.type === "tidy") event.waitUntil(tidy());
  if (message.type === "which build") event.ports[0]?.postMessage(build);
});
