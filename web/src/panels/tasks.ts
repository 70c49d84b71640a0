/** The panel where examples become a task: made, measured, asked, taken away. */

import type { LiveSession } from "../live";
import type { ModelSource } from "../protocol";
import type { TaskOrder, TaskProgress } from "../protocol/tasks";
import { forgetTask, saveTask, savedTask, savedTaskState } from "../storage/task";
import type { SavedTask } from "../storage/task";
import { Examples } from "../tasks/examples";
import { TaskView } from "../tasks/view";
import { TrainingHost, complaint } from "../train/host";
import { duration } from "../train/plan";
import { sourceOf } from "../train/source";
import { byId } from "../ui/dom";
import { count, sentence } from "../ui/format";

/** Of work at a time; a single step may take longer. */
const SLICE_MS = 200;
/** From one saved copy to the next: with the longest step, a closed tab loses less than ten seconds. */
const KEEP_MS = 7_000;

const button = (id: string): HTMLButtonElement => byId(id, HTMLButtonElement);
const part = (id: string): HTMLElement => byId(id, HTMLElement);
const number = (id: string): number => byId(id, HTMLInputElement).valueAsNumber;

class Bench {
  readonly #live: LiveSession;
  readonly #host: TrainingHost;
  readonly #examples: Examples;
  readonly #view: TaskView;
  readonly #progress = byId("task-progress", HTMLProgressElement);
  #busy = false;
  #stopped = false;
  #saved: SavedTask | null = null;

  constructor(live: LiveSession, host: TrainingHost) {
    this.#live = live;
    this.#host = host;
    this.#examples = new Examples(host);
    this.#view = new TaskView(live, host, (words) => this.#complain(words));
    this.#examples.addEventListener("change", () => this.#show());
    this.#examples.addEventListener("task", (event) => {
      void this.#open((event as CustomEvent<string>).detail);
    });
    byId("task-form", HTMLFormElement).addEventListener("submit", (event) => {
      event.preventDefault();
      if (!this.#busy && this.#examples.found) void this.#make(this.#order(), this.#live.model, null);
    });
    button("task-stop").addEventListener("click", () => {
      this.#stopped = true;
      part("task-outcome").textContent = "Stopping.";
    });
    button("task-saved-continue").addEventListener("click", () => void this.#goOn());
    button("task-saved-forget").addEventListener("click", () => {
      void forgetTask().then(() => this.#offer(null));
    });
    this.#examples.start().catch((error: unknown) => this.#complain(complaint(error)));
    void savedTask().then((saved) => this.#offer(saved));
  }

  #order(): TaskOrder {
    const { name, text, chosen } = this.#examples;
    const [passes, rank, learning_rate] = ["task-passes", "task-rank", "task-rate"].map(number);
    return { name, text, chosen, options: { passes: passes ?? 6, rank: rank ?? 8, learning_rate: learning_rate ?? 0.004 } };
  }

  /** Say that a run of an earlier visit can go on. */
  #offer(saved: SavedTask | null): void {
    this.#saved = saved;
    part("task-saved").hidden = saved === null;
    if (!saved) return;
    part("task-saved-words").textContent =
      `A task was being made here: ${saved.order.name}, step ${count(saved.step)} of ${count(saved.steps)}.`;
  }

  async #goOn(): Promise<void> {
    const saved = this.#saved;
    if (!saved || this.#busy) return;
    try {
      const state = await savedTaskState();
      if (!state) throw new Error("Nothing of it is saved any more.");
      this.#examples.text = saved.order.text;
      await this.#make(saved.order, saved.base, state);
    } catch (error) {
      this.#complain(complaint(error));
    }
  }

  #base(name: string): ModelSource {
    const base = sourceOf(this.#live, this.#host.build, name);
    if (base) return base;
    throw new Error(name ? `This task is made of ${name}, which is not open: open it in Write.` : "No model is loaded yet: wait for it, or choose one in Write.");
  }

  /** Train, measure and show; what was there before stays where it cannot begin. */
  async #make(order: TaskOrder, name: string, state: Uint8Array | null): Promise<void> {
    this.#begin("Preparing.");
    try {
      const base = this.#base(name);
      await this.#check(name, order);
      let news = await this.#host.ask((engine) => engine.tasks.begin(base, order, state));
      this.#view.show(null);
      this.#offer(null);
      news = await this.#train(news, order, name);
      if (news.failed && news.history.length < 2) throw new Error(news.failed);
      if (this.#stopped && !news.done) {
        this.#offer(await savedTask());
        this.#end(`Stopped at step ${count(news.step)}.`);
        return;
      }
      await this.#measure(news);
      await forgetTask();
      if (news.failed) this.#complain(sentence(news.failed));
    } catch (error) {
      this.#end("");
      this.#complain(complaint(error));
    }
  }

  /** Refuse, before anything is fetched, a model that cannot learn. */
  async #check(name: string, order: TaskOrder): Promise<void> {
    if (name !== this.#live.model) return;
    const recipe = JSON.stringify({ lora_rank: order.options["rank"], context: 64, steps: 1 });
    const cost = await this.#live.ask((engine, session) => engine.adapter.cost(session, recipe));
    if (cost.refused) throw new Error(cost.refused);
  }

  async #train(begun: TaskProgress, order: TaskOrder, base: string): Promise<TaskProgress> {
    let news = begun;
    let keptAt = performance.now();
    while (!news.done && !news.failed && !this.#stopped) {
      news = await this.#host.ask((engine) => engine.tasks.train(SLICE_MS));
      const left = (news.seconds / Math.max(1, news.step)) * (news.steps - news.step);
      const bits = news.history.at(-1)?.[1];
      part("task-outcome").textContent =
        `Step ${count(news.step)} of ${count(news.steps)}, at most ${duration(left)} left` +
        (bits === undefined ? "." : `; ${bits.toFixed(3)} bits per byte of answers it checks.`);
      this.#progress.value = (0.8 * news.step) / news.steps;
      if (performance.now() - keptAt > KEEP_MS) {
        await this.#keep(news, order, base);
        keptAt = performance.now();
      }
    }
    if (this.#stopped) await this.#keep(news, order, base);
    return news;
  }

  /** Save where the run is; where nothing may be saved, it lasts as long as the tab. */
  async #keep({ step, steps }: TaskProgress, order: TaskOrder, base: string): Promise<void> {
    const state = await this.#host.ask((engine) => engine.tasks.checkpoint());
    await saveTask({ order, base, step, steps, at: Date.now() }, state).catch(() => undefined);
  }

  async #measure(trained: TaskProgress): Promise<void> {
    for (;;) {
      const { done, total, task } = await this.#host.ask((engine) => engine.tasks.measure(SLICE_MS));
      this.#progress.value = 0.8 + (0.2 * done) / total;
      part("task-outcome").textContent = `Measuring: ${count(done)} of ${count(total)} answers.`;
      if (!task) continue;
      this.#end(`Made in ${count(trained.step)} steps, ${duration(trained.seconds)}.`);
      this.#view.show(task, this.#examples.found?.shown[0]?.[0]);
      return;
    }
  }

  /** Take a task's file. */
  async #open(file: string): Promise<void> {
    if (this.#busy) return;
    this.#begin("Opening the task.");
    try {
      const base = this.#base(this.#live.model);
      const task = await this.#host.ask((engine) => engine.tasks.open(base, file));
      this.#end("");
      this.#view.show(task);
    } catch (error) {
      this.#end("");
      this.#complain(complaint(error));
    }
  }

  #begin(words: string): void {
    this.#busy = true;
    this.#stopped = false;
    this.#complain("");
    this.#progress.value = 0;
    part("task-outcome").textContent = words;
    this.#show();
    button("task-stop").focus();
  }

  #end(words: string): void {
    const focused = document.activeElement === button("task-stop");
    this.#busy = false;
    part("task-outcome").textContent = words;
    this.#show();
    if (focused) button("task-start").focus();
  }

  #show(): void {
    byId("task-plan", HTMLFieldSetElement).disabled = this.#busy;
    button("task-start").hidden = this.#busy;
    button("task-start").disabled = this.#examples.found === null;
    button("task-stop").hidden = !this.#busy;
    this.#progress.hidden = !this.#busy;
  }

  #complain(words: string): void {
    part("task-notice-words").textContent = words;
    part("task-notice").hidden = !words;
  }
}

export function mount(_root: HTMLElement, live: LiveSession): void {
  TrainingHost.open().then(
    (host) => new Bench(live, host),
    (error: unknown) => {
      part("task-notice-words").textContent = complaint(error);
      part("task-notice").hidden = false;
    },
  );
}
