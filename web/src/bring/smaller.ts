/**
 * The live model with its matrices in another encoding: made by the engine, measured before and
 * after on a text, used or taken away. It is the part of "This machine" that quantize.html renders.
 */

import { proxy } from "comlink";
import type { LiveSession } from "../live";
import { offlineApp } from "../offline/app";
import { openKeeper } from "./keeper";
import { modelFile, nameFor } from "../storage/models";
import type { Encoding, QuantizeNews, QuantizedFile } from "../protocol/quantize";
import type { Thimble as Session } from "../thimble";
import { byId } from "../ui/dom";
import { sentence } from "../ui/format";
import { size } from "./estimate";

const button = (id: string): HTMLButtonElement => byId(`smaller-${id}`, HTMLButtonElement);
const part = (id: string): HTMLElement => byId(`smaller-${id}`, HTMLElement);

/** What most people are after: half the size of F16, next to no loss. */
const USUAL = "Q8_0";
const STEP_MS = 60;
/** What takes more than this share of the memory is no smaller: rows are padded there. */
const WORTH = 0.9;

interface Measured {
  readonly name: string;
  readonly bytes: number;
  readonly bitsPerByte: number;
}

class Smaller {
  readonly #live: LiveSession;
  readonly #type = byId("smaller-type", HTMLSelectElement);
  readonly #bar = byId("smaller-progress", HTMLProgressElement);
  #types: readonly Encoding[] = [];
  /** The model whose encodings are offered. */
  #offered = "";
  #busy = false;
  #stopped = false;
  #working: Promise<void> = Promise.resolve();
  #made: { name: string; file: Blob } | null = null;

  constructor(live: LiveSession) {
    this.#live = live;
    live.addEventListener("state", () => this.#follow());
    button("go").addEventListener("click", () => void (this.#working = this.#work()));
    button("cancel").addEventListener("click", () => {
      this.#stopped = true;
      live.ask((engine) => engine.quantize.stop()).catch(() => undefined);
      void live.insist(this.#working);
    });
    button("use").addEventListener("click", () => void this.#use());
    button("save").addEventListener("click", () => this.#save());
    live.ask((engine) => engine.quantize.types()).then(
      (types) => {
        this.#types = types;
        this.#follow();
      },
      () => undefined, // the panels say what is wrong with the engine
    );
    this.#follow();
  }

  /** Offer the encodings that make this model smaller. */
  #offer(): void {
    const { model, modelBytes: bytes, parameters } = this.#live;
    if (!this.#types.length || !parameters || model === this.#offered) return;
    this.#offered = model;
    const smaller = this.#types.filter(([, each]) => parameters * each < WORTH * bytes);
    const names = smaller.map(([name]) => name);
    const usual = names.includes(USUAL) ? USUAL : names.at(-1);
    this.#type.replaceChildren(...names.map((name) => new Option(name, name, false, name === usual)));
    part("none").hidden = names.length > 0;
  }

  #follow(): void {
    this.#offer();
    const { model, isOpen } = this.#live;
    part("model").textContent = model || "none yet";
    this.#type.disabled = this.#type.options.length === 0 || this.#busy;
    button("go").disabled = this.#type.disabled || !isOpen;
    button("go").hidden = this.#busy;
    button("cancel").hidden = !this.#busy;
  }

  async #work(): Promise<void> {
    this.#busy = true;
    this.#stopped = false;
    part("result").hidden = true;
    this.#follow();
    try {
      await this.#make(this.#live.model, this.#type.value);
    } catch (error) {
      if (this.#stopped) this.#end();
      else part("outcome").textContent = sentence(error instanceof Error ? error.message : String(error));
    }
    this.#busy = false;
    this.#bar.hidden = true;
    this.#follow();
  }

  async #make(model: string, encoding: string): Promise<void> {
    const text = byId("smaller-text", HTMLTextAreaElement).value;
    this.#tell(`Reading ${model}.`, 0);
    const source = await this.#source(model);
    this.#tell(`Writing it as ${encoding}.`, 0);
    const { file, warning } = await this.#quantized(model, source, encoding);
    if (!file) return this.#end();
    const name = `${model}-${encoding.toLowerCase()}`;
    this.#tell("Measuring both.", 1);
    const before = await this.#measure({ name: model, bytes: source.size }, text);
    const after = before && (await this.#measureFile(name, file, text));
    if (!before || !after) return this.#end();
    this.#made = { name, file };
    this.#show([before, after], warning);
  }

  #end(): void {
    part("outcome").textContent = "Cancelled. Nothing was created.";
  }

  #tell(words: string, share: number): void {
    part("outcome").textContent = words;
    this.#bar.hidden = false;
    this.#bar.value = share;
  }

  /** The file of a model of the visitor's own, or of the site's. */
  async #source(model: string): Promise<Blob> {
    const own = this.#live.files.get(model);
    if (own instanceof Blob) return own;
    const from = own?.from ?? offlineApp()?.build.model(model)?.url;
    if (!from) throw new Error(`the file of ${model} is not here`);
    return modelFile(from);
  }

  #quantized(model: string, source: Blob, encoding: string): Promise<QuantizedFile> {
    return this.#live.listen<QuantizedFile, QuantizeNews>(
      (engine, _session, port) => engine.quantize.run(model, source, encoding, port),
      ({ done, total }) => (this.#bar.value = total ? done / total : 0),
    );
  }

  /** Of the model that has just been made, in a session that ends with the measurement. */
  async #measureFile(name: string, file: Blob, text: string): Promise<Measured | null> {
    const { files } = this.#live;
    const hidden = `${name} (being measured)`;
    files.set(hidden, file);
    let session: Session | null = null;
    try {
      session = await this.#live.createSession(hidden, () => undefined);
      return await this.#measure({ name, bytes: file.size }, text, session);
    } finally {
      session?.destroy();
      files.delete(hidden);
    }
  }

  /** Bits per byte of a text, with the live session's model or another one's; null where stopped. */
  async #measure(
    of: Omit<Measured, "bitsPerByte">, text: string, session: Pick<Session, "ask"> = this.#live,
  ): Promise<Measured | null> {
    const { reading } = await session.ask((engine, id) => engine.read.begin(id, text, 0));
    try {
      for (;;) {
        const step = await session.ask((engine) => engine.read.step(reading, STEP_MS, 0, 0));
        if (this.#stopped) return null;
        if (step.done === step.total) return { ...of, bitsPerByte: step.nats / Math.LN2 / step.bytes };
      }
    } finally {
      await session.ask((engine) => engine.read.close(reading)).catch(() => undefined);
    }
  }

  #show(both: readonly Measured[], warning: string | null): void {
    const rows = both.map(({ name, bytes, bitsPerByte }) => {
      const row = document.createElement("tr");
      const head = document.createElement("th");
      head.scope = "row";
      head.textContent = name;
      const cells = [size(bytes), bitsPerByte.toFixed(4)].map((words) => {
        const cell = document.createElement("td");
        cell.textContent = words;
        return cell;
      });
      row.append(head, ...cells);
      return row;
    });
    part("rows").replaceChildren(...rows);
    part("warning").textContent = warning ? sentence(warning) : "";
    part("outcome").textContent = "Done. It exists only in this tab until you use or download it.";
    part("result").hidden = false;
  }

  /** Keep it, where there is room, and let every panel work with it. */
  async #use(): Promise<void> {
    const { name, file } = this.#made ?? {};
    if (!name || !file) return;
    const taken = new Set([...(offlineApp()?.build.models ?? []).map((model) => model.name), ...this.#live.files.keys()]);
    try {
      const { keeper, close } = await openKeeper();
      const { model: saved } = await keeper
        .saveFile(new File([file], `${name}.gguf`), proxy(() => undefined), null)
        .finally(close);
      const free = nameFor(saved, taken);
      await this.#live.openFile(saved, free);
      part("outcome").textContent = `${free} is saved, and chosen in Write.`;
    } catch (error) {
      const why = error instanceof Error ? error.message : String(error);
      await this.#live.openFile(file, name);
      part("outcome").textContent = `${sentence(why)} You can use it until you close this page.`;
    }
  }

  #save(): void {
    const { name, file } = this.#made ?? {};
    if (!name || !file) return;
    const link = document.createElement("a");
    link.href = URL.createObjectURL(file);
    link.download = `${name}.gguf`;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
  }
}

export function mountSmaller(live: LiveSession): void {
  new Smaller(live);
}
