/**
 * What is looked into, and where: the text's tokens, a position among them, a layer and a head of the
 * model, and the view that shows it. Every view of the panel follows this one state, which stands in
 * the address but for what the visitor has typed.
 *
 * It dispatches "text" (another text or another model, or the same with changes inside), "position",
 * "place" (another layer, head, neuron or matrix), "view" and "state" (it waits, works, or has failed) and "levels"
 * (the text's tokens are shaded otherwise).
 */

import type { LiveSession } from "../live";
import type { RemoteEngine } from "../protocol";
import type { LookCosts, LookInfo } from "../protocol/lens";

export interface LensToken {
  readonly id: number;
  /** May be empty: a mark that says nothing, or a part of a character. */
  readonly text: string;
}

/** The text that is looked into, and the sizes of the model that reads it. */
export interface LensText extends Omit<LookInfo, "tokens"> {
  readonly tokens: readonly LensToken[];
  readonly model: string;
}

/** Where in the model. `neuron` and `matrix` are of the views of these names. */
export interface Place {
  readonly layer: number;
  readonly head: number;
  readonly neuron: number;
  readonly matrix: string;
}

/** What a large model waits for: the visitor has seen what it costs, or has not. */
export interface Asking {
  readonly bytes: number;
  /** How many times a pass over the text. */
  readonly passes: number;
  /** Null until a pass over its first tokens has been measured. */
  readonly seconds: number | null;
}

/** Changes that hold texts. */
const TYPED = /^(steer|patch):/;
const START: Place = { layer: 0, head: 0, neuron: 0, matrix: "" };
/** Longer texts would make links that programs cut off. */
const LONGEST = 8000;

export class LensView extends EventTarget {
  readonly live: LiveSession;
  text: LensText | null = null;
  failure: Error | null = null;
  /** What the visitor is asked before it is computed. */
  asking: Asking | null = null;
  /** Milliseconds from the question to the answer of the last look at a view. */
  took: number | null = null;
  #levels: readonly number[] | null = null;
  /** What was asked for, as words. */
  words = "";
  /** The text that a link brought. */
  #linked: string | null = null;
  /** What the text was made from. */
  #prompt = "";
  #ids: readonly number[] = [];
  #position = 0;
  #place = START;
  #placed = false;
  #view: string;
  /** The model whose tokens the text was opened by, or is being opened by. */
  #reader = "";
  /** What is being opened, by `open`'s parameters. */
  #opening: Parameters<LensView["open"]> | null = null;
  #working = 0;
  /** What the visitor has let be computed of this text. */
  #allowed = new Set<string>();
  /** Of one pass. */
  #seconds: number | null = null;
  #wanted = "";

  constructor(live: LiveSession, view: string) {
    super();
    this.live = live;
    live.addEventListener("changes", () => void this.refresh());
    this.#view = view;
  }

  get isWorking(): boolean {
    return this.#working > 0;
  }

  /** The token that is looked at; what the model says there is about the next one. */
  get position(): number {
    return this.#position;
  }

  set position(position: number) {
    const last = (this.text?.tokens.length ?? 1) - 1;
    const at = Math.min(last, Math.max(0, Math.trunc(position) || 0));
    if (at === this.#position) return;
    this.#position = at;
    this.#tell("position");
  }

  /** Whether somebody has said which layer and head. */
  get isPlaced(): boolean {
    return this.#placed;
  }

  get place(): Place {
    return this.#place;
  }

  /** Look at another layer, head, neuron or matrix. */
  go(place: Partial<Place>): void {
    const next = this.#within({ ...this.#place, ...place });
    this.#placed ||= "head" in place;
    if (JSON.stringify(next) === JSON.stringify(this.#place)) return;
    this.#place = next;
    this.#tell("place");
  }

  get view(): string {
    return this.#view;
  }

  set view(view: string) {
    if (view === this.#view) return;
    this.#view = view;
    this.asking = null;
    this.#tell("view");
  }

  /** How strongly each token of the text is shaded by what the view says of it; null for not. */
  get levels(): readonly number[] | null {
    return this.#levels;
  }

  set levels(levels: readonly number[] | null) {
    if (levels === null && this.#levels === null) return;
    this.#levels = levels;
    this.#tell("levels");
  }

  /** Look into another text: a prompt, and the tokens that were written after it; at a position, or
   * so many from the end, -1 for the last. */
  async open(prompt: string, ids: readonly number[] = [], words = prompt, at = -1): Promise<void> {
    const opening = (this.#opening = [prompt, ids, words, at]);
    const before = this.text;
    const model = (this.#reader = this.live.model);
    const info = await this.ask(
      (engine, session) => engine.lens.begin(session, prompt, JSON.stringify(ids)),
      null,
    );
    if (!info) {
      if (opening === this.#opening) this.#opening = null;
      return;
    }
    if (before) void this.live.ask((engine) => engine.lens.close(before.look)).catch(() => undefined);
    if (opening !== this.#opening) return;
    this.#opening = null;
    const tokens = info.tokens.map(([text, id]) => ({ text, id }));
    this.text = { ...info, tokens, model };
    this.words = words;
    this.#prompt = prompt;
    this.#ids = ids;
    this.#allowed = new Set();
    this.#seconds = null;
    this.asking = this.#levels = null;
    const last = tokens.length - 1;
    this.#position = Math.min(last, Math.max(0, at < 0 ? last + 1 + at : at)) || 0;
    this.#place = this.#within(this.#place);
    this.#tell("text");
  }

  /** The same text once more, since what is inside the model has changed, or the model; or the one
   * that was asked for meanwhile. Another model has other tokens: it reads the text itself. */
  async refresh(): Promise<void> {
    const isSame = this.#reader === this.live.model;
    if (this.#opening) {
      const [prompt, ids = [], words = prompt, at] = this.#opening;
      const keeps = isSame || !ids.length;
      await (keeps ? this.open(prompt, ids, words, at) : this.open(words));
    } else if (this.text) {
      await (isSame
        ? this.open(this.#prompt, this.#ids, this.words, this.#position)
        : this.open(this.words));
    }
  }

  /** Ask the worker about a text, or to look into another one; null where it failed, which `failure`
   * then tells, unless another text or model has taken its place meanwhile. */
  async ask<Value>(
    question: (engine: RemoteEngine, session: number) => Promise<Value>,
    about: LensText | null = this.text,
  ): Promise<Value | null> {
    this.#working += 1;
    this.failure = null;
    this.#tell("state");
    const began = performance.now();
    try {
      return await this.live.ask(question);
    } catch (error) {
      const isOver = about !== null && (about !== this.text || about.model !== this.live.model);
      if (!isOver) this.failure = error instanceof Error ? error : new Error(String(error));
      return null;
    } finally {
      this.took = performance.now() - began;
      this.#working -= 1;
      this.#tell("state");
    }
  }

  /** Whether a view may be computed: where it is large, the visitor is asked, and "text" comes once
   * more when the answer is yes, which holds for this text. */
  permits(what: keyof LookCosts, times = 1): boolean {
    const { text } = this;
    if (!text) return false;
    const bytes = text.bytes[what] * times;
    const products = text.products[what];
    const [mostBytes, mostProducts] = text.most;
    if ((products < mostProducts && bytes < mostBytes) || this.#allowed.has(what)) {
      if (this.asking) this.#ask(null);
      return true;
    }
    this.#wanted = what;
    const passes = products / text.products.patterns;
    this.#ask({ bytes, passes, seconds: this.#seconds && passes * this.#seconds });
    if (this.#seconds === null) void this.#estimatePass(text);
    return false;
  }

  /** The visitor has said yes. */
  allow(): void {
    this.#allowed.add(this.#wanted);
    this.#ask(null);
    this.#tell("text");
  }

  /** An address that brings somebody else here: it says the text, too, and the model. */
  get link(): string {
    const values = this.fragment;
    values.delete("change");
    for (const change of this.live.changes) values.append("change", change);
    if (this.text && this.words && this.words.length <= LONGEST) values.set("text", this.words);
    const { files, model } = this.live;
    for (const [name, value] of Object.entries(files.reference(model))) values.set(name, value);
    return new URL(`#${values.toString()}`, location.href).href;
  }

  /** What the address says of this state: nothing that was typed, unless a link brought it. */
  get fragment(): URLSearchParams {
    const { layer, head, neuron, matrix } = this.#place;
    const values = new URLSearchParams({ panel: "lens", view: this.#view });
    if (this.text) {
      values.set("at", String(this.#position));
      values.set("layer", String(layer));
      values.set("head", String(head));
      if (neuron) values.set("neuron", String(neuron));
      if (matrix) values.set("matrix", matrix);
      if (this.words === this.#linked) values.set("text", this.words);
    }
    const hasTexts = this.live.changes.some((change) => TYPED.test(change));
    if (!hasTexts) for (const change of this.live.changes) values.append("change", change);
    return values;
  }

  /** Take the place that an address says, and remember its text as one that an address may say. */
  read(values: URLSearchParams): void {
    this.#linked = values.get("text") ?? this.#linked;
    const number = (name: string, otherwise: number): number => {
      const said = values.get(name);
      return said !== null && /^\d{1,7}$/.test(said) ? Number(said) : otherwise;
    };
    const { layer, head, neuron, matrix } = this.#place;
    this.go({
      layer: number("layer", layer), neuron: number("neuron", neuron),
      matrix: values.get("matrix") ?? matrix,
      ...(values.has("head") ? { head: number("head", head) } : {}),
    });
  }

  async #estimatePass(text: LensText): Promise<void> {
    const seconds = await this.ask((engine) => engine.lens.passSeconds(text.look));
    if (text !== this.text) return;
    this.#seconds = seconds;
    const { asking } = this;
    if (asking && seconds !== null) this.#ask({ ...asking, seconds: asking.passes * seconds });
  }

  #ask(asking: Asking | null): void {
    this.asking = asking;
    this.#tell("state");
  }

  /** A place that there is, in this model. */
  #within(place: Place): Place {
    if (!this.text) return place;
    const { layers, heads, hidden } = this.text;
    const inside = (value: number, count: number): number => Math.min(count - 1, Math.max(0, value));
    return {
      ...place,
      layer: inside(place.layer, layers), head: inside(place.head, heads),
      neuron: inside(place.neuron, hidden),
    };
  }

  #tell(type: string): void {
    this.dispatchEvent(new Event(type));
  }
}

/** One view: it is drawn while it is shown, and again when what it shows has changed. */
export abstract class Pane {
  protected readonly lens: LensView;
  protected readonly root: HTMLElement;
  readonly #id: string;

  protected constructor(root: HTMLElement, lens: LensView, id: string) {
    this.root = root;
    this.lens = lens;
    this.#id = id;
    for (const type of ["text", "position", "place", "view"]) {
      lens.addEventListener(type, () => this.follow());
    }
  }

  /** Whether the visitor sees it. */
  protected get isShown(): boolean {
    return this.lens.view === this.#id && this.lens.text !== null;
  }

  /** Draw what is asked for, where anybody sees it. */
  protected follow(): void {
    if (this.isShown && this.lens.text) void this.show(this.lens.text);
  }

  protected abstract show(text: LensText): Promise<void> | void;
}
