/**
 * The service worker: after one visit the page works without a network, version by version.
 *
 * An install fetches every file of a version and checks it against its digest, and every page that it
 * is of this build; unless all are right nothing of it is ever used. What a tab has begun with it goes on with: its page, its scripts and
 * its build.json are of one version, whatever has been installed since. Models are not its business.
 */

import { PrecacheController } from "workbox-precaching/PrecacheController.js";
import { CacheFirst } from "workbox-strategies/CacheFirst.js";
import { appCache, extrasCache } from "./offline/names";
import type { Precache, ToServiceWorker } from "./offline/names";

declare const self: ServiceWorkerGlobalScope & { readonly THIMBLE_PRECACHE: Precache };

const { build, entries, extras } = self.THIMBLE_PRECACHE;
const SITE = self.registration.scope;
const ASSETS = new URL("assets/", SITE).href;
const EXTRAS = new Set(extras.map((url) => new URL(url, SITE).href));
const APP = appCache(SITE);

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

/** A server that has moved on sends pages of another version; they must not be kept as this one's. */
const ofThisBuild = {
  async fetchDidSucceed({ request, response }: { request: Request; response: Response }) {
    if (!PAGES.has(plain(new URL(request.url).pathname))) return response;
    if ((await response.clone().text()).includes(build)) return response;
    throw new Error("the server has another version by now; it will be found at the next check");
  },
};

const precache = new PrecacheController({ cacheName: APP, plugins: [ofThisBuild] });
precache.addToCacheList([...entries]);
const extra = new CacheFirst({ cacheName: extrasCache(SITE) });

/** Which version a tab has begun with, kept in the cache because this worker ends at any time. */
interface Tab {
  readonly build: string;
  /** From the address of a file whose name says nothing of its content to where it is in the cache. */
  readonly keys: Readonly<Record<string, string>>;
}

const tabKey = (client: string): string => new URL(`?thimble-tab=${client}`, SITE).href;
const TAB = /[?&]thimble-tab=([^&]+)/;

function thisVersion(): Tab {
  const named = entries.filter(({ revision }) => revision !== null);
  const urls = named.map(({ url }) => new URL(url, SITE).href);
  return { build, keys: Object.fromEntries(urls.map((url) => [url, precache.getCacheKeyForURL(url) ?? url])) };
}

async function rememberTab(client: string): Promise<void> {
  const cache = await caches.open(APP);
  await cache.put(tabKey(client), new Response(JSON.stringify(thisVersion())));
}

async function tabOf(client: string): Promise<Tab> {
  const kept = client && (await (await caches.open(APP)).match(tabKey(client)));
  return kept ? ((await kept.json()) as Tab) : thisVersion();
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
    else others ||= (await tabOf(client)).build !== build;
  }
  if (others) return;
  const expected = new Set(precache.getURLsToCacheKeys().values());
  for (const { url } of await cache.keys()) {
    if (!expected.has(url) && !TAB.test(url)) await cache.delete(url);
  }
  const kept = await caches.open(extrasCache(SITE));
  for (const { url } of await kept.keys()) if (!EXTRAS.has(url)) await kept.delete(url);
}

async function fromCache(request: Request, key: string): Promise<Response> {
  const kept = await (await caches.open(APP)).match(key, { ignoreVary: true });
  return kept ?? fetch(request); // a browser that is short of room may have dropped it
}

function page(event: FetchEvent, address: string): Promise<Response> {
  event.waitUntil(rememberTab(event.resultingClientId).catch(() => undefined));
  return fromCache(event.request, precache.getCacheKeyForURL(address) ?? address);
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
  const { keys } = await tabOf(event.clientId);
  return fromCache(event.request, keys[url] ?? url);
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
  const key = precache.getCacheKeyForURL(url.href);
  if (key !== undefined && key !== url.href) return ofTab(event, url.href);
  if (EXTRAS.has(url.href)) return extra.handle({ event, request });
  // Named by content, so it does not matter which version it is of.
  const isAsset = url.href.startsWith(ASSETS) && !url.pathname.endsWith(".gguf");
  return isAsset ? fromCache(request, url.href) : null;
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
      await (await fetch(url, { cache: "reload", ...(integrity ? { integrity } : {}) })).arrayBuffer();
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
