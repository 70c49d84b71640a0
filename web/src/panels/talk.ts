/** The panel where one talks with the model: turns, edited, answered again, stopped. */

import { html, render } from "lit";
import { Attaching } from "../talk/attaching";
import { Conversation, isTooLong } from "../talk/conversation";
import { Follow } from "../talk/follow";
import { Keeper } from "../talk/keeper";
import { listenToKeys } from "../talk/keys";
import { TalkList } from "../talk/list";
import { wordsOf } from "../talk/record";
import { savedTalkers } from "../talk/saved";
import { Toolbox } from "../talk/toolbox";
import { TurnView } from "../talk/turn-view";
import type { LiveSession } from "../live";
import { offlineApp } from "../offline/app";
import type { TalkAbout } from "../protocol/talk";
import { copy } from "../ui/clipboard";
import { byId } from "../ui/dom";
import { count, megabytes, plural, rate, sentence } from "../ui/format";
import { TALK, readSettings } from "../ui/link";
import { SettingControls } from "../ui/settings";

const button = (id: string): HTMLButtonElement => byId(id, HTMLButtonElement);
const part = (id: string): HTMLElement => byId(id, HTMLElement);

class Talk {
  readonly #root: HTMLElement;
  readonly #live: LiveSession;
  readonly #talk: Conversation;
  readonly #text = byId("talk-text", HTMLTextAreaElement);
  readonly #system = byId("talk-system-text", HTMLTextAreaElement);
  readonly #send = button("talk-send");
  readonly #stop = button("talk-stop");
  readonly #settings: SettingControls;
  readonly #keeper: Keeper;
  readonly #list: TalkList;
  readonly #files: Attaching;
  readonly #turns: TurnView;
  readonly #tools: Toolbox;
  readonly #think = byId("talk-think", HTMLInputElement);
  readonly #follows = new Follow(part("talk-sheet"));
  #frame = 0;
  #about: TalkAbout | null = null;
  /** The model that `#about` is about. */
  #asked = "";
  /** Models without a template that the visitor talks with anyway. */
  readonly #anyway = new Set<string>();

  constructor(root: HTMLElement, live: LiveSession) {
    this.#root = root;
    this.#live = live;
    this.#talk = new Conversation(live);
    this.#settings = new SettingControls(part("talk-settings"), part("talk-digest"));
    const form = () => ({ system: this.#system.value, settings: this.#settings.read() });
    this.#keeper = new Keeper(this.#talk, form);
    this.#talk.keeps = () => this.#keeper.keeps;
    this.#list = new TalkList(this.#keeper, {
      id: () => this.#talk.id,
      words: () => wordsOf(this.#talk.tree.all),
      open: (id) => this.#open(id),
      leave: () => {
        this.#talk.clear();
        this.#talk.forget();
      },
    });
    this.#files = new Attaching(live, (error) => this.#fail(error));
    this.#tools = this.#talk.tools = new Toolbox(live, (error) => this.#fail(error));
    this.#tools.addEventListener("change", () => {
      if (this.#talk.busy) part("talk-outcome").textContent = this.#tools.waiting ? "The model asks to run the code above." : "Writing.";
      this.#show();
      this.#follows.keep();
    });
    this.#think.addEventListener("change", () => (this.#talk.thinks = this.#think.checked));
    const budget = byId("talk-budget", HTMLInputElement);
    budget.addEventListener("input", () => {
      this.#talk.budget = budget.value !== "" && budget.checkValidity() ? budget.valueAsNumber : null;
    });
    this.#turns = new TurnView(this.#talk, {
      mayTalk: () => this.#mayTalk,
      again: () => void this.#work(this.#talk.regenerate(this.#options())),
      goOn: () => void this.#work(this.#talk.continue(this.#options())),
      resend: (at, text) => void this.#work(this.#talk.resend(at, text, this.#options())),
      edit: (at) => this.#edit(at),
      copy: (text) => void this.#copy(text),
      waiting: () => this.#tools.waiting,
      allow: (allowed) => this.#tools.allow(allowed),
      draw: () => this.#show(),
    });
    this.#keeper.addEventListener("change", () => this.#show());
    this.#talk.addEventListener("change", () => this.#soon());
    live.addEventListener("state", () => this.#follow());
    addEventListener("hashchange", () => this.#restore());
    this.#listen();
    this.#restore();
    this.#follow();
    this.#show();
    if (this.#keeper.last) this.#open(this.#keeper.last).catch((error: unknown) => this.#fail(error));
  }

  /** Show a kept conversation, with the forms as they stood. */
  async #open(id: string): Promise<void> {
    if (this.#talk.busy) throw new Error("an answer is being written: stop it first");
    const { system, settings, damaged } = await this.#keeper.open(id);
    this.#fail(damaged ? new Error(`${plural(damaged, "message")} of it cannot be read: damaged on this machine`) : null);
    this.#system.value = this.#talk.system = system;
    this.#settings.take(settings);
    this.#turns.editing = null;
    part("talk-outcome").textContent = "";
    this.#show();
  }

  #listen(): void {
    byId("talk-form", HTMLFormElement).addEventListener("submit", (event) => {
      event.preventDefault();
      this.#say();
    });
    this.#text.addEventListener("keydown", (event) => {
      if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
      event.preventDefault();
      this.#say();
    });
    document.addEventListener("visibilitychange", () => {
      if (document.hidden) this.#talk.rest();
    });
    this.#text.addEventListener("input", () => {
      this.#prepare();
      this.#show();
    });
    this.#system.addEventListener("input", () => (this.#talk.system = this.#system.value));
    this.#stop.addEventListener("click", () => this.#talk.stop());
    this.#root.addEventListener("keydown", (event) => {
      if (event.key !== "Escape") return;
      if (this.#talk.busy) this.#talk.stop();
      else if (this.#turns.editing !== null) this.#edit(null);
    });
    for (const preset of this.#root.querySelectorAll<HTMLButtonElement>("[data-prompt]")) {
      preset.addEventListener("click", () => {
        this.#system.value = this.#talk.system = preset.dataset["prompt"] ?? "";
        this.#system.focus();
      });
    }
    listenToKeys(this.#root, this.#text, {
      begin: () => button("talk-new").click(),
      find: () => {
        if (part("talk-kept").hidden) button("talk-kept-toggle").click();
        else part("talk-search").focus();
      },
      edit: () => {
        const last = this.#talk.turns.findLastIndex(({ role }) => role === "user");
        if (last >= 0 && !this.#talk.busy) this.#edit(last);
      },
    });
    this.#unfold("talk-system", () => this.#system.focus());
    this.#unfold("talk-settings", () => undefined);
    this.#unfold("talk-kept", () => void this.#list.opened());
    button("talk-ask-yes").addEventListener("click", () => this.#want(true));
    button("talk-ask-no").addEventListener("click", () => this.#want(false));
    button("talk-with-load").addEventListener("click", () => void this.#live.open(this.#with));
    button("talk_dice").addEventListener("click", () => this.#settings.roll());
    button("talk-undo").addEventListener("click", () => {
      this.#talk.restore();
      this.#text.focus();
    });
    button("talk-new").addEventListener("click", () => {
      this.#fail(null);
      this.#talk.clear();
      this.#text.focus();
    });
    button("talk-plain-yes").addEventListener("click", () => {
      this.#anyway.add(this.#live.model);
      this.#show();
      this.#text.focus();
    });
    for (const get of part("talk-plain").querySelectorAll<HTMLButtonElement>(".talk-get")) {
      get.addEventListener("click", () => void this.#live.open(get.dataset["model"] ?? ""));
    }
    button("talk-open").addEventListener("click", () => byId("model-file", HTMLInputElement).click());
  }

  #want(wanted: boolean): void {
    void this.#keeper.want(wanted);
    this.#text.focus();
  }

  #unfold(id: string, opened: () => void): void {
    const toggle = button(`${id}-toggle`);
    toggle.addEventListener("click", () => {
      const field = part(id);
      field.hidden = !field.hidden;
      toggle.setAttribute("aria-expanded", String(!field.hidden));
      if (!field.hidden) opened();
    });
  }

  /** Take what an address says of these settings. */
  #restore(): void {
    const refused = this.#settings.restore(readSettings(new URLSearchParams(location.hash.slice(1)), TALK));
    if (refused.length) part("talk-outcome").textContent = `Parts of the link cannot be used: ${refused.join("; ")}.`;
    this.#follow();
  }

  #grow(): void {
    this.#show();
    this.#follows.keep();
  }

  /** Show once a frame while tokens come. */
  #soon(): void {
    cancelAnimationFrame(this.#frame);
    if (this.#talk.busy) this.#frame = requestAnimationFrame(() => this.#grow());
    else this.#grow();
  }

  /** Ask once about each model that is there while the panel is shown. */
  #follow(): void {
    const { model } = this.#live;
    if (this.#root.hidden || !this.#live.isOpen || this.#asked === model) return this.#show();
    this.#asked = model;
    this.#about = null;
    this.#talk.close(); // the model before makes room
    this.#live.ask((engine, session) => engine.talk.about(session)).then(
      (about) => {
        if (this.#asked !== model) return;
        this.#about = about;
        this.#recommend(about);
        part("talk-thinking").hidden = !about.thinking;
        this.#show();
        this.#prepare();
        if (!about.template) void this.#offerSaved();
      },
      (error: unknown) => {
        this.#asked = "";
        this.#fail(error);
      },
    );
  }

  /** Let the settings begin with what the model's file recommends. */
  #recommend({ sampling }: TalkAbout): void {
    this.#settings.suggest(sampling);
    const names = Object.keys(sampling);
    part("talk-recommended").hidden = names.length === 0;
    part("talk-recommended").textContent = `The model's file recommends: ${names.map((name) => `${name} ${sampling[name]}`).join(", ")}.`;
  }

  /** Offer the chat models that earlier visits have saved. */
  async #offerSaved(): Promise<void> {
    const found = await savedTalkers(this.#live);
    const open = (name: string) => (): void => void this.#live.open(name);
    render(
      found.map(({ name, bytes }) => html`<button type="button" @click=${open(name)}>Load ${name}, ${megabytes(bytes)} MB, saved here</button>`),
      part("talk-saved"),
    );
  }

  /** Its own, with the constraint that stands in Write. */
  #options() {
    return { ...this.#settings.read(), ...this.#live.draft().constraint };
  }

  get #mayTalk(): boolean {
    return this.#about !== null && (this.#about.template || this.#anyway.has(this.#asked));
  }

  get #hasMessage(): boolean {
    return this.#text.value.trim() !== "" || this.#files.any;
  }

  /** What is in the way of an answer is told when it is asked for. */
  #prepare(): void {
    if (this.#mayTalk) this.#talk.prepare().catch(() => undefined);
  }

  #say(): void {
    if (!this.#hasMessage || this.#talk.busy || !this.#mayTalk) return;
    const words = this.#text.value.trim();
    this.#text.value = "";
    const text = this.#files.with(words).trimEnd();
    void this.#work(this.#talk.send(text, this.#options()));
  }

  async #work(work: Promise<void>): Promise<void> {
    this.#fail(null);
    this.#turns.editing = null;
    this.#show();
    this.#follows.begin();
    const focused = document.activeElement;
    if (focused === this.#send) this.#stop.focus();
    part("talk-outcome").textContent = "Writing.";
    try {
      await work;
      part("talk-outcome").textContent = this.#outcome();
      this.#follows.keep();
    } catch (error) {
      part("talk-outcome").textContent = "";
      this.#fail(error);
    }
    if (document.activeElement === this.#stop || document.activeElement === document.body) this.#text.focus();
  }

  #outcome(): string {
    const last = this.#talk.turns.at(-1);
    if (last?.role !== "assistant") return "Stopped.";
    const tokens = plural(last.tokens, "token");
    if (last.finish === null) return `Stopped after ${tokens}.`;
    if (last.finish === "tool_calls") return "Stopped at a call of a tool.";
    const { counts } = this.#talk;
    if (last.finish === "length" && counts && counts.context >= counts.window) {
      return "The context is full: the answer ends here.";
    }
    return last.finish === "length" ? `Cut off at ${tokens}.` : `Answered with ${tokens}.`;
  }

  #fail(error: unknown): void {
    part("talk-notice").hidden = error === null;
    const words = error instanceof Error ? error.message : String(error ?? "");
    const advice = isTooLong(error) ? " Shorten your message." : "";
    part("talk-notice-words").textContent = words && sentence(words) + advice;
  }

  #edit(at: number | null): void {
    const before = this.#turns.editing;
    this.#turns.editing = at;
    this.#show();
    const turns = part("talk-turns");
    if (at !== null) turns.querySelector("textarea")?.focus();
    else if (before !== null) turns.children[before]?.querySelector("button")?.focus();
  }

  #show(): void {
    const { turns, busy, counts } = this.#talk;
    render(turns.map((turn, at) => this.#turns.show(turn, at)), part("talk-turns"));
    part("talk-empty").hidden = turns.length > 0;
    button("talk-undo").hidden = !this.#talk.canRestore || busy;
    this.#send.hidden = busy;
    this.#stop.hidden = !busy;
    this.#send.disabled = !this.#mayTalk || !this.#hasMessage;
    button("talk-new").disabled = busy || turns.length === 0;
    part("talk-context").textContent = counts ? `${count(counts.context)} / ${count(counts.window)}` : "–";
    part("talk-reused").textContent = counts ? count(counts.reused) : "–";
    part("talk-read").textContent = counts ? count(counts.read) : "–";
    part("talk-speed").textContent = counts?.speed ? rate(counts.speed) : "–";
    this.#showModel();
    this.#showKept();
  }

  /** The model that the conversation was with. */
  get #with(): string {
    return this.#talk.turns.findLast((turn) => turn.model !== undefined)?.model ?? "";
  }

  #showKept(): void {
    const { wanted, keeps, failure } = this.#keeper;
    const answered = this.#talk.turns.some(({ role }) => role === "assistant");
    part("talk-lede-kept").hidden = !keeps;
    part("talk-lede-tab").hidden = keeps;
    part("talk-ask").hidden = wanted !== null || !answered || this.#talk.busy;
    part("talk-unkept").hidden = failure === null || wanted !== true;
    part("talk-unkept-words").textContent = failure ? `This conversation is not kept: ${sentence(failure)}` : "";
    const { model, files } = this.#live;
    const other = this.#with;
    const isHere = files.has(other) || (offlineApp()?.build.models ?? []).some(({ name }) => name === other);
    part("talk-with").hidden = !other || !model || other === model || this.#talk.busy;
    part("talk-with-words").textContent = isHere ? `The last answer is by ${other}. ${model} would go on.`
      : `The last answer is by ${other}, which is not on this machine any more: ${model} would go on.`;
    button("talk-with-load").hidden = !isHere;
    button("talk-with-load").textContent = `Load ${other}`;
  }

  #showModel(): void {
    const { model } = this.#live;
    const about = this.#asked === model ? this.#about : null;
    const how = about?.template ? "its own chat template" : "a plain transcript";
    part("talk-model").textContent = about ? `${model} · ${how}` : `${model || "The model"} is loading`;
    part("talk-plain").hidden = about === null || about.template || this.#anyway.has(model);
    part("talk-plain-words").textContent =
      `${model} has no chat template: it was not trained for conversation, and will rather continue the ` +
      "text than answer. It can be given the conversation as a plain transcript, with lines that start " +
      "with “User:” and “Assistant:”. The GGUF file of a chat model has a template for " +
      "conversations.";
  }

  async #copy(text: string): Promise<void> {
    const done = await copy(text);
    part("talk-outcome").textContent = done ? "Copied." : "Copying is not allowed here.";
  }
}

export function mount(root: HTMLElement, live: LiveSession): void {
  new Talk(root, live);
}
