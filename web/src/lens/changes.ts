/**
 * The changes that stand inside the live session's model: one list, which every panel's text obeys.
 *
 * They belong to a model, and wait while another is chosen. What the worker has is always the whole
 * list of the model that is open, put there again when the engine has started anew. Events: "change"
 * when the worker has taken another list, "failure" when it has not.
 */

import { Build } from "../api/build";
import type { LiveSession } from "../live";
import { sentence } from "../ui/format";
import { changeWords, decode, encode } from "./change-code";
import type { Change } from "./change-code";

const all = new WeakMap<LiveSession, Changes>();

/** The changes of a page's live session. */
export function changesOf(live: LiveSession): Changes {
  const found = all.get(live) ?? new Changes(live);
  all.set(live, found);
  return found;
}

export class Changes extends EventTarget {
  readonly #live: LiveSession;
  readonly #lists = new Map<string, readonly Change[]>();
  /** What was last asked for and has no answer yet; the answer of a question before it does not count. */
  #asked: { readonly model: string; readonly list: readonly Change[] } | null = null;
  /** Whether the worker has been told of any list, and so may have to be told again. */
  #told = false;
  #open = false;
  #stories: Promise<string> | null = null;
  /** An address whose changes are for a model that is not open yet. */
  #waiting: string | null = null;
  failure = "";

  constructor(live: LiveSession) {
    super();
    this.#live = live;
    this.#open = live.isOpen;
    live.addEventListener("state", () => this.#follow());
    this.#tellPanels();
  }

  /** Those of the model that is open. */
  get list(): readonly Change[] {
    return this.#lists.get(this.#live.model) ?? [];
  }

  get on(): readonly Change[] {
    return this.list.filter(({ on }) => on);
  }

  /** Let these be the changes; where the worker refuses them, those before stay. */
  async put(list: readonly Change[]): Promise<boolean> {
    const { model } = this.#live;
    const asked = (this.#asked = { model, list });
    try {
      const text = list.some(({ how }) => how === "mean") ? await this.stories() : "";
      if (asked !== this.#asked) return false; // it must not come after what was asked later
      await this.#live.ask((engine, session) =>
        engine.lensChange.put(session, JSON.stringify(list), text),
      );
      this.#told = true;
      if (asked !== this.#asked) return true;
      this.#asked = null;
      if (model !== this.#live.model) return true;
      this.#lists.set(model, list);
      this.failure = "";
      this.#tell("change");
      return true;
    } catch (error) {
      if (asked !== this.#asked) return false;
      this.#asked = null;
      this.failure = sentence(error instanceof Error ? error.message : String(error));
      this.#tell("failure");
      return false;
    }
  }

  /** One more, in place of the same one where it is there. */
  async add(change: Change): Promise<boolean> {
    const same = (one: Change): boolean =>
      encode({ ...one, factor: 1, on: true, how: "zero" }) ===
      encode({ ...change, factor: 1, on: true, how: "zero" });
    return this.put([...this.list.filter((one) => !same(one)), change]);
  }

  /** The same with all of them on, or off. */
  async switchAll(on: boolean): Promise<boolean> {
    return this.put(this.list.map((one) => ({ ...one, on })));
  }

  /** Take the changes that an address says; with none there those that stand stay. */
  async read(fragment: string): Promise<void> {
    const values = new URLSearchParams(fragment.replace(/^#/, ""));
    const said = values.getAll("change");
    if (!said.length || said.join() === this.codes.join()) return;
    const [model, sha256] = [values.get("model"), values.get("sha256")];
    const meant = model && this.#live.files.meant(sha256 ? { model, sha256 } : { model });
    this.#waiting = meant && meant !== this.#live.model ? fragment : null;
    if (this.#waiting) return; // its model may be asked for first
    try {
      await this.put(said.map(decode));
    } catch (error) {
      this.failure = sentence(error instanceof Error ? error.message : String(error));
      this.#tell("failure");
    }
  }

  /** The list as a link has it. */
  get codes(): readonly string[] {
    return this.list.map(encode);
  }

  /** The texts that the site brings to measure on. */
  async stories(): Promise<string> {
    this.#stories ??= fetchStories();
    this.#stories.catch(() => (this.#stories = null)); // the network may come back
    return this.#stories;
  }

  /** Tell a new session's worker what stands; another model has another list. */
  #follow(): void {
    const { isOpen, model } = this.#live;
    const opened = isOpen && !this.#open;
    this.#open = isOpen;
    if (!opened) return;
    // A link may have asked while its model was on the way.
    const list = this.#asked?.model === model ? this.#asked.list : this.list;
    if (this.#told || list.length) void this.put(list);
    else this.#tell("change");
    if (this.#waiting) void this.read(this.#waiting);
  }

  /** Fill the places of other panels that say so; their button switches all of them off. */
  #tellPanels(): void {
    for (const place of document.querySelectorAll<HTMLElement>("[data-changes]")) {
      const words = place.querySelector<HTMLElement>("[data-changes-words]");
      const off = place.querySelector("button");
      off?.addEventListener("click", () => void this.switchAll(false));
      const show = (): void => {
        const { on, failure } = this;
        place.hidden = !on.length && !failure;
        if (off) off.hidden = !on.length;
        if (words) words.textContent = on.length ? said(on) : failure;
      };
      for (const type of ["change", "failure"]) this.addEventListener(type, show);
    }
  }

  #tell(type: "change" | "failure"): void {
    this.#live.changes = this.codes;
    this.dispatchEvent(new Event(type));
    if (type === "change") this.#live.dispatchEvent(new Event("changes"));
  }
}

/** Changes that are named; of more only their number is said. */
const NAMED = 2;

function said(on: readonly Change[]): string {
  const named = on.slice(0, NAMED).map(changeWords).join("; ");
  const more = on.length > NAMED ? `, and ${on.length - NAMED} more` : "";
  return `Changes inside the model: ${named}${more}.`;
}

async function fetchStories(): Promise<string> {
  const { sample } = await Build.read(new URL("../thimble.js", import.meta.url).href);
  if (!sample) throw new Error("this site has no texts to measure on: paste your own");
  const response = await fetch(sample.url).catch(() => null);
  if (response?.ok) return response.text();
  const status = response ? `the server answered ${response.status}` : "check the connection";
  throw new Error(`the texts could not be loaded: ${status}`);
}
