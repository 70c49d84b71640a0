/**
 * Which panels there are. A panel is one module that is loaded when it is first shown; it registers
 * itself with one line in index.ts.
 */

import type { LiveSession } from "../live";

export interface PanelModule {
  /** Bring the panel's part of the page to life, once. */
  mount(root: HTMLElement, live: LiveSession): void;
}

export interface Panel {
  readonly id: string;
  readonly title: string;
  load(): Promise<PanelModule>;
}

const panels: Panel[] = [];

export function registerPanel(panel: Panel): void {
  panels.push(panel);
}

/** What panels were called in addresses of version 0.1. */
const FORMER: Readonly<Record<string, string>> = {
  play: "write", chat: "talk", debug: "step", ledger: "claims", storage: "machine",
};

/** The panel that the address names, or the first. */
function chosen(): Panel | undefined {
  const named = new URLSearchParams(location.hash.slice(1)).get("panel") ?? "";
  const id = FORMER[named] ?? named;
  return panels.find((panel) => panel.id === id) ?? panels[0];
}

/** Show the chosen panel, and tabs where there is a choice. */
export async function showPanels(tabs: HTMLElement, live: LiveSession): Promise<void> {
  const mounted = new Set<string>();
  const links = new Map<string, HTMLAnchorElement>();
  for (const panel of panels) {
    const link = document.createElement("a");
    link.href = `#panel=${panel.id}`;
    link.textContent = panel.title;
    links.set(panel.id, link);
  }
  tabs.replaceChildren(...links.values());
  tabs.hidden = panels.length < 2;

  const mount = async (panel: Panel): Promise<void> => {
    const root = document.querySelector<HTMLElement>(`[data-panel="${panel.id}"]`);
    if (!root || mounted.has(panel.id)) return;
    mounted.add(panel.id);
    // Its buttons are here before what they do; the first panel's text can be written meanwhile.
    root.inert = panel !== panels[0];
    const module = await panel.load().finally(() => (root.inert = false));
    module.mount(root, live);
  };

  const show = async (): Promise<void> => {
    const panel = chosen();
    if (!panel) return;
    for (const root of document.querySelectorAll<HTMLElement>("[data-panel]")) {
      root.hidden = root.dataset["panel"] !== panel.id;
    }
    // The first one has the model, the prompt and the settings that all of them work with.
    if (panels[0]) await mount(panels[0]);
    await mount(panel);
    for (const [id, link] of links) {
      if (id === panel.id) link.setAttribute("aria-current", "page");
      else link.removeAttribute("aria-current");
    }
    // On a narrow screen the tabs are a strip that slides; the chosen one stands in its middle.
    const link = links.get(panel.id);
    if (link) tabs.scrollLeft = link.offsetLeft - (tabs.clientWidth - link.offsetWidth) / 2;
  };
  addEventListener("hashchange", () => void show());
  await show();
}
