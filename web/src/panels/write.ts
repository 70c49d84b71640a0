/** The panel where the model writes: prompt, controls and the text. */

import type { LiveSession } from "../live";
import type { ProgressEvent, TextEvent } from "../live/events";
import { lastModel, rememberModel } from "../storage/last-model";
import type { SamplingOptions } from "../thimble";
import { lacksAdapter } from "../ui/adapter";
import { copy } from "../ui/clipboard";
import { byId } from "../ui/dom";
import { plural, sentence } from "../ui/format";
import { GREETING_TOKENS, greet } from "../ui/greeting";
import { isAddress, readLink, writeLink } from "../ui/link";
import { Manuscript } from "../ui/manuscript";
import { ShadeControls } from "../ui/shade";
import { tellSampler } from "../ui/sampler";
import { SettingControls } from "../ui/settings";
import type { Settings } from "../ui/settings";
import { ConstraintControl, showConstraint } from "../ui/constraint";
import { StatusBar } from "../ui/status-bar";

const button = (id: string): HTMLButtonElement => byId(id, HTMLButtonElement);

/** After these the model or its engine is not there, and loading it again may help. */
const LOST = ["LoadError", "StartError", "FormatError", "CrashError", "MemoryLimitError"];

/** What the list of models has for a model that is not in it. */
const OPEN_FILE = "open file…";
const OPEN_ADDRESS = "open address…";

class Write {
  readonly #root: HTMLElement;
  readonly #live: LiveSession;
  readonly #form = byId("desk", HTMLFormElement);
  readonly #prompt = byId("prompt", HTMLTextAreaElement);
  readonly #model = byId("model", HTMLSelectElement);
  readonly #settings = new SettingControls(this.#form, byId("digest", HTMLElement));
  readonly #constraint = new ConstraintControl();
  readonly #manuscript = new Manuscript();
  readonly #status: StatusBar;
  readonly #write = button("write");
  readonly #stop = button("stop");
  readonly #continue = button("continue");
  readonly #regenerate = button("regenerate");
  readonly #copyText = button("copy-text");
  readonly #copyLink = button("copy-link");
  readonly #again = button("again");
  readonly #notice = byId("notice", HTMLElement);
  readonly #words = byId("notice-words", HTMLElement);
  readonly #outcome = byId("outcome", HTMLElement);
  readonly #announce = byId("announce", HTMLElement);
  /** The model that nobody chose here: the site's own, or a link's. Somebody may choose before this. */
  #given: string | null = siteModel(this.#model);
  /** The model of the last visit, while it is on its way. */
  #last: string | null = null;
  /** What a link asked for and could not have. */
  #refused = "";

  constructor(root: HTMLElement, live: LiveSession) {
    this.#root = root;
    this.#live = live;
    this.#status = new StatusBar(live);
    live.addEventListener("state", () => this.#show());
    live.addEventListener("models", () => this.#offerFiles());
    live.addEventListener("text", (event) => this.#manuscript.add((event as TextEvent).text));
    live.addEventListener("progress", (event) =>
      this.#status.progress((event as ProgressEvent).progress),
    );
    live.draft = () => ({ prompt: this.#prompt.value, settings: this.#settings.read(), constraint: this.#constraint.read() });
    new ShadeControls(live, this.#manuscript);
    const latency = byId("latency", HTMLDetailsElement);
    const measure = async (): Promise<void> => {
      const { Latency } = await import("../ui/latency");
      new Latency(byId("latency-body", HTMLElement), live);
    };
    latency.addEventListener("toggle", () => void measure(), { once: true });
    this.#listen();
    this.#offerFiles();
    if (this.#restore() || !this.#chooseLast()) {
      greet(live, () => {
        const settings = { ...this.#settings.read(), max_tokens: GREETING_TOKENS };
        void live.write(this.#prompt.value, settings);
      });
    }
    void live.open(this.#model.value);
  }

  /** Take the model that the visitor chose last, where it is still here; whether it is. */
  #chooseLast(): boolean {
    const last = lastModel();
    const there = [...this.#model.options].some((option) => option.value === last);
    if (last === null || !there || this.#model.value !== siteModel(this.#model)) return false;
    if (last === this.#model.value) return false;
    this.#model.value = this.#last = last;
    this.#given = null;
    rememberModel(null); // until it is ready: one that ends the tab does not end every later visit
    return true;
  }

  /** Where the model of the last visit cannot be had, the site's own is there at least. */
  #insteadOfLast(): boolean {
    const last = this.#last;
    if (last === null || this.#live.state === "loading") return false;
    this.#last = null;
    if (this.#live.state !== "failed" || this.#live.model !== last) return false;
    this.#refused = `${last}, which you used last, did not open: ${sentence(this.#live.failure?.message ?? "")}`;
    this.#given = siteModel(this.#model);
    void this.#live.open(this.#given);
    return true;
  }

  #listen(): void {
    this.#form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.#begin();
    });
    this.#stop.addEventListener("click", () => void this.#live.stop());
    this.#continue.addEventListener("click", () => void this.#live.continue(this.#options));
    this.#regenerate.addEventListener("click", () => void this.#live.regenerate());
    this.#again.addEventListener("click", () => void this.#live.open(this.#model.value));
    this.#model.addEventListener("change", () => this.#choose());
    const settings = button("settings-toggle");
    settings.addEventListener("click", () => {
      const panel = byId("settings", HTMLElement);
      panel.hidden = !panel.hidden;
      settings.setAttribute("aria-expanded", String(!panel.hidden));
    });
    button("dice").addEventListener("click", () => this.#settings.roll());
    this.#copyText.addEventListener("click", () =>
      void this.#copy(this.#copyText, this.#whole()),
    );
    this.#copyLink.addEventListener("click", () => {
      void this.#copy(this.#copyLink, this.#link());
      if (this.#live.adapter) this.#outcome.textContent = lacksAdapter(this.#live);
    });
    addEventListener("hashchange", () => {
      if (!this.#restore()) return;
      if (this.#model.value === this.#live.model) this.#showOutcome();
      else void this.#live.open(this.#model.value);
    });
    addEventListener("keydown", (event) => {
      if (event.key === "Escape" && this.#live.state === "writing") void this.#live.stop();
      else if (this.#root.hidden) return;
      else if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) this.#begin();
      else return;
      event.preventDefault();
    });
  }

  /** Offer the visitor's own models beside the site's. */
  #offerFiles(): void {
    const own = byId("own-models", HTMLOptGroupElement);
    own.hidden = this.#live.files.size === 0;
    own.replaceChildren(...[...this.#live.files.keys()].map((name) => new Option(name, name)));
    this.#model.value = this.#live.model || this.#model.value;
  }

  /** Open the chosen model; the last entries of the list ask for a file or an address instead. */
  #choose(): void {
    const chosen = this.#model.value;
    if (chosen !== OPEN_FILE && chosen !== OPEN_ADDRESS) {
      this.#given = null;
      return void this.#live.open(chosen);
    }
    this.#model.value = this.#live.model;
    byId(chosen === OPEN_FILE ? "model-file" : "model-address", HTMLElement).click();
  }

  /** Write. What was written already, from just this, gets a new seed: else nothing would happen. */
  #begin(): void {
    const prompt = this.#prompt.value;
    const { model, changes } = this.#live;
    const request = { prompt, settings: this.#options, model, changes };
    if (equal(request, this.#live.writing?.request)) this.#settings.roll();
    void this.#live.write(prompt, this.#options);
  }

  get #options(): SamplingOptions {
    return { ...this.#settings.read(), ...this.#constraint.read() };
  }

  /** Show what the state allows; the visitor's focus goes along with Write and Stop. */
  #show(): void {
    if (this.#insteadOfLast()) return;
    const live = this.#live;
    const writing = live.state === "writing";
    const focused = document.activeElement;
    if (live.model) this.#model.value = live.model;
    if (live.state === "ready" && live.model !== this.#given) rememberModel(live.model);
    this.#write.disabled = false;
    this.#model.value = live.model; // another panel may have chosen it
    this.#write.hidden = writing;
    this.#stop.hidden = !writing;
    if (focused === this.#write && writing) this.#stop.focus();
    if (focused === this.#stop && !writing) this.#write.focus();
    this.#continue.disabled = !live.canContinue;
    this.#regenerate.disabled = !live.canRegenerate;
    this.#copyText.disabled = live.writing === null;
    this.#copyLink.disabled = false;
    this.#manuscript.show(live.writing, writing);
    this.#status.show();
    this.#showFailure();
    this.#showOutcome();
  }

  #showFailure(): void {
    const { state, failure } = this.#live;
    const failed = state === "failed" && failure !== null;
    this.#notice.hidden = !failed;
    this.#words.textContent = failed ? sentence(failure.message) : "";
    this.#again.hidden = !failed || !LOST.includes(failure.name);
  }

  #showOutcome(): void {
    const { state, writing } = this.#live;
    const tokens = plural(writing?.measures.tokens ?? 0, "token");
    let words = "";
    if (state === "stopped" && writing) words = `Stopped after ${tokens}.`;
    if (state === "finished" && writing?.finishReason === "stop") words = `The end, after ${tokens}.`;
    if (state === "finished" && writing?.finishReason === "length") {
      words = `${tokens}, and the text can continue.`;
    }
    if (state === "writing") this.#refused = "";
    this.#outcome.textContent = words || this.#refused;
    if (state === "writing") words = "Writing.";
    if (state === "ready") words = "The model is ready.";
    this.#announce.textContent = words;
  }

  /** Prompt and text as they stand on the page. */
  #whole(): string {
    const { writing } = this.#live;
    return writing ? writing.request.prompt + writing.text : "";
  }

  #link(): string {
    const { request } = this.#live.writing ?? {};
    const named = (model: string) => this.#live.files.reference(model);
    if (request) {
      const { prompt, model, changes } = request;
      const { grammar, ...settings } = request.settings;
      const constraint = typeof grammar === "object" ? grammar : null;
      return writeLink(prompt, named(model), settings as Settings, constraint, changes);
    }
    const { changes } = this.#live;
    const constraint = this.#constraint.read().grammar ?? null;
    return writeLink(this.#prompt.value, named(this.#model.value), this.#settings.read(), constraint, changes);
  }

  async #copy(pressed: HTMLButtonElement, text: string): Promise<void> {
    const words = (await copy(text)) ? "Copied" : "Copying is not allowed here";
    const before = pressed.dataset["words"] ?? pressed.textContent ?? "";
    pressed.dataset["words"] = before;
    pressed.textContent = words;
    this.#announce.textContent = words;
    setTimeout(() => (pressed.textContent = before), 1600);
  }

  /** Fill the form from a link; nothing is written until the visitor says so. */
  #restore(): boolean {
    const shared = readLink(location.hash);
    if (!shared) return false;
    if (shared.model !== undefined) this.#given = shared.model;
    if (shared.prompt !== undefined) this.#prompt.value = shared.prompt;
    const refused = this.#settings.restore(shared.settings);
    if (shared.constraint) showConstraint(shared.constraint);
    if (shared.model !== undefined) {
      const model = this.#live.files.meant({ ...shared, model: shared.model });
      const there = [...this.#model.options].some((option) => option.value === model);
      if (there) this.#model.value = this.#given = model;
      else if (!isAddress(model)) refused.push(`there is no model "${shared.model}"`);
    }
    this.#refused = refused.length ? `Parts of the link cannot be used: ${refused.join("; ")}.` : "";
    return true;
  }
}

/** The model that the site offers first. */
function siteModel(select: HTMLSelectElement): string {
  const [first, ...others] = select.options;
  return (others.find((option) => option.defaultSelected) ?? first)?.value ?? "";
}

function equal(a: object, b: object | undefined): boolean {
  return JSON.stringify(a) === JSON.stringify(b);
}

export function mount(root: HTMLElement, live: LiveSession): void {
  tellSampler(root, live);
  new Write(root, live);
}
