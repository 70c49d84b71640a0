/** What the page does: it fetches the public API, starts the live session and shows the panels. */

import { LiveSession } from "./live";
import { OfflineApp, isOneVersion, offerNewVersion } from "./offline/app";
import "./panels/index";
import { showPanels } from "./panels/registry";
import { byId } from "./ui/dom";
import { themeButton } from "./ui/theme";

themeButton(byId("theme", HTMLButtonElement), byId("theme-name", HTMLElement));

// The very module that other sites use, and the one copy of it in this page: it holds the worker.
const address = new URL("../thimble.js", import.meta.url).href;
try {
  const { Thimble } = (await import(address)) as typeof import("./thimble");
  void Thimble.prepare(); // Python can start while the panels come
  const build = await Thimble.site().catch(() => null); // `create` tells why not
  if (!build || isOneVersion(build.hash)) {
    const live = new LiveSession(Thimble);
    await showPanels(byId("panels", HTMLElement), live);
    if (build) {
      const app = new OfflineApp(build);
      offerNewVersion(app, byId("new-version", HTMLElement), byId("reload", HTMLButtonElement));
      void app.start(live);
    }
  }
} catch (error) {
  byId("stage", HTMLElement).textContent = "A part of this page did not come. Reload to try again.";
  throw error;
}
