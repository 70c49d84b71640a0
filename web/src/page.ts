/** What the page does: it fetches the public API, starts the live session and shows the panels. */

import { LiveSession } from "./live";
import { OfflineApp, isOneVersion, offerNewVersion } from "./offline/app";
import { listLocalModels, offerSaved } from "./storage/models";
import { showPanels } from "./panels";
import { tellAdapter } from "./ui/adapter";
import { offerStop } from "./ui/busy";
import { byId } from "./ui/dom";
import { themeButton } from "./ui/theme";

themeButton(byId("theme", HTMLButtonElement), byId("theme-name", HTMLElement));

// The very module that other sites use, and the one copy of it in this page: it holds the worker.
const address = new URL("../thimble.js", import.meta.url).href;
try {
  const { Thimble } = (await import(address)) as typeof import("./thimble");
  void Thimble.prepare(); // Python can start while the panels come
  const saved = listLocalModels();
  const build = await Thimble.site().catch(() => null); // `create` tells why not
  if (!build || isOneVersion(build.hash)) {
    const live = new LiveSession(Thimble);
    const app = build && new OfflineApp(build);
    const site = build?.models.map(({ name }) => name) ?? [];
    offerSaved(live.files, await saved, site);
    const fragment = location.hash; // a panel writes its own there
    await showPanels(byId("panels", HTMLElement), live);
    addEventListener("hashchange", () => void readChanges(live, location.hash));
    void readChanges(live, fragment);
    const { Incoming } = await import("./bring/incoming");
    new Incoming(live, site);
    offerStop(live);
    tellAdapter(live);
    if (app) {
      offerNewVersion(app, byId("new-version", HTMLElement), byId("reload", HTMLButtonElement));
      void app.start(live);
    }
  }
} catch (error) {
  byId("stage", HTMLElement).textContent = "Part of this page did not load. Reload to try again.";
  throw error;
}

/** A link may say what is changed inside the model. */
async function readChanges(live: LiveSession, fragment: string): Promise<void> {
  if (!new URLSearchParams(fragment.slice(1)).has("change")) return;
  const { changesOf } = await import("./lens/changes");
  await changesOf(live).read(fragment);
}
