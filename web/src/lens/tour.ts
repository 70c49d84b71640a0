/**
 * The view “Tour”: experiments on the site's story model, each with a question first. What is asked
 * and what can be answered stands in templates/lens_tour.html; what comes out is measured when the
 * visitor has made a guess, by thimble/browser/lens_tour.py.
 */

import type { RemoteEngine } from "../protocol";
import type { TourFound } from "../protocol/lens-change";
import type { Thimble as Session } from "../thimble";
import { byId } from "../ui/dom";
import { PLAIN } from "./change-code";
import { changesOf } from "./changes";
import { Pane } from "./state";
import type { LensView } from "./state";
import { evidence, sentenceOf } from "./tour-found";
import { Work } from "./work";

/** The model that the words are about. */
const MODEL = "story";
/** Stories that the last step reads. */
const STORIES = 8;

const button = (id: string): HTMLButtonElement => byId(id, HTMLButtonElement);
const element = (id: string): HTMLElement => byId(id, HTMLElement);

class TourPane extends Pane {
  readonly #steps: readonly HTMLElement[];
  readonly #work = new Work("tour");
  readonly #text = element("tour-text");
  #at = 0;
  /** A session on the story model where the live one is on another. */
  #session: Promise<Session> | null = null;
  /** What came out so far, and what was guessed. */
  readonly #found = new Map<string, { readonly found: TourFound; readonly guess: number }>();

  constructor(root: HTMLElement, lens: LensView) {
    super(root, lens, "tour");
    this.#steps = [...root.querySelectorAll<HTMLElement>(".tour-step")];
    this.#steps.forEach((step) => {
      const run = step.querySelector<HTMLButtonElement>(".tour-run");
      const allow = (): void => {
        if (run) run.disabled = !choices(step).some(({ checked }) => checked);
      };
      step.addEventListener("change", allow);
      allow(); // something may have been chosen before the script came
      run?.addEventListener("click", () => void this.#run(step));
    });
    root.addEventListener("keydown", (event) => {
      if (event.key === "Enter" && event.target instanceof HTMLInputElement) event.preventDefault();
    });
    button("tour-back").addEventListener("click", () => this.#go(this.#at - 1));
    button("tour-next").addEventListener("click", () => this.#go(this.#at + 1));
    button("tour-keep").addEventListener("click", () => void this.#keep());
    this.#go(0);
  }

  protected show(): void {
    // The tour has a text of its own.
  }

  #go(at: number): void {
    this.#work.cancel();
    this.#at = Math.min(this.#steps.length - 1, Math.max(0, at));
    this.#steps.forEach((step, place) => (step.hidden = place !== this.#at));
    element("tour-place").textContent = `Experiment ${this.#at + 1} of ${this.#steps.length}`;
    button("tour-back").disabled = this.#at === 0;
    button("tour-next").disabled = this.#at === this.#steps.length - 1;
    this.#showFound();
  }

  get #name(): string {
    return this.#steps[this.#at]?.dataset["step"] ?? "";
  }

  async #run(step: HTMLElement): Promise<void> {
    const name = step.dataset["step"] ?? "";
    const guess = choices(step).findIndex(({ checked }) => checked);
    const { clean = "", corrupted = "", answer = "", against = "" } = this.#text.dataset;
    const question = JSON.stringify({ clean, corrupted, answer, against });
    element("tour-found").hidden = true;
    const found = await this.#work.run<TourFound>("Measuring.", this.#asker, async (engine, session) => {
      const text = name === "worth" ? await this.#stories() : "";
      return engine.lensChange.tour(session, name, question, text);
    });
    if (!found) return;
    this.#found.set(name, { found, guess });
    this.#showFound();
    if (name === this.#name) element("tour-verdict").focus();
  }

  /** Ask about the story model, whichever one the panels are on. */
  /** Its model is in the live session's worker, so whoever ends one ends both. */
  readonly #asker = {
    ask: <Value>(question: (engine: RemoteEngine, session: number) => Promise<Value>) => this.#ask(question),
    insist: (work: Promise<unknown>) => this.lens.live.insist(work),
  };

  async #ask<Value>(
    question: (engine: RemoteEngine, session: number) => Promise<Value>,
  ): Promise<Value> {
    const { live } = this.lens;
    if (live.model === MODEL) return live.ask(question);
    this.#session ??= live.createSession(MODEL, () => undefined);
    this.#session.catch(() => (this.#session = null));
    return (await this.#session).ask(question);
  }

  async #stories(): Promise<string> {
    const text = await changesOf(this.lens.live).stories();
    return text.split("\n").slice(0, STORIES).join("\n");
  }

  #showFound(): void {
    const step = this.#steps[this.#at];
    const known = this.#found.get(this.#name);
    element("tour-found").hidden = !known;
    button("tour-keep").hidden = !known || this.#name !== "off" || this.lens.live.model !== MODEL;
    for (const { parentElement: label } of step ? choices(step) : []) label?.classList.remove("right");
    if (!known || !step) return;
    const { found, guess } = known;
    const all = choices(step);
    const right = all.findIndex(({ dataset: { from, below } }) =>
      found.value >= Number(from) && found.value < Number(below),
    );
    all[right]?.parentElement?.classList.add("right");
    const words = (at: number): string => all[at]?.nextElementSibling?.textContent ?? "";
    element("tour-verdict").textContent =
      right === guess ? `Right: ${words(right)}.` : `Not “${words(guess)}”. The answer: ${words(right)}.`;
    element("tour-words").textContent = sentenceOf(this.#name, found, this.#text.dataset["answer"] ?? "");
    element("tour-evidence").replaceChildren(evidence(this.#name, found));
  }

  /** Take what was tried to the other panels. */
  async #keep(): Promise<void> {
    const known = this.#found.get("off");
    const [layer, head] = (known?.found["head"] ?? []) as number[];
    if (layer === undefined || head === undefined) return;
    await changesOf(this.lens.live).add({ ...PLAIN, layer, unit: head });
    const { clean = "" } = this.#text.dataset;
    location.hash = new URLSearchParams({ prompt: clean, change: `head:${layer}:${head}:zero` }).toString();
  }
}

function choices(step: HTMLElement): HTMLInputElement[] {
  return [...step.querySelectorAll<HTMLInputElement>("input[type=radio]")];
}

export function mount(root: HTMLElement, lens: LensView): void {
  new TourPane(root, lens);
}
