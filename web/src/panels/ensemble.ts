/** The panel where several models write as one: members, weights, the text, the measurement. */

import { Group } from "../ensemble/group";
import { letter } from "../ensemble/letters";
import { Measuring } from "../ensemble/measure";
import { Others } from "../ensemble/others";
import { Members } from "../ensemble/members";
import type { Member } from "../ensemble/members";
import { METHODS, Distributions, whereOf } from "../ensemble/distributions";
import type { LiveSession } from "../live";
import type { EnsembleRow, Method } from "../protocol/ensemble";
import type { SamplingOptions } from "../thimble";
import { byId } from "../ui/dom";
import { count, plural, rate, sentence } from "../ui/format";
import { legend, percent } from "../ui/scale";
import { TokenView } from "../ui/tokens";
import type { Token, TokenEvent } from "../ui/tokens";

const button = (id: string): HTMLButtonElement => byId(id, HTMLButtonElement);
const part = (id: string): HTMLElement => byId(id, HTMLElement);
const NONE = "–";

class Panel {
  readonly #root: HTMLElement;
  readonly #live: LiveSession;
  readonly #group = new Group((work) => this.#live.insist(work));
  readonly #members: Members;
  readonly #distributions = new Distributions(this.#group);
  readonly #measuring: Measuring;
  readonly #others = new Others(this.#group, () => ({
    prompt: this.#prompt.value, options: this.#options,
  }));
  readonly #desk = byId("ensemble-desk", HTMLFormElement);
  readonly #method = byId("ensemble-method", HTMLSelectElement);
  readonly #prompt = byId("ensemble-prompt", HTMLTextAreaElement);
  readonly #write = button("ensemble-write");
  readonly #stop = button("ensemble-stop");
  readonly #continue = button("ensemble-continue");
  readonly #by = byId("ensemble-by", HTMLSelectElement);
  readonly #view: TokenView;
  #shown = 0;

  constructor(root: HTMLElement, live: LiveSession) {
    this.#root = root;
    this.#live = live;
    live.addEventListener("restart", () => {
      if (this.#group.number === null) return;
      this.#group.forget();
      this.#members.forget("The engine was restarted, and the members went with it: load them again.");
      this.#show();
    });
    this.#view = new TokenView(part("ensemble-view"), {
      label: "The text as tokens, each with its member",
    });
    this.#members = new Members(live, (members) => this.#make(members));
    this.#measuring = new Measuring(live, this.#group, this.#members);
    this.#listen();
    this.#shade();
  }

  #listen(): void {
    const group = this.#group;
    group.addEventListener("state", () => this.#show());
    group.addEventListener("rows", () => this.#showText());
    group.addEventListener("view", () => this.#showView());
    this.#measuring.dispatchFitted = () => this.#distributions.weights();
    this.#desk.addEventListener("submit", (event) => {
      event.preventDefault();
      void this.#begin();
    });
    this.#stop.addEventListener("click", () => void group.stop());
    this.#prompt.addEventListener("change", () => void this.#peek());
    this.#continue.addEventListener("click", () => void group.continue(this.#options));
    this.#method.addEventListener("change", () => void this.#choose(this.#method.value as Method));
    button("ensemble-reset").addEventListener("click", () => void this.#choose(group.method));
    button("ensemble-end").addEventListener("click", () => void group.look(null));
    this.#by.addEventListener("change", () => this.#shade());
    this.#view.addEventListener("token", (event) => void group.look((event as TokenEvent).index));
    part("ensemble-distributions").addEventListener("input", () => this.#measuring.outdate());
    this.#root.addEventListener("keydown", (event) => this.#key(event));
  }

  #key(event: KeyboardEvent): void {
    const inDesk = event.target instanceof Node && this.#desk.contains(event.target);
    if (event.key === "Escape" && this.#group.writing) void this.#group.stop();
    else if (inDesk && event.key === "Enter" && (event.ctrlKey || event.metaKey)) void this.#begin();
    else return;
    event.preventDefault();
  }

  async #make(members: readonly Member[]): Promise<void> {
    this.#measuring.outdate();
    await this.#group.make(members);
    const { refused, failure } = this.#group;
    if (refused.length) this.#members.refuse(refused);
    this.#members.fold(this.#group.members.map(({ title }) => title));
    if (failure) part("ensemble-loaded").textContent = sentence(failure.message);
    this.#method.value = this.#group.method;
    this.#distributions.build();
    this.#others.offer();
    this.#showText();
    this.#showView();
    await this.#group.peek(this.#prompt.value);
  }

  /** A method with its usual weights. */
  async #choose(method: Method): Promise<void> {
    this.#measuring.outdate();
    await this.#group.combine(method, null);
    this.#distributions.range();
  }

  get #options(): SamplingOptions {
    const number = (id: string): number | undefined => {
      const { valueAsNumber } = byId(id, HTMLInputElement);
      return Number.isNaN(valueAsNumber) ? undefined : valueAsNumber;
    };
    const [temperature, length] = [number("ensemble-temperature"), number("ensemble-length")];
    const seed = number("ensemble-seed");
    return {
      ...(temperature === undefined ? {} : { temperature }),
      ...(length === undefined ? {} : { max_tokens: length }),
      ...(seed === undefined ? {} : { seed }),
    };
  }

  /** Where nothing is written yet, show what would come after the prompt. */
  async #peek(): Promise<void> {
    if (!this.#group.writing && !this.#group.rows.length) await this.#group.peek(this.#prompt.value);
  }

  async #begin(): Promise<void> {
    part("ensemble-outcome").textContent = "";
    await this.#group.write(this.#prompt.value, this.#options);
  }

  #shade(): void {
    const surprise = this.#by.value === "surprise";
    part("ensemble-view").classList.toggle("by-member", !surprise);
    part("ensemble-legend").replaceChildren(...(surprise ? [legend("surprise")] : []));
  }

  /** Show what the state allows; the visitor's focus goes along with Write and Stop. */
  #show(): void {
    const { number, writing, info, failure, canContinue, method } = this.#group;
    const focused = document.activeElement;
    if (failure?.name === "CrashError") this.#members.forget(sentence(failure.message));
    this.#desk.hidden = number === null;
    this.#write.hidden = writing;
    this.#stop.hidden = !writing;
    if (focused === this.#write && writing) this.#stop.focus();
    if (focused === this.#stop && !writing) this.#write.focus();
    this.#continue.disabled = !canContinue;
    this.#method.value = method;
    part("ensemble-method-words").textContent = METHODS[method];
    part("ensemble-digest").textContent = info?.parameters ? `${count(info.parameters)} parameters` : "";
    part("ensemble-notice").hidden = failure === null;
    part("ensemble-notice-words").textContent = failure ? sentence(failure.message) : "";
    this.#measuring.refresh();
    this.#showOutcome();
  }

  #showOutcome(): void {
    const { writing, rows, finishReason, note, canContinue } = this.#group;
    let words = rows.length ? "" : note;
    const tokens = plural(rows.length, "token");
    if (writing) words = "Writing.";
    else if (finishReason === "stop") words = `The end, after ${tokens}.`;
    else if (rows.length && finishReason === null) words = `Stopped after ${tokens}.`;
    else if (rows.length) words = canContinue ? `${tokens}, and the text can continue.` : `The context is full, after ${tokens}.`;
    part("ensemble-outcome").textContent = words;
  }

  /** Bring the token view to the text: what both begin with stays. */
  #showText(): void {
    const { rows, prompt, context, info, speed, number } = this.#group;
    if (rows.length < this.#shown) {
      this.#view.truncate(0);
      this.#shown = 0;
    }
    this.#view.lead = rows.length ? prompt : "";
    this.#view.append(rows.slice(this.#shown).map((row) => this.#token(row)));
    this.#shown = rows.length;
    part("ensemble-empty").hidden = rows.length > 0;
    part("ensemble-tokens").textContent = rows.length ? count(rows.length) : NONE;
    part("ensemble-speed").textContent = speed === null ? NONE : rate(speed);
    const window = info?.contextWindow;
    part("ensemble-context").textContent = number === null || !window ? NONE : `${count(context)} / ${count(window)}`;
    if (this.#group.writing && this.#group.looked === null) this.#distributions.show(rows.at(-1)?.[1] ?? null);
  }

  #showView(): void {
    const { view, looked, rows } = this.#group;
    this.#view.current = looked;
    const row = looked === null ? null : rows[looked];
    this.#distributions.show(row?.[1] ?? null);
    part("ensemble-where").textContent = whereOf(view, looked, row?.[0] ?? null);
    button("ensemble-end").hidden = looked === null;
  }

  /** A token with the member that it came from, and what each of them gave it. */
  #token([text, id, logprob, entropy, best, source, said]: EnsembleRow): Token {
    const { members } = this.#group;
    return {
      text, id, logprob, entropy,
      top: best.map(([id, text, logprob]) => ({ id, text, logprob })),
      mark: letter(source),
      note: `from ${letter(source)}`,
      facts: members.map((_, at) => [`by ${letter(at)}`, percent(Math.exp(said[at] ?? -Infinity))] as const),
    };
  }
}

export function mount(root: HTMLElement, live: LiveSession): void {
  new Panel(root, live);
}
