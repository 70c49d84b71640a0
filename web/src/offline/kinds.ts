/** Every kind of thing that is kept, in the order in which it is shown. A new one is a few lines. */

import { fileOf } from "../bring/address";
import { forgetTraining, keptBytes, keptTraining } from "../train/shelf";
import { megabytes, plural } from "../ui/format";
import { fileSize, removeFile } from "../worker/storage";
import { APP, SITE, offlineApp } from "./app";
import { forgetUse, markUsed, registerKept, usedAt } from "./kept";
import type { KeptThing } from "./kept";
import { dropModel, isLocal, keepModel, listModels } from "./models";
import type { KeptModel } from "./models";
import { appCache, extrasCache } from "./names";
import { dropPartial, listPartials } from "./partial";

/** Bytes of a cache; null where there is none, or nothing may be kept. */
async function cacheSize(name: string): Promise<number | null> {
  try {
    // Opening it would make it: what is being cleared must not come back.
    return (await caches.has(name)) ? await sizeOf(await caches.open(name)) : null;
  } catch {
    return null;
  }
}

async function sizeOf(cache: Cache): Promise<number> {
  const sizes = (await cache.keys()).map(async (key) => {
    const kept = await cache.match(key);
    return kept ? (await kept.blob()).size : 0;
  });
  return (await Promise.all(sizes)).reduce((sum, size) => sum + size, 0);
}

const STATE_WORDS = {
  unsupported: "This browser keeps no pages: it wants a secure address (https).",
  withdrawn: "This site has switched keeping off.",
  off: "Not kept: the page needs the network.",
  waiting: "Fetched as soon as the page has nothing else to do.",
  fetching: "Being fetched. Until all of it is here, the page needs the network.",
  ready: "All of it is here: the page works without a network.",
  failed: "Not all of it came, so the page needs the network",
};

registerKept({
  id: "app",
  title: "The page",
  async list() {
    const app = offlineApp();
    if (!app) return [];
    const { state, failure } = app;
    const here = state === "ready" || state === "fetching";
    const bytes = here ? await cacheSize(appCache(SITE)) : null;
    const canKeep = state === "off" || state === "failed" || state === "waiting";
    const page: KeptThing = {
      id: APP,
      title: "Page, panels, Python and engine",
      words: STATE_WORDS[state] + (state === "failed" ? `: ${failure}.` : ""),
      bytes,
      used: here ? usedAt(APP) : null,
      here,
      ...(here ? { drop: () => app.drop() } : {}),
      ...(canKeep ? { keep: () => app.keep() } : {}),
    };
    return [page, ...(await extras().catch(() => []))]; // where nothing may be kept, neither may they
  },
});

/** Packages of Python's that are there for whoever asks. */
async function extras(): Promise<KeptThing[]> {
  const offered = offlineApp()?.build.extras ?? [];
  const cache = await caches.open(extrasCache(SITE));
  return Promise.all(
    offered.map(async ({ name, url, bytes }) => {
      const here = Boolean(await cache.match(url));
      return {
        id: url, title: name, bytes, here, used: null,
        words: here
          ? "For Python code that imports it."
          : "For Python code that imports it; fetched when it first does.",
        keep: () => cache.add(url),
        drop: async () => void (await cache.delete(url)),
      };
    }),
  );
}

function words(model: KeptModel, title: string | undefined): string {
  if (model.source) return `From ${new URL(model.source).host}, by a link.`;
  if (isLocal(model.from)) return "A file that you opened here.";
  return title ? "One of this site's models." : "Of an earlier version, or another site at this address.";
}

registerKept({
  id: "models",
  title: "Models",
  async list() {
    const build = offlineApp()?.build;
    const kept = await listModels();
    const offered = (build?.models ?? []).map((model) => ({ ...model, url: build?.model(model.name)?.url ?? "" }));
    const here = kept.map((model): KeptThing => {
      const title = offered.find(({ url }) => url === model.from)?.title;
      return {
        id: model.from, title: title ?? model.name, words: words(model, title), bytes: model.bytes,
        used: usedAt(model.from), here: true,
        drop: async () => {
          await dropModel(model.from);
          forgetUse(model.from);
        },
      };
    });
    const missing = offered.filter(({ url }) => !kept.some(({ from }) => from === url));
    const away = missing.map(({ url, title, name, bytes, sha256 }): KeptThing => ({
      id: url, title, words: "Kept when it is first used.", bytes, used: null, here: false,
      keep: async () => {
        const { body, ok, status } = await fetch(url);
        if (!ok || !body) throw new Error(`the server answered ${status} for ${name}`);
        await keepModel(url, body, { name, bytes, sha256, source: null });
        markUsed(url);
      },
    }));
    return [...here, ...away];
  },
});

registerKept({
  id: "partials",
  title: "Downloads that broke off",
  async list() {
    return (await listPartials()).map(({ key, partial }) => {
      const file = fileOf(partial.urls[0] ?? "");
      const total = partial.sizes.reduce((sum, size) => sum + size, 0);
      return {
        id: key, title: file, bytes: partial.bytes, used: null, here: true,
        words: `Of ${megabytes(total)} MB. It goes on from there when its address is opened again.`,
        drop: () => dropPartial(key),
      };
    });
  },
});

registerKept({
  id: "snapshot",
  title: "Quick start",
  async list() {
    const bytes = await fileSize();
    if (bytes === null) return [];
    const words = "Python's memory with the engine in it. Without it the next start takes longer.";
    return [{ id: "snapshot", title: "Snapshot of Python", words, bytes, used: usedAt(APP), here: true, drop: removeFile }];
  },
});

registerKept({
  id: "training",
  title: "Training",
  async list() {
    const kept = await keptTraining();
    if (!kept) return [];
    const words = `At step ${kept.step} of ${kept.steps}, ${plural(kept.parameters, "parameter")}.`;
    const [bytes, used] = [await keptBytes(), new Date(kept.at)];
    return [{ id: "training", title: kept.title, words, bytes, used, here: true, drop: forgetTraining }];
  },
});

/** Small words of the page's own: the theme, and when something was used. */
function settings(): string[] {
  return Object.keys(localStorage).filter((key) => key.startsWith("thimble."));
}

registerKept({
  id: "settings",
  title: "Settings",
  async list() {
    const keys = settings();
    if (keys.length === 0) return [];
    const bytes = keys.reduce((sum, key) => sum + key.length + (localStorage.getItem(key)?.length ?? 0), 0);
    return [{
      id: "settings", title: "Theme and dates of use", words: "No text and no prompt of yours.",
      bytes, used: null, here: true,
      drop: async () => settings().forEach((key) => localStorage.removeItem(key)),
    }];
  },
});
