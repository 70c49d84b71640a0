/** The panel where a model is trained: text, size, curves, samples, and what is taken away. */

import type { LiveSession } from "../live";
import type { ModelSource } from "../protocol";
import type { TrainOrder } from "../protocol/train";
import { AdapterView } from "../train/adapter";
import { BeforeAfter } from "../train/before-after";
import { download } from "../train/files";
import { TrainingHost, complaint } from "../train/host";
import { Plan, duration } from "../train/plan";
import { ReceiptView } from "../train/receipt";
import { SampleView } from "../train/samples";
import { forgetTraining, savedTraining } from "../storage/training";
import { Texts } from "../train/texts";
import { Training } from "../train/training";
import { Tuning } from "../train/tune";
import { Verifier } from "../train/verify";
import { lineChart } from "../ui/chart";
import type { Chart } from "../ui/chart";
import { byId } from "../ui/dom";
import { count, rate, sentence } from "../ui/format";

const button = (id: string): HTMLButtonElement => byId(id, HTMLButtonElement);
const part = (id: string): HTMLElement => byId(id, HTMLElement);
const NONE = "–";

class Bench {
  readonly #live: LiveSession;
  readonly #host: TrainingHost;
  readonly #texts: Texts;
  readonly #plan: Plan;
  readonly #run: Training;
  readonly #verifier: Verifier;
  readonly #tuning: Tuning;
  readonly #adapter: AdapterView;
  readonly #comparison: BeforeAfter;
  readonly #samples = new SampleView();
  readonly #receipt = new ReceiptView();
  readonly #form = byId("train-form", HTMLFormElement);
  readonly #fields = byId("train-plan", HTMLFieldSetElement);
  readonly #start = button("train-start");
  readonly #stop = button("train-stop");
  readonly #continue = button("train-continue");
  readonly #use = button("train-use");
  readonly #download = button("train-download");
  readonly #type = byId("train-type", HTMLSelectElement);
  readonly #progress = byId("train-progress", HTMLProgressElement);
  #charts: { readonly loss: Chart; readonly heldout: Chart } | null = null;
  /** What went wrong before or after a run. */
  #complaint = "";
  /** The page's name of the model that the saved training began from. */
  #savedBase: string | undefined;

  constructor(live: LiveSession, host: TrainingHost) {
    this.#live = live;
    this.#host = host;
    this.#texts = new Texts(host.build, this.#form);
    this.#run = new Training(host);
    this.#tuning = new Tuning(live, host.build, this.#texts.lesson);
    this.#adapter = new AdapterView(live);
    this.#comparison = new BeforeAfter(host);
    const busy = (): boolean => this.#run.busy || this.#verifier.busy || this.#tuning.chosen;
    this.#plan = new Plan(host, this.#texts.lesson, busy);
    this.#verifier = new Verifier(host, this.#texts, () => this.#base(live.model), () => this.#show());
    this.#listen();
    void this.#prepare();
  }

  async #prepare(): Promise<void> {
    void this.#offerSaved();
    try {
      await this.#plan.start();
      this.#start.disabled = false;
    } catch (error) {
      this.#complain(error);
    }
  }

  #listen(): void {
    this.#form.addEventListener("submit", (event) => {
      event.preventDefault();
      void this.#begin();
    });
    this.#texts.addEventListener("change", () => {
      this.#plan.learn(this.#texts.lesson);
      this.#tuning.learn(this.#texts.lesson);
    });
    this.#tuning.addEventListener("change", () => this.#turn());
    if (this.#tuning.chosen) this.#turn(); // chosen before this script came
    this.#stop.addEventListener("click", () => this.#run.stop());
    this.#continue.addEventListener("click", () => this.#goOn(this.#run.info?.about.base));
    this.#run.addEventListener("state", () => this.#show());
    this.#run.addEventListener("news", () => this.#news());
    this.#use.addEventListener("click", () => void this.#useEverywhere());
    this.#download.addEventListener("click", () => void this.#takeAway());
    button("train-saved-continue").addEventListener("click", () => {
      this.#goOn(this.#savedBase);
    });
    button("train-saved-forget").addEventListener("click", () => {
      void forgetTraining().then(() => (part("train-saved").hidden = true));
    });
  }

  /** The visitor wants to begin with something else. */
  #turn(): void {
    const { chosen } = this.#tuning;
    if (chosen) this.#texts.choose("own");
    else this.#plan.refresh();
    this.#start.textContent = chosen ? "Fine-tune" : "Train";
  }

  /** Say that there is a training of an earlier visit. */
  async #offerSaved(): Promise<void> {
    const saved = await savedTraining();
    if (!saved || this.#run.state !== "idle") return;
    const { title, step, steps, parameters, at } = saved;
    this.#savedBase = saved.base;
    const when = new Date(at).toLocaleString("en", { dateStyle: "medium", timeStyle: "short" });
    const where = step < steps ? `stopped at step ${count(step)} of ${count(steps)}` : "finished";
    part("train-saved-words").textContent =
      `A training run is saved here: ${title}, ${count(parameters)} parameters, ${where} (${when}).`;
    button("train-saved-continue").textContent = step < steps ? "Go on" : "Open it";
    part("train-saved").hidden = false;
  }

  async #begin(): Promise<void> {
    const lesson = this.#texts.lesson;
    try {
      const text = await lesson.text();
      if (this.#tuning.chosen) return this.#order(this.#tuning.order(lesson, text));
      const { name, title, prompts, tokens } = lesson;
      this.#order({
        kind: "begin",
        recipe: this.#plan.recipe,
        text,
        sampling: JSON.stringify({ prompts, tokens }),
        about: { text: name, title, prompts },
      });
    } catch (error) {
      this.#complain(error);
    }
  }

  /** Go on with the run there is; one that began from a model needs that model's file. */
  #goOn(base: string | undefined): void {
    const source = base === undefined ? null : this.#base(base);
    if (base === undefined || source) return this.#order({ kind: "continue", base: source });
    this.#complain(new Error(`This training started from ${base}, which is not open: open it in Write.`));
  }

  #base(name: string): ModelSource | null {
    return this.#tuning.source(name);
  }

  #order(order: Exclude<TrainOrder, { kind: "verify" }>): void {
    this.#complaint = "";
    part("train-saved").hidden = true;
    this.#receipt.show(null);
    this.#run.begin(order);
    this.#news();
  }

  /** Show what the state allows; the visitor's focus goes along. */
  #show(): void {
    const { state, busy } = this.#run;
    const focused = document.activeElement;
    const verifying = this.#verifier.busy;
    this.#fields.disabled = busy;
    this.#start.hidden = busy;
    this.#start.disabled = verifying;
    this.#stop.hidden = !busy;
    this.#stop.disabled = state === "stopping";
    this.#continue.hidden = !this.#run.canContinue;
    this.#continue.disabled = verifying;
    this.#verifier.allow(!busy);
    if ((focused === this.#start || focused === this.#continue) && busy) this.#stop.focus();
    if (focused === this.#stop && !busy) (this.#continue.hidden ? this.#start : this.#continue).focus();
    part("train-takeaway").hidden = !this.#run.hasModel || this.#run.step === 0;
    this.#type.hidden = this.#isAdapter;
    this.#use.textContent = this.#isAdapter ? "Apply to the model" : "Use it in every panel";
    this.#download.textContent = this.#isAdapter ? "Download adapter" : "Download GGUF";
    const tuned = this.#run.hasModel && this.#run.step > 0 && this.#run.info?.base != null;
    this.#comparison.show(tuned ? this.#run.info : null, this.#run.history);
    if (!busy && this.#run.hasModel && this.#run.step > 0) void this.#fetchReceipt();
    if (!busy) this.#plan.refresh();
    this.#showFailure();
    this.#news();
    this.#showOutcome();
  }

  #showFailure(): void {
    const { state, failure } = this.#run;
    // What is said of this click is newer than how the last run ended.
    const words = this.#complaint || (state === "failed" && failure ? sentence(failure.message) : "");
    part("train-notice-words").textContent = words;
    part("train-notice").hidden = !words;
  }

  #showOutcome(): void {
    const { state, step, info, unsaved, history } = this.#run;
    let words = "";
    if (state === "starting") words = "Preparing.";
    if (state === "stopping") words = "Stopping after this step.";
    if (state === "stopped") words = `Stopped after ${count(step)} of ${count(info?.steps ?? 0)} steps.`;
    if (state === "finished") words = `Trained: ${count(step)} steps in ${duration(history.seconds)}.`;
    part("train-announce").textContent = words || (state === "running" ? "Training." : "");
    if (unsaved) words += ` It is not saved for your next visit: ${unsaved}.`;
    part("train-outcome").textContent = words.trim();
  }

  /** New numbers. */
  #news(): void {
    const { info, step, history, speed, secondsLeft, gradNorm, busy } = this.#run;
    const steps = info?.steps ?? 0;
    part("train-step").textContent = steps ? `${count(step)} / ${count(steps)}` : NONE;
    part("train-left").textContent = busy && secondsLeft !== null ? duration(secondsLeft) : NONE;
    part("train-speed").textContent = speed === null ? NONE : rate(speed);
    part("train-norm").textContent = gradNorm === null ? NONE : gradNorm.toFixed(2);
    this.#progress.value = steps ? step / steps : 0;
    this.#samples.update(history.samples);
    if (!info) return;
    this.#charts ??= drawCharts();
    const { loss, heldout } = this.#charts;
    loss.update(...columns(history.loss));
    heldout.update(...columns(history.heldout));
  }

  async #fetchReceipt(): Promise<void> {
    try {
      const facts = JSON.stringify({ machine: navigator.userAgent });
      const receipt = await this.#host.ask((engine) => engine.train.receipt(facts));
      if (!this.#run.busy) this.#receipt.show(receipt as Record<string, unknown>);
    } catch (error) {
      this.#complain(error);
    }
  }

  /** Whether the run learns an adapter, and not a model of its own. */
  get #isAdapter(): boolean {
    return Boolean(this.#run.info?.recipe["lora_rank"]);
  }

  /** Load the model beside the others, or put the adapter on its model: every panel has it then. */
  async #useEverywhere(): Promise<void> {
    await this.#working(this.#use, "Loading …", async () => {
      const { info, step } = this.#run;
      if (!info) return;
      if (this.#isAdapter) {
        if (info.about.base && info.about.base !== this.#live.model) {
          await this.#live.open(info.about.base);
        }
        await this.#adapter.put(info.about.title, await this.#export("f32"));
        part("train-outcome").textContent = "Every panel now uses it; adjust its strength below.";
        return;
      }
      const title = `${info.about.title}, ${count(step)} steps`;
      await this.#live.openFile(new File([await this.#export("q8_0")], `${fileName(info.about.title)}.gguf`), title);
      part("train-outcome").textContent = "Every panel now uses it.";
    });
  }

  async #takeAway(): Promise<void> {
    await this.#working(this.#download, "Writing …", async () => {
      const type = this.#isAdapter ? "f32" : this.#type.value;
      const bytes = await this.#export(type);
      const title = this.#run.info?.about.title ?? "model";
      const kind = this.#isAdapter ? "adapter" : type;
      download(`${fileName(title)}-${kind}.gguf`, [bytes], "application/octet-stream");
    });
  }

  async #export(type: string): Promise<Uint8Array<ArrayBuffer>> {
    return new Uint8Array(await this.#host.ask((engine) => engine.train.export(type)));
  }

  /** Do something that takes a moment; the button says so. */
  async #working(pressed: HTMLButtonElement, words: string, work: () => Promise<void>): Promise<void> {
    const before = pressed.textContent;
    pressed.textContent = words;
    pressed.disabled = true;
    try {
      await work();
    } catch (error) {
      this.#complain(error);
    } finally {
      pressed.textContent = before;
      pressed.disabled = false;
    }
  }

  #complain(error: unknown): void {
    this.#complaint = complaint(error);
    this.#showFailure();
  }
}

function drawCharts(): { loss: Chart; heldout: Chart } {
  part("train-curves").hidden = false;
  const x = { name: "step" };
  return {
    loss: lineChart(part("train-loss"), {
      title: "Loss", x, y: { name: "nats per token", digits: 2 }, series: ["training"],
      describe: (_steps, [values]) => latest(values ?? [], "nats per token"),
    }),
    heldout: lineChart(part("train-heldout"), {
      title: "Unseen text", x, y: { name: "bits per byte", digits: 2 }, series: ["held out"],
      describe: (_steps, [values]) => latest(values ?? [], "bits per byte"),
    }),
  };
}

function latest(values: readonly (number | null)[], unit: string): string {
  const [first, last] = [values[0], values.at(-1)];
  if (first == null || last == null) return "nothing yet";
  const way = values.length < 2 ? "" : `${first.toFixed(2)} to `;
  return `${way}${last.toFixed(2)} ${unit}`;
}

function columns(curve: readonly (readonly [number, number])[]): [number[], number[][]] {
  return [curve.map(([step]) => step), [curve.map(([, value]) => value)]];
}

/** A title as the name of a file. */
function fileName(title: string): string {
  return title.toLowerCase().replace(/\.\w+$/, "").replace(/[^a-z0-9]+/g, "-").replace(/^-|-$/g, "") || "model";
}

export function mount(_root: HTMLElement, live: LiveSession): void {
  TrainingHost.open().then(
    (host) => new Bench(live, host),
    (error: unknown) => {
      part("train-size-words").textContent = complaint(error);
    },
  );
}
