/**
 * Everything that is saved on this machine, by kind, in the order in which the panel “This machine”
 * shows it. A part of the page that saves something more is a kind more in `KINDS`.
 */

import { fileOf } from "../bring/address";
import { APP, SITE, offlineApp } from "../offline/app";
import { megabytes, plural } from "../ui/format";
import { dropModel, isLocal, listModels, saveModel } from "./models";
import type { SavedModel } from "./models";
import { appCache, extrasCache } from "./names";
import { dropPartial, listPartials } from "./partial";
import { listPromptCaches, promptCacheQuota, removePromptCaches } from "./prompt-caches";
import { fileSize, removeFile } from "./snapshot-file";
import { listTalks, removeTalks } from "./talks";
import { TASK_CACHE, forgetTask, savedTask } from "./task";
import { forgetTraining, savedTraining, savedTrainingBytes } from "./training";
import { forgetUse, markUsed, usedAt } from "./usage";

export interface StoredItem {
  /** Unlike every other's of its kind. */
  readonly id: string;
  readonly title: string;
  readonly words: string;
  /** Null where nobody knows. */
  readonly bytes: number | null;
  /** Null where nobody wrote it down. */
  readonly used: Date | null;
  /** False for what could be saved and is not. */
  readonly here: boolean;
  /** Save it from now on; rejects with the reason why not. */
  save?(): Promise<void>;
  /** Remove it from this machine. */
  remove?(): Promise<void>;
}

export interface StorageKind {
  readonly id: string;
  readonly title: string;
  /** What there is now; rejects where the browser does not let us look. */
  list(): Promise<readonly StoredItem[]>;
}

/** Bytes of a cache; null where there is none, or nothing may be saved. */
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
    const saved = await cache.match(key);
    return saved ? (await saved.blob()).size : 0;
  });
  return (await Promise.all(sizes)).reduce((sum, size) => sum + size, 0);
}

const STATE_WORDS = {
  unsupported: "This browser cannot save the page: it requires a secure address (https).",
  withdrawn: "This site has switched offline use off.",
  off: "Not saved: the page needs the network.",
  waiting: "Will be fetched when the page is idle.",
  fetching: "Being fetched. Until it is complete, the page needs the network.",
  ready: "Saved in full: the page works without a network.",
  failed: "Only part of it arrived, so the page needs the network",
};

const app: StorageKind = {
  id: "app",
  title: "The page",
  async list() {
    const app = offlineApp();
    if (!app) return [];
    const { state, failure } = app;
    const here = state === "ready" || state === "fetching";
    const bytes = here ? await cacheSize(appCache(SITE)) : null;
    const canSave = state === "off" || state === "failed" || state === "waiting";
    const page: StoredItem = {
      id: APP,
      title: "Page, panels, Python and engine",
      words: STATE_WORDS[state] + (state === "failed" ? `: ${failure}.` : ""),
      bytes,
      used: here ? usedAt(APP) : null,
      here,
      ...(here ? { remove: () => app.drop() } : {}),
      ...(canSave ? { save: () => app.keep() } : {}),
    };
    return [page, ...(await extras().catch(() => []))]; // where nothing may be saved, neither may they
  },
};

/** Packages of Python's that are there for whoever asks. */
async function extras(): Promise<StoredItem[]> {
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
        save: () => cache.add(url),
        remove: async () => void (await cache.delete(url)),
      };
    }),
  );
}

function words(model: SavedModel, title: string | undefined): string {
  if (model.source) return `From ${new URL(model.source).host}, by a link.`;
  if (isLocal(model.from)) return "A file that you opened here.";
  return title ? "One of this site's models." : "Of an earlier version, or another site at this address.";
}

const models: StorageKind = {
  id: "models",
  title: "Models",
  async list() {
    const build = offlineApp()?.build;
    const saved = await listModels();
    const offered = (build?.models ?? []).map((model) => ({ ...model, url: build?.model(model.name)?.url ?? "" }));
    const here = saved.map((model): StoredItem => {
      const title = offered.find(({ url }) => url === model.from)?.title;
      return {
        id: model.from, title: title ?? model.name, words: words(model, title), bytes: model.bytes,
        used: usedAt(model.from), here: true,
        remove: async () => {
          await dropModel(model.from);
          forgetUse(model.from);
        },
      };
    });
    const missing = offered.filter(({ url }) => !saved.some(({ from }) => from === url));
    const away = missing.map(({ url, title, name, bytes, sha256 }): StoredItem => ({
      id: url, title, words: "Saved when it is first used.", bytes, used: null, here: false,
      save: async () => {
        const { body, ok, status } = await fetch(url);
        if (!ok || !body) throw new Error(`the server answered ${status} for ${name}`);
        await saveModel(url, body, { name, bytes, sha256, source: null });
        markUsed(url);
      },
    }));
    return [...here, ...away];
  },
};

const partials: StorageKind = {
  id: "partials",
  title: "Interrupted downloads",
  async list() {
    return (await listPartials()).map(({ key, partial }) => {
      const file = fileOf(partial.urls[0] ?? "");
      const total = partial.sizes.reduce((sum, size) => sum + size, 0);
      return {
        id: key, title: file, bytes: partial.bytes, used: null, here: true,
        words: `Of ${megabytes(total)} MB. It resumes when you open its address again.`,
        remove: () => dropPartial(key),
      };
    });
  },
};

const snapshot: StorageKind = {
  id: "snapshot",
  title: "Quick start",
  async list() {
    const bytes = await fileSize();
    if (bytes === null) return [];
    const words = "Python's memory with the engine loaded. Without it the next start takes longer.";
    return [{ id: "snapshot", title: "Snapshot of Python", words, bytes, used: usedAt(APP), here: true, remove: removeFile }];
  },
};

const training: StorageKind = {
  id: "training",
  title: "Training",
  async list() {
    const saved = await savedTraining();
    if (!saved) return [];
    const words = `At step ${saved.step} of ${saved.steps}, ${plural(saved.parameters, "parameter")}.`;
    const [bytes, used] = [await savedTrainingBytes(), new Date(saved.at)];
    return [{ id: "training", title: saved.title, words, bytes, used, here: true, remove: forgetTraining }];
  },
};

const talks: StorageKind = {
  id: "talks",
  title: "Conversations",
  async list() {
    const item = { id: "talks", used: null, here: true, remove: removeTalks };
    try {
      const { heads, unreadable } = await listTalks();
      const count = heads.length + unreadable.length;
      if (count === 0) return [];
      const bytes = heads.reduce((sum, head) => sum + head.bytes, 0);
      const used = heads.length ? new Date(Math.max(...heads.map(({ changed }) => changed))) : null;
      const words = "What you and models said in Talk, which lists them and deletes each.";
      return [{ ...item, title: plural(count, "conversation"), words, bytes, used }];
    } catch (error) {
      return [{ ...item, title: "Conversations", words: `They cannot be read: ${(error as Error).message}.`, bytes: null }];
    }
  },
};

const promptCaches: StorageKind = {
  id: "prompt-caches",
  title: "Prompt caches",
  async list() {
    const caches = await listPromptCaches();
    const last = caches.at(-1);
    if (!last) return [];
    const bytes = caches.reduce((sum, one) => sum + one.bytes, 0);
    const words =
      "Keys and values of kept conversations: what a model has read of them is not read again. At most " +
      `${megabytes(await promptCacheQuota())} MB; those not used for longest go first.`;
    const title = `Of ${plural(caches.length, "conversation")}`;
    return [{ id: "prompt-caches", title, words, bytes, used: new Date(last.at), here: true, remove: removePromptCaches }];
  },
};

const task: StorageKind = {
  id: "task",
  title: "Task",
  async list() {
    const saved = await savedTask();
    if (!saved) return [];
    const words = `Being made of examples: step ${saved.step} of ${saved.steps}.`;
    const [bytes, used] = [await cacheSize(TASK_CACHE), new Date(saved.at)];
    return [{ id: "task", title: saved.order.name, words, bytes, used, here: true, remove: forgetTask }];
  },
};

/** Small words of the page's own: the theme, the model chosen last, and when something was used. */
function settingKeys(): string[] {
  return Object.keys(localStorage).filter((key) => key.startsWith("thimble."));
}

const settings: StorageKind = {
  id: "settings",
  title: "Settings",
  async list() {
    const keys = settingKeys();
    if (keys.length === 0) return [];
    const bytes = keys.reduce((sum, key) => sum + key.length + (localStorage.getItem(key)?.length ?? 0), 0);
    return [{
      id: "settings", title: "Theme, switches, your last model and dates of use", words: "None of your texts or prompts.",
      bytes, used: null, here: true,
      remove: async () => settingKeys().forEach((key) => localStorage.removeItem(key)),
    }];
  },
};

export const KINDS: readonly StorageKind[] = [app, models, partials, snapshot, training, task, talks, promptCaches, settings];
