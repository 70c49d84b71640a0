/** Two other ways to work together: one member drafts for another, one judges several texts. */

import type { Chosen, Drafted, EnsembleJob } from "../protocol/ensemble";
import type { SamplingOptions } from "../thimble";
import { byId } from "../ui/dom";
import { plural, rate, sentence } from "../ui/format";
import { natsToBits, percent } from "../ui/scale";
import type { Group } from "./group";
import { letter, short } from "./letters";

const button = (id: string): HTMLButtonElement => byId(id, HTMLButtonElement);
const choice = (id: string): HTMLSelectElement => byId(id, HTMLSelectElement);
const part = (id: string): HTMLElement => byId(id, HTMLElement);

/** What the panel writes from. */
export interface Desk {
  readonly prompt: string;
  readonly options: SamplingOptions;
}

export class Others {
  readonly #group: Group;
  readonly #desk: () => Desk;
  #abort: AbortController | null = null;

  constructor(group: Group, desk: () => Desk) {
    this.#group = group;
    this.#desk = desk;
    button("draft-start").addEventListener("click", () => void this.#draft());
    button("choose-start").addEventListener("click", () => void this.#choose());
    button("together-cancel").addEventListener("click", () => this.#abort?.abort());
    byId("together-form", HTMLFormElement).addEventListener("submit", (event) => event.preventDefault());
  }

  /** Other members are there: they are offered, and what was tried is of those before. */
  offer(): void {
    this.#abort?.abort();
    const options = (): HTMLOptionElement[] =>
      this.#group.members.map(({ title }, at) => new Option(`${letter(at)}, ${short(title)}`, String(at)));
    choice("draft-target").replaceChildren(...options());
    choice("draft-helper").replaceChildren(...options());
    choice("draft-helper").selectedIndex = 1;
    choice("choose-judge").replaceChildren(new Option("all together", ""), ...options());
    part("together-tried").hidden = true;
  }

  #draft(): Promise<void> {
    const [target, helper] = [choice("draft-target"), choice("draft-helper")].map(({ value }) => Number(value));
    return this.#working<Drafted>(
      (engine, ensemble, { prompt, options }) =>
        engine.ensemble.draft(ensemble, target ?? 0, helper ?? 0, prompt, JSON.stringify(options)),
      (found) => {
        part("together-words").textContent = tellDraft(found);
        part("together-texts").replaceChildren(textOf(found.text, ""));
      },
    );
  }

  #choose(): Promise<void> {
    const judge = choice("choose-judge").value;
    const { valueAsNumber } = byId("choose-count", HTMLInputElement);
    const count = Number.isNaN(valueAsNumber) ? 0 : Math.round(valueAsNumber);
    return this.#working<Chosen>(
      (engine, ensemble, { prompt, options }) => {
        const whose = judge === "" ? null : Number(judge);
        return engine.ensemble.choose(ensemble, whose, prompt, JSON.stringify(options), count);
      },
      (found) => {
        part("together-words").textContent = tellChoice(found);
        const texts = found.texts.map(([text, seed, nats]) => {
          const bits = nats === null ? "no text" : `${natsToBits(nats).toFixed(3)} bits per byte`;
          return textOf(text, `${bits}, seed ${seed}`);
        });
        part("together-texts").replaceChildren(...texts);
      },
    );
  }

  /** Do one of them to its end, or until it is cancelled; the focus goes along. */
  async #working<Result>(
    begin: (engine: Parameters<Parameters<Group["ask"]>[0]>[0], ensemble: number, desk: Desk) => Promise<EnsembleJob>,
    show: (found: Result) => void,
  ): Promise<void> {
    const { number } = this.#group;
    if (number === null || this.#abort) return;
    const abort = new AbortController();
    this.#abort = abort;
    const focused = document.activeElement;
    const progress = byId("together-progress", HTMLProgressElement);
    progress.value = 0;
    this.#allow(false);
    button("together-cancel").focus();
    let failure = "";
    try {
      const job = await this.#group.ask((engine) => begin(engine, number, this.#desk()));
      const found = await this.#group.follow<Result>(job, abort.signal, (share) => (progress.value = share));
      if (found) {
        show(found);
        part("together-tried").hidden = false;
      }
    } catch (error) {
      failure = sentence(error instanceof Error ? error.message : String(error));
    }
    part("together-notice").hidden = !failure;
    part("together-notice-words").textContent = failure;
    this.#abort = null;
    this.#allow(true);
    if (focused instanceof HTMLElement) focused.focus();
  }

  #allow(idle: boolean): void {
    part("together-bar").hidden = idle;
    button("draft-start").disabled = button("choose-start").disabled = !idle;
  }
}

function tellDraft({ tokens, same, seconds: [alone, drafted], acceptance, perRound }: Drafted): string {
  const accepted =
    acceptance === null ? "Nothing was drafted" : `${percent(acceptance)} of the drafted tokens were right`;
  const passes = perRound === null ? "" : `, ${perRound.toFixed(2)} tokens per pass`;
  const speed = (seconds: number): string => (seconds > 0 ? rate(tokens / seconds) : "–");
  const times = `${speed(drafted)} tokens a second, against ${speed(alone)} alone`;
  const equal = same ? `the same ${plural(tokens, "token")}` : "other tokens, which must not happen";
  return `${accepted}${passes}: ${equal}, ${times}.`;
}

function tellChoice({ texts, votes }: Chosen): string {
  const [most] = votes;
  const said = most ? ` ${most[1]} of ${texts.length} say “${most[0]}”.` : " No answer occurred twice.";
  return `${plural(texts.length, "text")}, the most likely first.${said}`;
}

function textOf(text: string, words: string): HTMLLIElement {
  const made = document.createElement("li");
  made.textContent = text.trim() || "(no text)";
  if (words) {
    const small = document.createElement("small");
    small.textContent = words;
    made.append(small);
  }
  return made;
}
