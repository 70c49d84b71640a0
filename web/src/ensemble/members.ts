/** Choosing members and bringing them into memory, one after the other. */

import type { LiveSession } from "../live";
import type { Thimble as Session } from "../thimble";
import { byId } from "../ui/dom";
import { plural } from "../ui/format";

/** A model in memory, held there by a session of its own. */
export interface Member {
  /** What the panels call the model. */
  readonly name: string;
  /** What people call it. */
  readonly title: string;
  readonly session: Session;
}

const FEWEST = 2;
const MOST = 8;

/** What a member's line says. */
type MemberState = "out" | "waiting" | "loading" | "in" | "failed";

export class Members {
  readonly #live: LiveSession;
  readonly #form = byId("ensemble-choice", HTMLFormElement);
  readonly #fields = byId("ensemble-members", HTMLFieldSetElement);
  readonly #list = byId("ensemble-picks", HTMLElement);
  readonly #load = byId("ensemble-load", HTMLButtonElement);
  readonly #cancel = byId("ensemble-cancel", HTMLButtonElement);
  readonly #words = byId("ensemble-loaded", HTMLElement);
  readonly #there = new Map<string, Member>();
  /** Those that the ensemble was made of last. */
  #used: readonly string[] = [];
  #abort: AbortController | null = null;
  /** What went wrong at the last load, in sentences. */
  #failures: string[] = [];

  readonly #use: (members: readonly Member[]) => Promise<void>;

  /** `use` makes the ensemble of the members that are there. */
  constructor(live: LiveSession, use: (members: readonly Member[]) => Promise<void>) {
    this.#live = live;
    this.#use = use;
    this.#form.addEventListener("submit", (event) => {
      event.preventDefault();
      if (!this.#load.disabled) void this.#bring();
    });
    this.#cancel.addEventListener("click", () => this.#abort?.abort());
    this.#list.addEventListener("change", () => this.#show());
    live.addEventListener("models", () => this.#offerFiles());
    this.#tellApart();
    this.#offerFiles();
    this.#chooseSome();
    this.#show();
  }

  /** Every model that the page has, by name and title. */
  get offered(): readonly (readonly [name: string, title: string])[] {
    return this.#lines().map((line) => [nameOf(line), titleOf(line)]);
  }

  /** Say why some of the members that came take no part. */
  refuse(refused: readonly (readonly [name: string, reason: string])[]): void {
    for (const [name] of refused) this.#stand(name, "failed", "Left out.");
    const words = refused.map(([name, reason]) => `“${this.#title(name)}” is left out: ${reason}.`);
    this.#tell([...this.#failures, ...words]);
  }

  /** Those of these titles are the ensemble: the choice folds up. */
  fold(titles: readonly string[]): void {
    const details = byId("ensemble-chosen", HTMLDetailsElement);
    const hadFocus = details.contains(document.activeElement);
    details.open = titles.length === 0;
    if (hadFocus && !details.open) details.querySelector("summary")?.focus();
    byId("ensemble-names", HTMLElement).textContent = titles.join(" · ");
  }

  /** Their worker is gone, and they with it. */
  forget(why: string): void {
    this.fold([]);
    this.#tell([why], "");
    for (const name of this.#there.keys()) this.#stand(name, "out");
    this.#there.clear();
    this.#used = [];
    this.#show();
  }

  /** Files may have one title: then their names tell them apart. */
  #tellApart(): void {
    const titles = this.#lines().map(titleOf);
    for (const line of this.#lines()) {
      const title = titleOf(line);
      const strong = line.querySelector("strong");
      const twice = titles.filter((other) => other === title).length > 1;
      if (strong && twice) strong.textContent = `${title} (${nameOf(line)})`;
    }
  }

  /** Where the site has none that are meant for it, the first two. */
  #chooseSome(): void {
    const boxes = this.#boxes();
    if (boxes.some((box) => box.checked)) return;
    for (const box of boxes.slice(0, FEWEST)) box.checked = true;
  }

  /** Offer the visitor's own models below the site's. */
  #offerFiles(): void {
    const template = byId("ensemble-pick", HTMLTemplateElement);
    const listed = this.#lines().map(nameOf);
    for (const name of this.#live.files.keys()) {
      if (listed.includes(name)) continue;
      const line = template.content.firstElementChild?.cloneNode(true) as HTMLElement;
      line.dataset["model"] = name;
      line.dataset["own"] = "";
      (line.querySelector("input") as HTMLInputElement).value = name;
      (line.querySelector("strong") as HTMLElement).textContent = name;
      line.querySelector("progress")?.setAttribute("aria-label", `Loading ${name}`);
      this.#list.append(line);
    }
    for (const line of this.#lines()) {
      const gone = "own" in line.dataset && !this.#live.files.has(nameOf(line));
      if (gone && !this.#there.has(nameOf(line))) line.remove();
    }
    this.#show();
  }

  get #chosen(): string[] {
    return this.#boxes().filter((box) => box.checked).map((box) => box.value);
  }

  /** Load what is chosen and not there, let go of what is there and not chosen. */
  async #bring(): Promise<void> {
    const abort = new AbortController();
    this.#abort = abort;
    const chosen = this.#chosen;
    this.#failures = [];
    this.#tell([]);
    this.#show();
    for (const name of chosen) if (!this.#there.has(name)) this.#stand(name, "waiting");
    for (const name of chosen) {
      if (abort.signal.aborted) break;
      const failure = this.#there.has(name) ? null : await this.#bringOne(name, abort.signal);
      if (failure !== null) this.#failures.push(`“${this.#title(name)}” did not load: ${failure}.`);
    }
    for (const name of chosen) if (!this.#there.has(name)) this.#standOut(name);
    this.#tell(this.#failures);
    try {
      await this.#release(chosen);
    } finally {
      this.#abort = null;
      this.#show();
    }
  }

  /** Load one; the reason where it does not come. */
  async #bringOne(name: string, signal: AbortSignal): Promise<string | null> {
    const bar = this.#line(name)?.querySelector("progress");
    this.#stand(name, "loading");
    try {
      const hear = ({ loaded }: { loaded: number }): void => {
        if (bar) bar.value = loaded;
      };
      const session = await this.#live.createSession(name, hear, signal);
      this.#there.set(name, { name, title: this.#title(name), session });
      this.#stand(name, "in");
      return null;
    } catch (error) {
      if (signal.aborted) return null;
      const words = (error instanceof Error ? error.message : String(error)).replace(/\.$/, "");
      this.#stand(name, "failed", "Did not load.");
      return words;
    }
  }

  /** Those that wait no longer. */
  #standOut(name: string): void {
    if (this.#line(name)?.dataset["state"] !== "failed") this.#stand(name, "out");
  }

  /** Make the ensemble of those that are there; the others' memory is given back after that. */
  async #release(chosen: readonly string[]): Promise<void> {
    const members = chosen.flatMap((name) => this.#there.get(name) ?? []);
    const others = [...this.#there.values()].filter(({ name }) => !chosen.includes(name));
    this.#used = members.map(({ name }) => name);
    await this.#use(members);
    for (const { name, session } of others) {
      session.destroy();
      this.#there.delete(name);
      this.#stand(name, "out");
    }
  }

  #show(): void {
    const loading = this.#abort !== null;
    const focused = document.activeElement;
    const chosen = this.#chosen;
    const missing = chosen.filter((name) => !this.#there.has(name)).length;
    const same = missing === 0 && chosen.join("\n") === this.#used.join("\n");
    this.#fields.disabled = loading;
    this.#load.hidden = loading;
    this.#cancel.hidden = !loading;
    if (focused === this.#load && loading) this.#cancel.focus();
    if (focused === this.#cancel && !loading) this.#load.focus();
    this.#load.disabled = same || chosen.length < FEWEST || chosen.length > MOST;
    this.#load.textContent = missing === 0 ? "Use these" : `Load ${plural(missing, "model")}`;
    this.#words.textContent = loading ? "Loading." : sayChoice(chosen.length, same);
  }

  #stand(name: string, state: MemberState, failure = ""): void {
    const line = this.#line(name);
    const [bar, words] = [line?.querySelector("progress"), line?.querySelector<HTMLElement>(".pick-state")];
    if (!line || !bar || !words) return;
    line.dataset["state"] = state;
    bar.hidden = state !== "loading";
    if (state === "waiting") bar.value = 0;
    const said = { out: "", waiting: "Waiting.", loading: "", in: "In memory.", failed: failure };
    words.textContent = said[state];
    words.hidden = !said[state];
  }

  #tell(words: readonly string[], rest = " The others work."): void {
    byId("ensemble-refused", HTMLElement).hidden = words.length === 0;
    const told = words.length ? words.join("\n") + rest : "";
    byId("ensemble-refused-words", HTMLElement).textContent = told;
  }

  #lines(): HTMLElement[] {
    return [...this.#list.querySelectorAll<HTMLElement>(":scope > .pick")];
  }

  #line(name: string): HTMLElement | undefined {
    return this.#lines().find((line) => nameOf(line) === name);
  }

  #boxes(): HTMLInputElement[] {
    return [...this.#list.querySelectorAll<HTMLInputElement>(":scope > .pick input")];
  }

  #title(name: string): string {
    const line = this.#line(name);
    return line ? titleOf(line) : name;
  }
}

function nameOf(line: HTMLElement): string {
  return line.dataset["model"] ?? "";
}

function titleOf(line: HTMLElement): string {
  return line.querySelector("strong")?.textContent ?? nameOf(line);
}

function sayChoice(chosen: number, same: boolean): string {
  if (chosen < FEWEST) return "Choose at least two.";
  if (chosen > MOST) return `Choose at most ${MOST}.`;
  return same ? `${chosen} members.` : `${chosen} chosen.`;
}
