/** The panel that shows what is saved on this machine, and lets the visitor save or remove each. */

import { html, nothing, render } from "lit";
import type { TemplateResult } from "lit";
import { mountFind } from "../bring/find";
import { mountSmaller } from "../bring/smaller";
import type { LiveSession } from "../live";
import { offlineApp } from "../offline/app";
import type { OfflineApp } from "../offline/app";
import { KINDS } from "../storage/kinds";
import type { StorageKind, StoredItem } from "../storage/kinds";
import { byId } from "../ui/dom";
import { megabytes, sentence } from "../ui/format";

const button = (id: string): HTMLButtonElement => byId(id, HTMLButtonElement);

const day = new Intl.RelativeTimeFormat("en", { numeric: "auto" });
const DAY_MS = 86_400_000;

function size(bytes: number): string {
  if (bytes >= 1e9) return `${megabytes(bytes / 1e3)} GB`;
  return bytes < 50_000 ? "< 0.1 MB" : `${megabytes(bytes)} MB`;
}

/** "today", "yesterday", "3 days ago". */
function ago(date: Date): string {
  const midnight = (at: Date): number => new Date(at).setHours(0, 0, 0, 0);
  return day.format(Math.round((midnight(date) - midnight(new Date())) / DAY_MS), "day");
}

interface Listed {
  readonly kind: StorageKind;
  readonly items: readonly StoredItem[];
  /** Why it could not be looked at. */
  readonly failure: string | null;
}

class Machine {
  readonly #root: HTMLElement;
  readonly #app: OfflineApp | null;
  readonly #kinds = byId("kinds", HTMLElement);
  readonly #outcome = byId("machine-outcome", HTMLElement);
  readonly #notice = byId("machine-notice", HTMLElement);
  readonly #sure = byId("sure", HTMLElement);
  readonly #persist = button("persist");
  readonly #install = button("install");
  #listed: readonly Listed[] = [];
  /** The item that is being saved or removed; no other is meanwhile. */
  #busy: string | null = null;

  constructor(root: HTMLElement, live: LiveSession) {
    this.#root = root;
    this.#app = offlineApp();
    for (const event of ["state", "models"]) live.addEventListener(event, () => this.#lookIfShown());
    this.#app?.addEventListener("change", () => this.#lookIfShown());
    addEventListener("hashchange", () => this.#lookIfShown());
    this.#persist.addEventListener("click", () => void this.#askToPersist());
    this.#install.addEventListener("click", () => void this.#installApp());
    for (const [id, opens] of [["bring-file", "model-file"], ["bring-address", "model-address"]] as const) {
      button(id).addEventListener("click", () => byId(opens, HTMLElement).click());
    }
    button("clear").addEventListener("click", () => this.#askIfSure(true));
    button("sure-no").addEventListener("click", () => this.#askIfSure(false));
    button("sure-yes").addEventListener("click", () => void this.#clear());
    this.#sure.addEventListener("keydown", (event) => {
      if (event.key === "Escape") this.#askIfSure(false);
    });
    void this.#look();
  }

  #lookIfShown(): void {
    if (!this.#root.hidden && this.#busy === null) void this.#look();
  }

  async #look(): Promise<void> {
    this.#listed = await Promise.all(
      KINDS.map(async (kind) => {
        try {
          return { kind, items: await kind.list(), failure: null };
        } catch (error) {
          return { kind, items: [], failure: wordsOf(error) };
        }
      }),
    );
    this.#draw();
    await this.#showSpace();
  }

  #draw(): void {
    const shown = this.#listed.filter(({ items, failure }) => items.length > 0 || failure !== null);
    render(shown.map((one) => this.#kind(one)), this.#kinds);
    const all = shown.flatMap(({ items }) => items);
    button("clear").disabled = !all.some((item) => item.here && item.remove);
    this.#install.hidden = !this.#app?.installation;
  }

  #kind({ kind, items, failure }: Listed): TemplateResult {
    const heading = `kind-${kind.id}`;
    return html`<section aria-labelledby=${heading}>
      <h2 id=${heading}>${kind.title}</h2>
      ${failure === null
        ? html`<ul>${items.map((item) => this.#item(item))}</ul>`
        : html`<p class="hint">The browser does not let this page look: ${failure}</p>`}
    </section>`;
  }

  #item(item: StoredItem): TemplateResult {
    const act = (words: string, done: string, what: () => Promise<void>): TemplateResult =>
      html`<button type="button" class="small" ?disabled=${this.#busy !== null}
        aria-label=${`${words} ${item.title}`}
        @click=${() => void this.#do(item, what, done)}
      >${this.#busy === item.id ? "…" : words}</button>`;
    const { here, save, remove } = item;
    return html`<li class=${here ? "here" : "away"}>
      <div class="what"><strong>${item.title}</strong><span class="hint">${item.words}</span></div>
      <span class="size">${item.bytes === null ? nothing : size(item.bytes)}</span>
      <span class="used">${here ? (item.used ? `used ${ago(item.used)}` : nothing) : "not saved"}</span>
      ${here && remove ? act("Remove", "is removed", () => remove.call(item)) : nothing}
      ${!here && save ? act("Save", "is saved", () => save.call(item)) : nothing}
    </li>`;
  }

  async #do(item: StoredItem, what: () => Promise<void>, done: string): Promise<void> {
    this.#busy = item.id;
    this.#fail("");
    this.#draw();
    try {
      await what();
      this.#outcome.textContent = `${item.title} ${done}.`;
    } catch (error) {
      this.#fail(wordsOf(error));
    }
    this.#busy = null;
    await this.#look();
  }

  #fail(why: string): void {
    this.#notice.hidden = why === "";
    byId("machine-notice-words", HTMLElement).textContent = why && sentence(why);
    if (why) this.#outcome.textContent = "";
  }

  async #showSpace(): Promise<void> {
    const saved = this.#listed.flatMap(({ items }) => items).filter(({ here }) => here);
    const bytes = saved.reduce((sum, item) => sum + (item.bytes ?? 0), 0);
    const storage = navigator.storage as Partial<StorageManager> | undefined;
    const estimate = await storage?.estimate?.().catch(() => undefined);
    const quota = estimate?.quota;
    const quotaWords = quota === undefined ? "" : `, of ${size(quota)} that the browser offers`;
    byId("space-words", HTMLElement).textContent = `${size(bytes)} saved here${quotaWords}.`;
    const meter = byId("space-meter", HTMLMeterElement);
    meter.hidden = !quota;
    meter.value = quota ? bytes / quota : 0;
    const persisted = await storage?.persisted?.().catch(() => false);
    this.#persist.hidden = persisted !== false;
    if (persisted) this.#promise("The browser has promised not to delete it.");
    else if (persisted === undefined) this.#promise("This browser makes no promise to keep it.");
    else if (!byId("persist-words", HTMLElement).textContent) {
      this.#promise("A browser that runs short of space may delete it, unless it has promised not to.");
    }
  }

  #promise(words: string): void {
    byId("persist-words", HTMLElement).textContent = words;
  }

  async #askToPersist(): Promise<void> {
    const given = await navigator.storage.persist().catch(() => false);
    if (!given) {
      this.#promise(
        "The browser has not promised to keep it. It considers how often you visit the page, and whether it " +
          "is bookmarked or installed: try again later.",
      );
    }
    await this.#showSpace();
  }

  async #installApp(): Promise<void> {
    const { installation } = this.#app ?? {};
    if (!installation || !this.#app) return;
    const { outcome } = await installation.prompt();
    this.#app.installation = null; // it can be used once
    this.#outcome.textContent = outcome === "accepted" ? "Installed." : "Not installed.";
    this.#draw();
  }

  #askIfSure(asking: boolean): void {
    this.#sure.hidden = !asking;
    if (asking) button("sure-no").focus();
    else button("clear").focus();
  }

  /** Remove all of it; the page goes on with what it has in memory. */
  async #clear(): Promise<void> {
    this.#busy = "all";
    this.#fail("");
    this.#draw();
    const failed: string[] = [];
    for (const { items } of this.#listed) {
      for (const { title, here, remove } of items) {
        if (!here || !remove) continue;
        await remove().catch((error: unknown) => failed.push(`${title}: ${wordsOf(error)}`));
      }
    }
    this.#busy = null;
    this.#sure.hidden = true;
    if (failed.length) this.#fail(`not everything could be removed: ${failed.join("; ")}`);
    else this.#outcome.textContent = "Nothing is saved any more. This page works until you close it.";
    await this.#look();
    button("clear").focus();
  }
}

function wordsOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

export function mount(root: HTMLElement, live: LiveSession): void {
  new Machine(root, live);
  mountFind(live);
  mountSmaller(live);
}
