/** The panel that shows what is kept on this machine, and lets the visitor keep or drop each. */

import { html, nothing, render } from "lit";
import type { TemplateResult } from "lit";
import { mountSmaller } from "../bring/smaller";
import type { LiveSession } from "../live";
import { offlineApp } from "../offline/app";
import type { OfflineApp } from "../offline/app";
import "../offline/kinds";
import { keptKinds } from "../offline/kept";
import type { KeptKind, KeptThing } from "../offline/kept";
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
  readonly kind: KeptKind;
  readonly things: readonly KeptThing[];
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
  /** The thing that is being kept or dropped; no other is until then. */
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
      keptKinds().map(async (kind) => {
        try {
          return { kind, things: await kind.list(), failure: null };
        } catch (error) {
          return { kind, things: [], failure: wordsOf(error) };
        }
      }),
    );
    this.#draw();
    await this.#showRoom();
  }

  #draw(): void {
    const shown = this.#listed.filter(({ things, failure }) => things.length > 0 || failure !== null);
    render(shown.map((one) => this.#kind(one)), this.#kinds);
    const all = shown.flatMap(({ things }) => things);
    button("clear").disabled = !all.some((thing) => thing.here && thing.drop);
    this.#install.hidden = !this.#app?.installation;
  }

  #kind({ kind, things, failure }: Listed): TemplateResult {
    const heading = `kind-${kind.id}`;
    return html`<section aria-labelledby=${heading}>
      <h2 id=${heading}>${kind.title}</h2>
      ${failure === null
        ? html`<ul>${things.map((thing) => this.#thing(thing))}</ul>`
        : html`<p class="hint">The browser does not let this page look: ${failure}</p>`}
    </section>`;
  }

  #thing(thing: KeptThing): TemplateResult {
    const act = (words: string, done: string, what: () => Promise<void>): TemplateResult =>
      html`<button type="button" class="small" ?disabled=${this.#busy !== null}
        aria-label=${`${words} ${thing.title}`}
        @click=${() => void this.#do(thing, what, done)}
      >${this.#busy === thing.id ? "…" : words}</button>`;
    const { here, keep, drop } = thing;
    return html`<li class=${here ? "here" : "away"}>
      <div class="what"><strong>${thing.title}</strong><span class="hint">${thing.words}</span></div>
      <span class="size">${thing.bytes === null ? nothing : size(thing.bytes)}</span>
      <span class="used">${here ? (thing.used ? `used ${ago(thing.used)}` : nothing) : "not kept"}</span>
      ${here && drop ? act("Drop", "is dropped", () => drop.call(thing)) : nothing}
      ${!here && keep ? act("Keep", "is kept", () => keep.call(thing)) : nothing}
    </li>`;
  }

  async #do(thing: KeptThing, what: () => Promise<void>, done: string): Promise<void> {
    this.#busy = thing.id;
    this.#fail("");
    this.#draw();
    try {
      await what();
      this.#outcome.textContent = `${thing.title} ${done}.`;
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

  async #showRoom(): Promise<void> {
    const kept = this.#listed.flatMap(({ things }) => things).filter(({ here }) => here);
    const bytes = kept.reduce((sum, thing) => sum + (thing.bytes ?? 0), 0);
    const storage = navigator.storage as Partial<StorageManager> | undefined;
    const estimate = await storage?.estimate?.().catch(() => undefined);
    const quota = estimate?.quota;
    const room = quota === undefined ? "" : `, of ${size(quota)} that the browser offers`;
    byId("room-words", HTMLElement).textContent = `${size(bytes)} kept here${room}.`;
    const meter = byId("room-meter", HTMLMeterElement);
    meter.hidden = !quota;
    meter.value = quota ? bytes / quota : 0;
    const persisted = await storage?.persisted?.().catch(() => false);
    this.#persist.hidden = persisted !== false;
    if (persisted) this.#promise("The browser has promised not to clear it by itself.");
    else if (persisted === undefined) this.#promise("This browser makes no promises about keeping it.");
    else if (!byId("persist-words", HTMLElement).textContent) {
      this.#promise("A browser that runs short of room may clear it, unless it has promised not to.");
    }
  }

  #promise(words: string): void {
    byId("persist-words", HTMLElement).textContent = words;
  }

  async #askToPersist(): Promise<void> {
    const given = await navigator.storage.persist().catch(() => false);
    if (!given) {
      this.#promise(
        "The browser has not promised it. It looks at how often a page is visited, and whether it " +
          "is bookmarked or installed: ask again later.",
      );
    }
    await this.#showRoom();
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
    for (const { things } of this.#listed) {
      for (const { title, here, drop } of things) {
        if (!here || !drop) continue;
        await drop().catch((error: unknown) => failed.push(`${title}: ${wordsOf(error)}`));
      }
    }
    this.#busy = null;
    this.#sure.hidden = true;
    if (failed.length) this.#fail(`not everything could be removed: ${failed.join("; ")}`);
    else this.#outcome.textContent = "Nothing is kept any more. This page goes on until it is closed.";
    await this.#look();
    button("clear").focus();
  }
}

function wordsOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

export function mount(root: HTMLElement, live: LiveSession): void {
  new Machine(root, live);
  mountSmaller(live);
}
