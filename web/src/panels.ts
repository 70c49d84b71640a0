/**
 * The panels: which one is shown, and when each comes to life. page.html names them all, in the order
 * of the tabs; panels/ID.ts is what one does, and is loaded when it is first shown.
 */

import type { LiveSession } from "./live";

/** What panels/ID.ts has. */
interface PanelModule {
  /** Bring the panel's part of the page to life, once. */
  mount(root: HTMLElement, live: LiveSession): void;
}

/** What panels were called in addresses of version 0.1. */
const FORMER: Readonly<Record<string, string>> = {
  play: "write", chat: "talk", debug: "step", ledger: "claims", storage: "machine",
};

/** The panel that a link leads to. */
function panelOf(fragment: string): string {
  const named = new URLSearchParams(fragment.slice(1)).get("panel") ?? "";
  return FORMER[named] ?? named;
}

/** Show the panel that the address names, or the first, and whichever it names from now on. */
export async function showPanels(tabs: HTMLElement, live: LiveSession): Promise<void> {
  const mounted = new Set<string>();
  const links = new Map([...tabs.querySelectorAll("a")].map((link) => [panelOf(link.hash), link]));
  const [first = ""] = links.keys();
  const { title } = document;
  tabs.hidden = false;

  const mount = async (panel: string): Promise<void> => {
    const root = document.querySelector<HTMLElement>(`[data-panel="${panel}"]`);
    if (!root || mounted.has(panel)) return;
    mounted.add(panel);
    // Its buttons are here before what they do; the first panel's text can be written meanwhile.
    root.inert = panel !== first;
    const loading = import(`./panels/${panel}.ts`) as Promise<PanelModule>;
    const { mount } = await loading.finally(() => (root.inert = false));
    mount(root, live);
  };

  const show = async (): Promise<void> => {
    const named = panelOf(location.hash);
    const panel = links.has(named) ? named : first;
    for (const root of document.querySelectorAll<HTMLElement>("[data-panel]")) {
      root.hidden = root.dataset["panel"] !== panel;
    }
    // The first one has the model, the prompt and the settings that all of them work with.
    await mount(first);
    await mount(panel);
    for (const [id, link] of links) {
      if (id === panel) link.setAttribute("aria-current", "page");
      else link.removeAttribute("aria-current");
    }
    // On a narrow screen the tabs are a strip that slides; the chosen one stands in its middle.
    const link = links.get(panel);
    document.title = link && panel === named ? `${link.textContent ?? ""} · Thimble` : title;
    if (link) tabs.scrollLeft = link.offsetLeft - (tabs.clientWidth - link.offsetWidth) / 2;
  };
  addEventListener("hashchange", () => void show());
  await show();
}
