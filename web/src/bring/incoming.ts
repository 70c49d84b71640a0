/**
 * Models from outside: a file that is dropped or chosen, an address that the visitor writes, or one
 * that a link names with its SHA-256. Nothing is asked of another host before the visitor says so;
 * what a model takes and how fast it may be is said before it is loaded; and what was refused leaves
 * nothing behind.
 */

import { proxy, transfer } from "comlink";
import { addressOf, fileOf, nameOf, orderFiles, partsOf } from "./address";
import { IncomingBox } from "./box";
import { Coming } from "./coming";
import { examine, size, whyNot } from "./estimate";
import type { ResourceEstimate } from "./estimate";
import { join, joinFiles } from "./join";
import type { Part } from "./join";
import { keyOf } from "./download-key";
import type { Arrival, Brought, Look, ModelKeeper, Seen } from "../save-model";
import type { LiveSession } from "../live";
import { byId } from "../ui/dom";
import { sentence } from "../ui/format";
import { isAddress, readLink } from "../ui/link";
import { forgetUse } from "../storage/usage";
import { onWanted } from "./wanted";
import { openKeeper } from "./keeper";
import { dropModel, nameFor } from "../storage/models";
import type { SavedModel } from "../storage/models";
import { dropPartial, readPartial } from "../storage/partial";

/** A model that cannot run here is of no use to keep. */
const USELESS = ["FormatError", "UnsupportedError"];
/** Files up to here are loaded without a question where they fit: it takes a second or two. */
const SMALL = 64e6;
const DIGEST = /^[0-9a-f]{64}$/i;

type Report = (arrival: Arrival) => void;
/** Has a model saved, and handed to an engine through a port while it comes. */
type Keep = (keeper: ModelKeeper, report: Report, port: MessagePort | null) => Promise<Brought>;

/** A model at an address. */
interface There {
  readonly urls: readonly string[];
  readonly host: string;
  readonly file: string;
  /** Null where nobody said it. */
  readonly digest: string | null;
}

export class Incoming {
  readonly #live: LiveSession;
  readonly #site: ReadonlySet<string>;
  readonly #box = new IncomingBox();
  /** Ends the job that is being done. */
  #end: () => void = () => undefined;

  constructor(live: LiveSession, site: readonly string[]) {
    this.#live = live;
    this.#site = new Set(site);
    const input = byId("model-file", HTMLInputElement);
    input.addEventListener("change", () => {
      const files = [...(input.files ?? [])];
      input.value = "";
      if (files.length) void this.open(files);
    });
    byId("model-address", HTMLButtonElement).addEventListener("click", () => this.#askForAddress());
    onWanted(({ url, digest }) => this.#want(url, digest));
    this.#acceptDrops();
    live.addEventListener("state", () => this.#offerAgain(input));
    addEventListener("hashchange", () => this.#readLink());
    this.#readLink();
  }

  /** Look at a file, or all parts of one, and load it: large ones when the visitor says so. */
  async open(chosen: readonly File[]): Promise<void> {
    const file = chosen[0]?.name ?? "";
    this.#box.show(`Looking at ${file}`, "It is read on this machine and never leaves it.");
    try {
      const whole = await joinFiles(this.#live, orderFiles(chosen));
      const total = whole.size;
      if (total === 0) throw new Error(`${file} is empty`);
      const estimate = await examine(this.#live, async (bytes) => ({
        head: await whole.slice(0, bytes).arrayBuffer(), total,
      }));
      const load = (): void => void this.#saveFile(whole);
      if (total <= SMALL && whyNot(estimate) === null) return load();
      this.#askToLoad(file, "It is copied into this browser’s storage and loaded from there.", estimate, load);
      this.#box.facts({ host: "a file of yours", size: size(total), estimate });
    } catch (error) {
      this.#box.fail(file, wordsOf(error));
    }
  }

  async #saveFile(whole: File): Promise<void> {
    const file = whole.name;
    this.#box.show(`Saving ${file}`, "It is read, checked, loaded and saved on this machine.", { close: this.#cancel() });
    const about = { name: nameOf(file), bytes: whole.size, sha256: null };
    try {
      await this.#bring(about, (keeper, report, port) => keeper.saveFile(whole, report, port));
    } catch (error) {
      if (isUseless(error)) this.#box.fail(nameOf(file), wordsOf(error));
      else await this.#openUnsaved(whole, error);
    }
  }

  /** What could not be saved is good for this visit, if it is a model at all. */
  async #openUnsaved(whole: File, error: unknown): Promise<void> {
    const reason = wordsOf(error);
    const file = whole.name;
    if (reason.includes("GGUF") || reason.includes("is empty")) return this.#box.fail(file, reason);
    const name = nameFor({ ...unknown, name: file.replace(/\.gguf$/i, "") }, this.#taken());
    this.#box.show(`${file} is not saved`, `${sentence(reason)} You can use it until you close this page.`);
    await this.#live.openFile(whole, name);
  }

  /** Let the visitor write an address. */
  #askForAddress(): void {
    const words =
      "Its host learns that you fetch the file, and nothing of what you write. First " +
      "only its size and its first bytes are requested.";
    const go = { label: "Look at it", run: () => this.#takeAddress() };
    this.#box.show("A model from an address", words, { go, close: this.#box.closing("Cancel") });
    this.#box.form(go.run);
  }

  #takeAddress(): void {
    const { address, digest } = this.#box.written;
    try {
      const url = addressOf(address);
      if (digest && !DIGEST.test(digest)) {
        throw new Error(`${digest} is not a SHA-256, which has 64 hexadecimal digits`);
      }
      this.#want(url, digest ? digest.toLowerCase() : null);
    } catch (error) {
      this.#box.say(sentence(wordsOf(error)));
    }
  }

  /** The visitor wants what is at an address. */
  #want(url: URL, digest: string | null): void {
    const saved = [...this.#live.files].find(([, file]) => !(file instanceof Blob) && file.source === url.href);
    if (!saved) return void this.#look(there(url, digest));
    this.#box.show(`${saved[0]} is here already`, "It was fetched before.");
    void this.#live.open(saved[0]);
  }

  /** Ask the visitor about a model that a link names. */
  ask(url: URL, digest: string): void {
    const model = there(url, digest);
    const words =
      "A link names this model. Its host learns that you fetch the file, and nothing " +
      "of what you write. It is used only if its SHA-256 matches the link's.";
    this.#box.show(`Fetch ${model.file}?`, words, {
      go: { label: `Ask ${url.host} for its size`, run: () => void this.#look(model) },
      close: this.#box.closing("Not now"),
    });
    this.#box.facts({ host: url.host, size: "not known yet", digest });
    this.#box.focus();
  }

  /** Ask the host what it is, and the visitor whether to load it. */
  async #look(model: There): Promise<void> {
    const { urls, host, file, digest } = model;
    this.#box.show(`Looking at ${file}`, `${host} is asked for its size and first bytes.`, { close: this.#cancel() });
    try {
      const { seen, estimate, total } = await this.#see(urls);
      const before = (await readPartial(keyOf(urls)).catch(() => null))?.bytes ?? 0;
      const words = before ? `${size(before)} of it are already here from the last attempt.` : `From ${host}.`;
      this.#askToLoad(file, words, estimate, () => void this.#fetch(model, seen, total));
      this.#box.facts({ host, size: total ? size(total) : "unknown", digest, estimate });
    } catch (error) {
      this.#box.fail(file, wordsOf(error));
    }
  }

  /** The first bytes of what lies there, and what they say; of several parts as one. */
  async #see(urls: readonly string[]): Promise<{ seen: Seen; estimate: ResourceEstimate; total: number | null }> {
    const looks: Look[] = [];
    const look = async (at: number, bytes: number): Promise<Look> =>
      (looks[at] = await this.#work((keeper) => keeper.look(urls[at] ?? "", bytes)));
    if (urls.length === 1) {
      const estimate = await examine(this.#live, async (bytes) => {
        const { head, size: total } = await look(0, bytes);
        return { head, total };
      });
      return { seen: { looks, joined: null }, estimate, total: looks[0]?.size ?? null };
    }
    const parts: Part[] = [];
    for (const [at, url] of urls.entries()) {
      const { size } = await look(at, 64); // one after the other: there is one job at a time
      if (size === null) throw new Error(`${new URL(url).host} does not say how large ${fileOf(url)} is`);
      parts.push({ name: fileOf(url), size, read: async (bytes) => (await look(at, bytes)).head });
    }
    const joined = await join(this.#live, parts);
    const total = parts.reduce((sum, part, at) => sum + part.size - (joined.starts[at] ?? 0), joined.header.byteLength);
    const estimate = await examine(this.#live, () => Promise.resolve({ head: joined.header, total }));
    return { seen: { looks, joined }, estimate, total };
  }

  #askToLoad(file: string, words: string, estimate: ResourceEstimate, run: () => void): void {
    const label = whyNot(estimate) === null ? "Load" : "Load anyway";
    this.#box.show(`Load ${file}?`, words, { go: { label, run }, close: this.#box.closing("Cancel") });
    this.#box.focus();
  }

  async #fetch(model: There, seen: Seen, total: number | null): Promise<void> {
    const { urls, host, file, digest } = model;
    this.#box.show(`Fetching ${file}`, `From ${host}.`, { close: this.#cancel(keyOf(urls)) });
    try {
      await this.#bring(
        { name: nameOf(fileOf(urls[0] ?? file)), bytes: total, sha256: digest },
        (keeper, report, port) => keeper.saveAddress(urls, digest, seen, report, port),
      );
    } catch (error) {
      if (isUseless(error)) await dropPartial(keyOf(urls)).catch(() => undefined);
      this.#box.fail(file, wordsOf(error), { label: "Try again", run: () => void this.#look(model) });
    }
  }

  /** Have a model saved and loaded at the same time, and open it when both is done. */
  async #bring(about: { name: string; bytes: number | null; sha256: string | null }, keep: Keep): Promise<void> {
    this.#end();
    let isCancelled = false;
    this.#end = () => (isCancelled = true);
    const coming = await this.#coming(about);
    if (isCancelled) return coming?.cancel();
    try {
      const brought = await this.#work((keeper, report) => {
        const saved = keep(keeper, report, coming && transfer(coming.port, [coming.port]));
        if (!coming) return saved;
        // What cannot run here ends it all; for any other reason it is loaded when it is saved.
        const useless = coming.loaded.then((failure) => {
          if (failure && isUseless(failure)) throw failure;
          if (failure) void keeper.loadNoMore();
          return saved;
        });
        return Promise.race([saved, useless]);
      }, () => coming?.cancel());
      const failure = (await coming?.loaded) ?? null;
      if (brought.notSaved !== null && failure) throw failure;
      coming?.leave();
      await this.#use(brought);
    } catch (error) {
      coming?.cancel();
      throw error;
    }
  }

  /** The engine's end of a model; null where its name cannot be known before its digest is. */
  async #coming({ name, bytes, sha256 }: { name: string; bytes: number | null; sha256: string | null }): Promise<Coming | null> {
    const taken = this.#taken().add(this.#live.model);
    const free = taken.has(name) && sha256 ? nameFor({ ...unknown, name, sha256 }, taken) : name;
    if (bytes === null || taken.has(free)) return null;
    return Coming.begin(this.#live, { name: free, bytes, sha256 });
  }

  /** Open a model that has just come; what the engine cannot run is not saved. */
  async #use({ model: saved, notSaved }: Brought): Promise<void> {
    const live = this.#live;
    const before = live.model;
    const same = [...live.files].find(([, file]) => !(file instanceof Blob) && file.from === saved.from);
    const name = same?.[0] ?? nameFor(saved, this.#taken());
    if (notSaved === null) this.#box.show(`${name} is saved`, "It is in the list of models, now and at your next visit.");
    else this.#box.show(`${name} is not saved`, `${sentence(notSaved)} You can use it until you open another model or close this page.`);
    this.#box.facts({ size: size(saved.bytes), digest: saved.sha256 });
    await live.openFile(saved, name);
    live.tidy();
    if (notSaved !== null) this.#forgetLater(name, saved);
    const { state, failure } = live;
    if (state !== "failed" || !failure || !USELESS.includes(failure.name)) return;
    await dropModel(saved.from);
    live.forgetFile(name);
    this.#box.fail(saved.name, failure.message);
    if (before) await live.open(before);
  }

  /** A saved model that is no longer what was saved: one answer has it come again. */
  #offerAgain(input: HTMLInputElement): void {
    const live = this.#live;
    const { model, failure } = live;
    const saved = live.files.get(model);
    if (live.state !== "failed" || !failure || !saved || saved instanceof Blob) return;
    if (!isUseless(failure) && failure.name !== "LoadError") return;
    const { from, source, sha256 } = saved;
    const run = async (): Promise<void> => {
      await dropModel(from);
      live.forgetFile(model);
      const [first = model] = this.#site;
      await live.open(first); // whoever looks at a model asks an engine that has one
      if (source !== null) return this.#look(there(new URL(source), sha256));
      this.#box.hide();
      input.click();
    };
    const label = source === null ? "Open the file again" : `Fetch it again from ${new URL(source).host}`;
    const words = `${sentence(failure.message)} The copy on this machine is of no more use.`;
    this.#box.show(`${model} is damaged`, words, { go: { label, run: () => void run() } });
  }

  /** What only the engine has cannot be chosen again once another model is open. */
  #forgetLater(name: string, { from }: SavedModel): void {
    const look = (): void => {
      if (this.#live.model === name) return;
      this.#live.removeEventListener("state", look);
      this.#live.forgetFile(name);
      forgetUse(from);
    };
    this.#live.addEventListener("state", look);
  }

  #taken(): Set<string> {
    return new Set([...this.#site, ...this.#live.files.keys()]);
  }

  /** What a link says of a model, if it does: asked about, or refused with the reason. */
  #readLink(): void {
    const shared = readLink(location.hash);
    if (!shared?.model || !isAddress(shared.model)) return;
    const { model, sha256 = "" } = shared;
    if (this.#live.files.meant({ model, sha256 }) !== model) return; // it is here already
    try {
      const url = addressOf(model);
      if (DIGEST.test(sha256)) return this.ask(url, sha256.toLowerCase());
      throw new Error(
        "it comes without its digest: “sha256=” with 64 hexadecimal digits must follow the " +
          `address${sha256 && `, and ${sha256} is not that`}`,
      );
    } catch (error) {
      this.#box.fail("The link's model", wordsOf(error));
    }
  }

  /** Have something done in the frame that may do it, one job at a time; told when it was cancelled. */
  async #work<Value>(
    job: (keeper: ModelKeeper, report: Report) => Promise<Value>,
    cancelled: () => void = () => undefined,
  ): Promise<Value> {
    this.#end();
    let ended = false;
    let close = (): void => undefined;
    const end = (): void => {
      ended = true;
      close();
    };
    this.#end = () => {
      if (!ended) cancelled();
      end();
    };
    const opened = await openKeeper();
    close = opened.close;
    if (ended) {
      close();
      return new Promise(() => undefined); // nobody waits for it any more
    }
    const report = proxy(({ bytes, total, loaded }: Arrival) => {
      if (!ended) this.#box.progress(bytes, total, loaded);
    });
    try {
      return await job(opened.keeper, report);
    } finally {
      end();
    }
  }

  /** An answer that ends the job: what has not come whole is not saved. */
  #cancel(partial?: string): { label: string; run: () => void } {
    return {
      label: "Cancel",
      run: () => {
        this.#end();
        this.#box.hide();
        if (partial) dropPartial(partial).catch(() => undefined);
      },
    };
  }

  /** GGUF files may be dropped anywhere; every other file is left to whoever takes it. */
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
      const files = [...(event.dataTransfer?.files ?? [])].filter(({ name }) => /\.gguf$/i.test(name));
      if (files.length === 0) return;
      event.preventDefault();
      event.stopPropagation();
      void this.open(files);
    };
    addEventListener("drop", drop, true);
    // Whatever nobody has taken must not make the browser leave the page.
    addEventListener("drop", (event) => {
      if (isFile(event)) event.preventDefault();
    });
  }
}

function there(url: URL, digest: string | null): There {
  const file = decodeURIComponent(url.pathname.split("/").at(-1) ?? "") || url.host;
  return { urls: partsOf(url), host: url.host, file, digest };
}

const unknown: Omit<SavedModel, "name"> = { from: "", bytes: 0, sha256: null, source: null };

function isUseless(error: unknown): boolean {
  return error instanceof Error && USELESS.includes(error.name);
}

function wordsOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
