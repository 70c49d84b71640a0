/**
 * Models from outside: a file that is dropped or chosen, or one that a link names by its address
 * and SHA-256. Nothing is asked of another host before the visitor says so, and what was refused
 * leaves nothing behind.
 */

import { proxy } from "comlink";
import type { Arrival, ModelKeeper } from "../keep-model";
import type { LiveSession } from "../live";
import { byId } from "../ui/dom";
import { megabytes, sentence } from "../ui/format";
import { isAddress, readLink } from "../ui/link";
import { openKeeper } from "./keeper";
import { dropModel, nameFor } from "./models";
import type { KeptModel } from "./models";

/** A model that cannot run here is of no use to keep. */
const USELESS = ["FormatError", "UnsupportedError"];

const button = (id: string): HTMLButtonElement => byId(id, HTMLButtonElement);

interface Answer {
  readonly label: string;
  run(): void;
}

export class Incoming {
  readonly #live: LiveSession;
  readonly #site: ReadonlySet<string>;
  readonly #box = byId("incoming", HTMLElement);
  readonly #title = byId("incoming-title", HTMLElement);
  readonly #words = byId("incoming-words", HTMLElement);
  readonly #facts = byId("incoming-facts", HTMLElement);
  readonly #size = byId("incoming-size", HTMLElement);
  readonly #bar = byId("incoming-progress", HTMLProgressElement);
  readonly #go = button("incoming-go");
  readonly #close = button("incoming-close");
  /** Ends the job that is being done. */
  #end: () => void = () => undefined;
  #answers: { go: Answer | null; close: Answer } = {
    go: null,
    close: { label: "Close", run: () => this.#hide() },
  };

  constructor(live: LiveSession, site: readonly string[]) {
    this.#live = live;
    this.#site = new Set(site);
    this.#go.addEventListener("click", () => this.#answers.go?.run());
    this.#close.addEventListener("click", () => this.#answers.close.run());
    const input = byId("model-file", HTMLInputElement);
    input.addEventListener("change", () => {
      const [file] = input.files ?? [];
      input.value = "";
      if (file) void this.open(file);
    });
    this.#acceptDrops();
    addEventListener("hashchange", () => this.#readLink());
    this.#readLink();
  }

  /** Keep a file and open it. */
  async open(file: File): Promise<void> {
    const title = `Keeping ${file.name}`;
    this.#show(title, "It is read, checked and kept on this machine.", { close: this.#cancel() });
    try {
      const kept = await this.#work((keeper, report) => keeper.keepFile(file, report));
      await this.#use(kept);
    } catch (error) {
      await this.#openUnkept(file, error);
    }
  }

  /** What could not be kept is good for this visit, if it is a model at all. */
  async #openUnkept(file: File, error: unknown): Promise<void> {
    const reason = wordsOf(error);
    if (reason.includes("GGUF") || reason.includes("is empty")) return this.#fail(file.name, reason);
    const name = nameFor({ ...unknown, name: file.name.replace(/\.gguf$/i, "") }, this.#taken());
    this.#show(`${file.name} is not kept`, `${sentence(reason)} It can be used until this page is closed.`);
    await this.#live.openFile(file, name);
  }

  /** Ask the visitor about a model that a link names. */
  ask(url: URL, digest: string): void {
    const file = decodeURIComponent(url.pathname.split("/").at(-1) ?? "") || url.host;
    const fetchIt = (bytes: number | null): void => void this.#fetch(url, digest, bytes, file);
    const words =
      "A link names this model. Its host learns that somebody here fetches the file, and nothing " +
      "of what you write. It is used only if its SHA-256 is the link's.";
    this.#show(`Fetch ${file}?`, words, {
      go: { label: `Ask ${url.host} for its size`, run: () => void this.#measure(url, fetchIt) },
      close: { label: "Not now", run: () => this.#hide() },
    });
    byId("incoming-host", HTMLElement).textContent = url.host;
    byId("incoming-digest", HTMLElement).textContent = digest;
    this.#size.textContent = "not asked yet";
    this.#facts.hidden = false;
    this.#box.focus();
  }

  async #measure(url: URL, then: (bytes: number | null) => void): Promise<void> {
    this.#go.disabled = true;
    const bytes = await this.#work((keeper) => keeper.sizeOf(url.href)).catch(() => null);
    this.#go.disabled = false;
    this.#size.textContent = bytes === null ? "the host does not say" : `${megabytes(bytes)} MB`;
    this.#answers.go = { label: "Fetch it", run: () => then(bytes) };
    this.#label();
    this.#go.focus();
  }

  async #fetch(url: URL, digest: string, bytes: number | null, file: string): Promise<void> {
    this.#show(`Fetching ${file}`, `From ${url.host}.`, { close: this.#cancel() });
    try {
      const kept = await this.#work((keeper, report) =>
        keeper.keepAddress(url.href, digest, bytes, report),
      );
      await this.#use(kept);
    } catch (error) {
      this.#fail(file, wordsOf(error));
    }
  }

  /** Open a model that has just been kept; what the engine cannot run is not kept. */
  async #use(kept: KeptModel): Promise<void> {
    const live = this.#live;
    const before = live.model;
    const same = [...live.files].find(([, file]) => !(file instanceof Blob) && file.from === kept.from);
    const name = same?.[0] ?? nameFor(kept, this.#taken());
    this.#show(`${name} is kept`, "It is in the list of models, now and at your next visit.");
    await live.openFile(kept, name);
    const { state, failure } = live;
    if (state !== "failed" || !failure || !USELESS.includes(failure.name)) return;
    await dropModel(kept.from);
    live.forgetFile(name);
    this.#fail(kept.name, failure.message);
    if (before) await live.open(before);
  }

  #taken(): Set<string> {
    return new Set([...this.#site, ...this.#live.files.keys()]);
  }

  /** What a link says of a model, if it does: asked about, or refused with the reason. */
  #readLink(): void {
    const shared = readLink(location.hash);
    if (!shared?.model || !isAddress(shared.model)) return;
    const { model, sha256 = "" } = shared;
    if (this.#live.meant({ model, sha256 }) !== model) return; // it is here already
    const refuse = (why: string): void => this.#fail("The link's model", why);
    if (!URL.canParse(model)) return refuse(`${model} is no address`);
    const url = new URL(model);
    const isHere = ["localhost", "127.0.0.1"].includes(url.hostname);
    if (url.protocol !== "https:" && !(url.protocol === "http:" && isHere)) {
      return refuse(`its address begins with ${url.protocol}//; only https:// is fetched`);
    }
    if (!/^[0-9a-f]{64}$/i.test(sha256)) {
      return refuse(
        "it is named without its digest: “sha256=” with 64 hexadecimal digits has to follow the " +
          `address${sha256 && `, and ${sha256} is not that`}`,
      );
    }
    this.ask(url, sha256.toLowerCase());
  }

  /** Have something done in the frame that may do it, one job at a time. */
  async #work<Value>(
    job: (keeper: ModelKeeper, report: (arrival: Arrival) => void) => Promise<Value>,
  ): Promise<Value> {
    this.#end();
    let ended = false;
    this.#end = () => (ended = true);
    const { keeper, close } = await openKeeper();
    const end = (): void => {
      ended = true;
      close();
    };
    if (ended) {
      close();
      return new Promise(() => undefined); // nobody waits for it any more
    }
    this.#end = end;
    const report = proxy(({ bytes, total }: Arrival) => {
      if (ended) return;
      this.#bar.hidden = false;
      this.#bar.value = total ? bytes / total : 0;
      this.#words.textContent =
        `${megabytes(bytes)} ${total ? `of ${megabytes(total)} ` : ""}MB`;
    });
    try {
      return await job(keeper, report);
    } finally {
      end();
    }
  }

  /** An answer that ends the job: what has not been written whole is not there. */
  #cancel(): Answer {
    return {
      label: "Cancel",
      run: () => {
        this.#end();
        this.#hide();
      },
    };
  }

  #fail(what: string, why: string): void {
    this.#show(`${what} was not kept`, sentence(why));
    this.#box.classList.add("failed");
  }

  #show(title: string, words: string, answers: { go?: Answer; close?: Answer } = {}): void {
    this.#title.textContent = title;
    this.#words.textContent = words;
    this.#facts.hidden = true;
    this.#bar.hidden = true;
    this.#box.hidden = false;
    this.#box.classList.remove("failed");
    const close = answers.close ?? { label: "Close", run: () => this.#hide() };
    this.#answers = { go: answers.go ?? null, close };
    this.#label();
  }

  #label(): void {
    const { go, close } = this.#answers;
    this.#go.hidden = go === null;
    this.#go.textContent = go?.label ?? "";
    this.#close.textContent = close.label;
  }

  #hide(): void {
    this.#box.hidden = true;
  }

  /** A GGUF file may be dropped anywhere; every other file is left to whoever takes it. */
  #acceptDrops(): void {
    const hint = byId("drop-hint", HTMLElement);
    const isFile = (event: DragEvent): boolean =>
      [...(event.dataTransfer?.items ?? [])].some((item) => item.kind === "file");
    addEventListener("dragover", (event) => {
      if (!isFile(event)) return;
      event.preventDefault();
      hint.hidden = false;
    });
    for (const end of ["dragend", "drop"]) addEventListener(end, () => (hint.hidden = true), true);
    addEventListener("dragleave", (event) => {
      if (event.relatedTarget === null) hint.hidden = true;
    });
    const drop = (event: DragEvent): void => {
      const file = [...(event.dataTransfer?.files ?? [])].find(({ name }) => /\.gguf$/i.test(name));
      if (!file) return;
      event.preventDefault();
      event.stopPropagation();
      void this.open(file);
    };
    addEventListener("drop", drop, true);
    // Whatever nobody has taken must not make the browser leave the page.
    addEventListener("drop", (event) => {
      if (isFile(event)) event.preventDefault();
    });
  }
}

const unknown: Omit<KeptModel, "name"> = { from: "", bytes: 0, sha256: null, source: null };

function wordsOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
