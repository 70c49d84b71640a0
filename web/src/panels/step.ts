/** The panel where the visitor steps: transport, the text as tokens, and how each one is drawn. */

import { Branches } from "../step/branches";
import { DrawTable } from "../step/draw";
import { readRun, saveText } from "../step/files";
import { Mirror } from "../step/settings";
import { Stepper } from "../step/stepper";
import type { StepToken } from "../step/stepper";
import { describe, Stops } from "../step/stops";
import type { LiveSession } from "../live";
import type { FinishReason } from "../protocol";
import type { RunEnd } from "../protocol/step";
import type { TokenChunk } from "../thimble";
import { byId } from "../ui/dom";
import { count, milliseconds, plural, sentence } from "../ui/format";
import { natsToBits } from "../ui/scale";
import { tellSampler } from "../ui/sampler";
import { AlternativeEvent, TokenEvent, TokenView, quoted, tokenOf } from "../ui/tokens";
import { spoken } from "../ui/token";
import type { Token, TokenAction } from "../ui/tokens";

const button = (id: string): HTMLButtonElement => byId(id, HTMLButtonElement);
const element = (id: string): HTMLElement => byId(id, HTMLElement);

const NONE = "–";
const LOADING = "The model is loading.";

class Step {
  readonly #root: HTMLElement;
  readonly #live: LiveSession;
  readonly #stepper: Stepper;
  readonly #mirror: Mirror;
  readonly #tokens: TokenView;
  readonly #draw: DrawTable;
  readonly #stops: Stops;
  readonly #branches: Branches;
  readonly #step = button("step-step");
  readonly #back = button("step-back");
  readonly #run = button("step-run");
  readonly #begin = button("step-begin");
  readonly #outcome = element("step-outcome");
  /** What the token view shows: the prompt's tokens, and after them the text's. */
  #given: readonly Token[] = [];
  #shown: TokenChunk[] = [];
  #looked = 0;

  constructor(root: HTMLElement, live: LiveSession) {
    this.#root = root;
    this.#live = live;
    this.#stepper = new Stepper(live);
    this.#mirror = new Mirror(root, (name) => this.#changed(name));
    this.#tokens = new TokenView(element("step-view"), {
      label: "The text as tokens", choosable: true,
      actions: (index, token) => (token.given ? [] : this.#actions(index - this.#given.length)),
    });
    this.#draw = new DrawTable({
      edit: (token, logit) =>
        void this.#stepper.move((a) => a.engine.step.edit(a.session, a.known, token, logit)),
      ban: (token) =>
        void this.#stepper.move((a) => a.engine.step.ban(a.session, a.known, token)),
      force: (token) =>
        void this.#stepper.move((a) => a.engine.step.force(a.session, a.known, token)),
      clear: (token) =>
        void this.#stepper.move((a) => a.engine.step.clear(a.session, a.known, token)),
    });
    this.#stops = new Stops(this.#stepper);
    this.#branches = new Branches(this.#stepper);
    tellSampler(root, live);
    this.#listen();
    this.#appear();
  }

  #listen(): void {
    this.#step.addEventListener("click", () => void this.#stepOnce());
    this.#back.addEventListener("click", () => void this.#stepBack());
    this.#run.addEventListener("click", () => void this.#runOrPause());
    this.#begin.addEventListener("click", () => void this.#stepper.begin());
    button("step-lens").addEventListener("click", lookInside);
    button("step-next").addEventListener("click", () => this.#live.select(null));
    this.#stepper.addEventListener("view", () => this.#show());
    this.#stepper.addEventListener("error", () => this.#show());
    this.#live.addEventListener("state", () => this.#appear());
    this.#live.addEventListener("select", () => void this.#look());
    this.#tokens.addEventListener("token", (event) => {
      const { index, token } = event as TokenEvent;
      this.#live.select(token.given ? null : index - this.#given.length);
    });
    this.#tokens.addEventListener("alternative", (event) => {
      const { index, alternative } = event as AlternativeEvent;
      void this.#branch(index - this.#given.length, alternative.id);
    });
    // Another panel may have written in the meantime.
    new MutationObserver(() => this.#appear()).observe(this.#root, { attributeFilter: ["hidden"] });
    addEventListener("keydown", (event) => this.#key(event));
    this.#listenForFiles();
  }

  #listenForFiles(): void {
    const input = byId("step-file", HTMLInputElement);
    button("step-save").addEventListener("click", () => void this.#save());
    button("step-open").addEventListener("click", () => input.click());
    input.addEventListener("change", () => {
      const [file] = input.files ?? [];
      if (file) void this.#open(file);
      input.value = ""; // the same file may be chosen again
    });
  }

  #key(event: KeyboardEvent): void {
    if (this.#root.hidden || event.ctrlKey || event.metaKey || event.altKey || event.shiftKey) return;
    if (event.key === "F10") void this.#stepOnce();
    else if (event.key === "F9") void this.#stepBack();
    else if (event.key === "F8" && !event.repeat) void this.#runOrPause();
    else return;
    event.preventDefault();
  }

  async #stepOnce(): Promise<void> {
    if (this.#step.disabled) return;
    this.#outcome.textContent = "";
    this.#live.select(null);
    const before = this.#shown.length;
    await this.#stepper.step();
    const last = this.#shown.at(-1);
    if (!last || this.#shown.length === before) return;
    element("step-announce").textContent = spoken(tokenOf(last));
    if (this.#stepper.view?.reason === "stop") this.#outcome.textContent = `The end${this.#because()}.`;
  }

  async #stepBack(): Promise<void> {
    if (this.#back.disabled) return;
    this.#outcome.textContent = "";
    this.#live.select(null);
    await this.#stepper.move((a) => a.engine.step.back(a.session, a.known));
  }

  async #runOrPause(): Promise<void> {
    if (this.#stepper.running) return this.#stepper.pause();
    if (this.#run.disabled) return;
    this.#outcome.textContent = "";
    this.#live.select(null);
    const before = this.#live.writing?.tokens.length ?? 0;
    const over = await this.#stepper.run();
    if (this.#stepper.error) return;
    const tokens = plural((this.#live.writing?.tokens.length ?? 0) - before, "token");
    this.#outcome.textContent = this.#ended(over, tokens);
  }

  /** Why a run is over, in words. */
  #ended(over: RunEnd | null, tokens: string): string {
    if (over === null) return `Paused after ${tokens}.`;
    if (over === "end") return `The end, after ${tokens}${this.#because()}.`;
    if (over === "context") return `The context is full, after ${tokens}.`;
    if (over === "limit") return `${tokens}, the length set in Write.`;
    const { view } = this.#stepper;
    const hit = view?.breakpoints.find(([number]) => number === view.hit);
    const next = view?.next;
    const text = quoted(next?.rows.find(([id]) => id === next.id)?.[1] ?? "");
    return `Stopped before ${text}: ${hit ? describe(hit) : "a breakpoint"}.`;
  }

  /** What ended the text. */
  #because(): string {
    const { stopped, whole } = this.#stepper.view ?? {};
    if (whole) return ": the constrained text is complete";
    return stopped == null ? ": the model ended the text" : `: it reached the stop string ${quoted(stopped)}`;
  }

  async #branch(index: number, token: number): Promise<void> {
    this.#outcome.textContent = "";
    this.#live.select(null);
    await this.#stepper.move((a) => a.engine.step.branch(a.session, a.known, index, token));
  }

  #actions(index: number): TokenAction[] {
    const before = (): void => {
      this.#tokens.close();
      this.#live.select(null);
      void this.#stepper.move((a) => a.engine.step.go(a.session, a.known, index));
    };
    const inside = (): void => {
      this.#live.select(index);
      lookInside();
    };
    return [{ label: "Go back to before this token", run: before }, { label: "Look inside here", run: inside }];
  }

  /** The visitor has changed the prompt or a setting. */
  #changed(name: string): void {
    if (name === "prompt" || !this.#stepper.view?.context) return;
    void this.#stepper.move((a) => a.engine.step.settings(a.session, a.known, a.options));
  }

  async #save(): Promise<void> {
    const text = await this.#stepper.ask((a) => a.engine.step.save(a.session));
    if (text === undefined) return;
    const { model = "model" } = this.#live;
    const name = model.replaceAll(/[^\w.-]+/g, "-");
    saveText(text, `${name}-${this.#shown.length}-tokens.run.json`);
    this.#outcome.textContent = "Run exported.";
  }

  async #open(file: File): Promise<void> {
    let content: string;
    try {
      content = await readRun(file);
    } catch (error) {
      this.#tell(error instanceof Error ? error : new Error(String(error)));
      return;
    }
    this.#outcome.textContent = "Replaying.";
    const view = await this.#stepper.replay(content);
    this.#outcome.textContent = "";
    if (!view) return;
    this.#mirror.write({ prompt: view.prompt[1], ...view.replay.params });
    this.#mirror.constrain(view.replay.constraint);
    const { done, total, mismatch } = view.replay;
    if (mismatch) {
      this.#tell(new Error(`the replay differs at step ${mismatch.step}: ${mismatch.words}`));
    } else if (done < total) {
      this.#outcome.textContent = `Stopped after ${count(done)} of ${plural(total, "step")}.`;
    } else {
      this.#outcome.textContent = `Replayed ${plural(total, "step")}: bit for bit the same.`;
    }
  }

  /** The panel is looked at, or something has changed elsewhere: be up to date. */
  #appear(): void {
    if (this.#root.hidden) return;
    this.#mirror.read();
    this.#show();
    const { view, isReady, isBusy, isStale, running } = this.#stepper;
    if (!isReady || isBusy || running) return;
    if (view === null) void this.#stepper.refresh();
    else if (isStale) void this.#stepper.move((a) => a.engine.step.settings(a.session, a.known, a.options));
  }

  #show(): void {
    if (this.#root.hidden) return;
    const { view, running, isReady, error, took } = this.#stepper;
    const { writing } = this.#live;
    const focused = document.activeElement;
    this.#showText();
    const tokens = this.#shown.length;
    const over = view?.reason != null;
    this.#step.disabled = !isReady || running || over;
    this.#back.disabled = !isReady || running || tokens === 0;
    this.#run.disabled = !isReady || (over && !running);
    if (focused === this.#step && over) this.#back.focus();
    if (focused === this.#back && tokens === 0) this.#step.focus();
    this.#run.textContent = running ? "Pause" : "Run";
    this.#begin.disabled = !isReady || running;
    button("step-lens").disabled = running || writing === null;
    button("step-save").disabled = running || writing === null || !view?.context;
    button("step-open").disabled = !isReady || running;
    element("step-tokens").textContent = view?.context ? count(view.context) : NONE;
    element("step-took").textContent = took === null ? NONE : milliseconds(took);
    this.#stops.show(view);
    this.#branches.show(view);
    if (this.#live.selected === null) this.#showNext();
    this.#tell(error);
    this.#showLoading();
  }

  /** While there is no model, that is all there is to say. */
  #showLoading(): void {
    const loading = this.#live.state === "loading";
    if (loading) this.#outcome.textContent = LOADING;
    else if (this.#outcome.textContent === LOADING) this.#outcome.textContent = "";
  }

  #showText(): void {
    const { writing, selected } = this.#live;
    const tokens = writing?.tokens ?? [];
    this.#showGiven(writing?.request.prompt ?? "");
    let same = 0;
    while (same < this.#shown.length && this.#shown[same] === tokens[same]) same += 1;
    this.#tokens.truncate(this.#given.length + same);
    this.#tokens.append(tokens.slice(same).map(asToken));
    this.#shown = [...tokens];
    this.#mark(selected);
    element("step-empty").hidden = writing !== null;
    element("step-view").hidden = writing === null;
  }

  /** The prompt as tokens where they are known, else as it was given. */
  #showGiven(prompt: string): void {
    const { given } = this.#stepper;
    this.#tokens.lead = given.length ? "" : prompt;
    if (given === this.#given) return;
    this.#tokens.truncate(0);
    this.#tokens.append(given);
    this.#given = given;
    this.#shown = [];
  }

  /** Mark the token that is looked at, or else the last one of the text. */
  #mark(selected: number | null): void {
    const last = this.#shown.length ? this.#shown.length - 1 : null;
    const at = selected ?? last;
    this.#tokens.current = at === null ? null : this.#given.length + at;
  }

  #showNext(): void {
    const { view, running } = this.#stepper;
    element("step-draw-title").textContent = view?.reason === "stop" ? "The text has ended" : "The next token";
    button("step-next").hidden = true;
    if (running) return; // it would only flicker
    this.#draw.show(view?.next ?? null, true, view?.forced ?? null, noneBecause(view?.reason));
    this.#showEntropy(view?.next?.entropy);
  }

  /** Show how the selected token came about. */
  async #look(): Promise<void> {
    const { selected } = this.#live;
    if (this.#root.hidden) return;
    this.#mark(selected);
    const turn = (this.#looked += 1);
    if (selected === null) {
      this.#showNext();
      return;
    }
    if (!this.#stepper.isReady || this.#stepper.running) return;
    const draw = await this.#stepper.ask((a) => a.engine.step.look(a.session, selected));
    if (turn !== this.#looked || !draw) return;
    const token = this.#shown[selected];
    element("step-draw-title").textContent = `Token ${selected + 1}, ${quoted(token?.text ?? "")}`;
    button("step-next").hidden = false;
    this.#draw.show(draw, false, null);
    this.#showEntropy(draw.entropy);
  }

  #showEntropy(nats: number | undefined): void {
    const words = nats === undefined ? NONE : `${natsToBits(nats).toFixed(2)} bits`;
    element("step-entropy").textContent = words;
  }

  #tell(error: Error | null): void {
    element("step-notice").hidden = error === null;
    element("step-notice-words").textContent = error ? sentence(error.message) : "";
  }
}

/** Open the same text where it stands, or at the token that is looked at, in the Lens panel. */
function lookInside(): void {
  location.hash = "#panel=lens&at=here";
}

/** Why there is no next token. */
function noneBecause(reason: FinishReason | null | undefined): string {
  if (reason === "stop") return "The text has ended. Step back or pick an alternative to branch.";
  if (reason === "length") return "The context is full.";
  return "How the next token is sampled will appear here.";
}

function asToken(chunk: TokenChunk): Token {
  const { note } = chunk as StepToken;
  return note ? { ...tokenOf(chunk), note } : tokenOf(chunk);
}

export function mount(root: HTMLElement, live: LiveSession): void {
  new Step(root, live);
}
