/**
 * The Lens panel: a text, its tokens, one of which is looked at, and views of what happens
 * there. It knows the text and the address; each view is a module of its own (lens/), fetched when it
 * is first shown.
 */

import { LensView } from "../lens/state";
import type { LensToken } from "../lens/state";
import type { LiveSession } from "../live";
import type { Writing } from "../live/writing";
import { lacksAdapter } from "../ui/adapter";
import { copy } from "../ui/clipboard";
import { byId } from "../ui/dom";
import { count, megabytes, milliseconds, sentence } from "../ui/format";
import { TokenView, quoted } from "../ui/tokens";
import type { Token, TokenEvent } from "../ui/tokens";

interface ViewModule {
  /** Bring the view's part of the page to life, once. */
  mount(root: HTMLElement, lens: LensView): void;
}

/** Every view, one line each; its tab and its part of the page are in templates/panels/lens.html. */
const VIEWS: Readonly<Record<string, () => Promise<ViewModule>>> = {
  attention: () => import("../lens/attention"),
  logits: () => import("../lens/logits"),
  parts: () => import("../lens/parts"),
  neurons: () => import("../lens/neurons"),
  nearest: () => import("../lens/nearest"),
  weights: () => import("../lens/weights"),
  change: () => import("../lens/change"),
  probes: () => import("../lens/probes"),
  tour: () => import("../lens/tour"),
};

const FIRST = "attention";
/** An address with this in the place of a position means the live session's text, where it stands. */
const HERE = "here";

const button = (id: string): HTMLButtonElement => byId(id, HTMLButtonElement);
const element = (id: string): HTMLElement => byId(id, HTMLElement);

class Lens {
  readonly #root: HTMLElement;
  readonly #live: LiveSession;
  readonly #lens: LensView;
  readonly #text = byId("lens-text", HTMLTextAreaElement);
  readonly #strip = new TokenView(element("lens-tokens"), {
    label: "The text's tokens: choose one to inspect", plain: true,
  });
  readonly #mounted = new Set<string>();
  /** What is looked into, of which model, so that nothing is computed twice. */
  #model = "";
  #begun = false;

  constructor(root: HTMLElement, live: LiveSession) {
    this.#root = root;
    this.#live = live;
    const said = new URLSearchParams(location.hash.slice(1));
    this.#lens = new LensView(live, known(said.get("view")) ?? FIRST);
    this.#listen();
    this.#listenToState();
    this.#appear();
  }

  #listen(): void {
    byId("lens-desk", HTMLFormElement).addEventListener("submit", (event) => {
      event.preventDefault();
      void this.#lens.open(this.#text.value);
    });
    this.#text.addEventListener("keydown", (event) => {
      if (event.key !== "Enter" || !(event.ctrlKey || event.metaKey)) return;
      event.preventDefault();
      void this.#lens.open(this.#text.value);
    });
    button("lens-live").addEventListener("click", () => this.#openLive());
    button("lens-share").addEventListener("click", () => void this.#share());
    button("lens-allow").addEventListener("click", () => this.#lens.allow());
    this.#strip.addEventListener("token", (event) => {
      this.#lens.position = (event as TokenEvent).index;
    });
    const tabs = element("lens-tabs");
    tabs.addEventListener("click", (event) => {
      const view = (event.target as HTMLElement).closest<HTMLElement>("[data-view]")?.dataset["view"];
      if (view) this.#lens.view = view;
    });
    tabs.addEventListener("keydown", (event) => this.#tabKey(event));
    addEventListener("hashchange", () => this.#appear());
    this.#live.addEventListener("state", () => this.#follow());
  }

  #listenToState(): void {
    const lens = this.#lens;
    lens.addEventListener("text", () => {
      this.#model = lens.text?.model ?? "";
      this.#text.value = lens.words;
      this.#showTokens();
      this.#remember();
    });
    lens.addEventListener("position", () => {
      this.#showPosition();
      this.#remember();
    });
    lens.addEventListener("place", () => this.#remember());
    lens.addEventListener("view", () => {
      this.#showView();
      this.#remember();
    });
    lens.addEventListener("state", () => this.#showState());
    lens.addEventListener("levels", () => this.#shade());
  }

  /** The arrow keys go from tab to tab, as anywhere. */
  #tabKey(event: KeyboardEvent): void {
    const tabs = this.#tabs();
    const at = tabs.findIndex((tab) => tab.dataset["view"] === this.#lens.view);
    const steps: Record<string, number> = { ArrowRight: at + 1, ArrowLeft: at - 1, Home: 0, End: -1 };
    const to = steps[event.key];
    if (to === undefined) return;
    event.preventDefault();
    const tab = tabs.at(to % tabs.length);
    this.#lens.view = tab?.dataset["view"] ?? FIRST;
    tab?.focus();
  }

  #tabs(): HTMLButtonElement[] {
    return [...element("lens-tabs").querySelectorAll<HTMLButtonElement>("[role=tab]:not([hidden])")];
  }

  /** The panel is shown, or the address says something else. */
  #appear(): void {
    if (this.#root.hidden && this.#begun) return;
    const said = new URLSearchParams(location.hash.slice(1));
    if (said.get("panel") !== "lens") return;
    this.#lens.view = known(said.get("view")) ?? this.#lens.view;
    this.#lens.read(said);
    this.#showView();
    const text = said.get("text");
    const at = said.get("at");
    if (at === HERE) this.#openLive(this.#live.selected);
    else if (text !== null && text !== this.#lens.words) void this.#lens.open(text, [], text, Number(at ?? -1));
    else if (!this.#begun && this.#live.writing) this.#openLive();
    else if (!this.#begun) void this.#lens.open(this.#text.value);
    else if (text !== null && at !== null) this.#lens.position = Number(at);
    this.#begun = true;
    this.#follow();
    this.#remember();
  }

  /** Another model may be there, and another text in Write. */
  #follow(): void {
    const { state, isOpen, model, writing } = this.#live;
    button("lens-go").disabled = !isOpen && state !== "loading";
    button("lens-live").disabled = writing === null || state === "writing";
    if (!this.#root.hidden && isOpen && this.#model && model !== this.#model) {
      this.#model = model;
      void this.#lens.refresh();
    }
  }

  /** Look into the text that all panels show: by its own tokens, where one of them was chosen. */
  #openLive(selected: number | null = null): void {
    const { writing } = this.#live;
    if (!writing) {
      void this.#lens.open(this.#text.value);
      return;
    }
    const ids = idsOf(writing);
    // A token was chosen where the one before it stands last.
    const at = selected === null ? -1 : selected - ids.length - 1;
    void this.#lens.open(writing.request.prompt, ids, writing.request.prompt + writing.text, at);
  }

  /** Show a view, and fetch it first where it is new. */
  #showView(): void {
    const { view } = this.#lens;
    for (const tab of this.#tabs()) {
      const chosen = tab.dataset["view"] === view;
      tab.setAttribute("aria-selected", String(chosen));
      tab.tabIndex = chosen ? 0 : -1;
      if (chosen) {
        const strip = element("lens-tabs");
        strip.scrollLeft = tab.offsetLeft - (strip.clientWidth - tab.offsetWidth) / 2;
      }
    }
    for (const part of this.#root.querySelectorAll<HTMLElement>("[role=tabpanel]")) {
      part.hidden = part.id !== `lens-${view}`;
    }
    this.#lens.levels = null;
    if (this.#mounted.has(view)) return;
    this.#mounted.add(view);
    void VIEWS[view]?.().then((module) => module.mount(element(`lens-${view}`), this.#lens));
  }

  #showTokens(): void {
    const tokens = this.#lens.text?.tokens ?? [];
    this.#strip.truncate(0);
    this.#strip.append(tokens.map((token) => tokenOf(token, 0)));
    const { layers = 0, heads = 0 } = this.#lens.text ?? {};
    element("lens-count").textContent = count(tokens.length);
    element("lens-size").textContent = `${count(layers)} × ${count(heads)}`;
    this.#showPosition();
  }

  #showPosition(): void {
    const { text, position } = this.#lens;
    this.#strip.current = text ? position : null;
    const token = text?.tokens[position];
    if (!token) return;
    const next = text?.tokens[position + 1];
    const after = next ? `; after it comes ${quoted(next.text)}` : "; it is the last one";
    element("lens-at-words").textContent = `Token ${position + 1}, ${quoted(token.text)}${after}.`;
  }

  /** Shade the text's tokens by what the view says of them. */
  #shade(): void {
    const { text, levels } = this.#lens;
    text?.tokens.forEach((token, at) => this.#strip.update(at, tokenOf(token, levels?.[at] ?? 0)));
  }

  #showState(): void {
    const { failure, asking, isWorking, took, text } = this.#lens;
    element("lens-notice").hidden = failure === null;
    element("lens-notice-words").textContent = failure ? sentence(failure.message) : "";
    element("lens-asking").hidden = asking === null;
    element("lens-view-parts").hidden = asking !== null;
    if (asking) {
      const time = asking.seconds === null ? "" : ` and takes about ${milliseconds(1000 * asking.seconds)}`;
      const words = `This is a large computation: it stores ${megabytes(asking.bytes)} MB of activations${time}.`;
      element("lens-asking-words").textContent = words;
    }
    element("lens-took").textContent = took === null ? "–" : milliseconds(took);
    const waits = !this.#live.isOpen && text === null;
    element("lens-outcome").textContent = waits ? "Waiting for the model." : isWorking ? "Computing." : "";
  }

  async #share(): Promise<void> {
    const copied = await copy(this.#lens.link);
    element("lens-outcome").textContent = copied
      ? `Link copied: it holds the text and the place, and goes nowhere by itself. ${lacksAdapter(this.#live)}`
      : "Copying is not allowed here.";
  }

  /** Keep the state in the address, so that going back leads here. */
  #remember(): void {
    // The visitor may have gone elsewhere just now, and the panels have not heard of it yet.
    const here = new URLSearchParams(location.hash.slice(1)).get("panel") === "lens";
    if (this.#root.hidden || !here) return;
    const fragment = `#${this.#lens.fragment.toString()}`;
    if (location.hash !== fragment) history.replaceState(null, "", fragment);
  }
}

function known(view: string | null): string | null {
  return view !== null && Object.hasOwn(VIEWS, view) ? view : null;
}

function tokenOf({ id, text }: LensToken, level: number): Token {
  return { id, text, level, logprob: null, entropy: null, top: [] };
}

/** The tokens that were written; a mark of the end that says nothing is none of them. */
function idsOf({ tokens, finishReason }: Writing): number[] {
  const ended = finishReason === "stop" && tokens.at(-1)?.text === "";
  return (ended ? tokens.slice(0, -1) : tokens).map(({ id }) => id);
}

export function mount(root: HTMLElement, live: LiveSession): void {
  new Lens(root, live);
}
