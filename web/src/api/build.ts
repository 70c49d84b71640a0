/** What the built site says about itself: `build.json`, beside `thimble.js`. */

import { ThimbleError } from "./errors";

/** A model that this site offers. */
export interface ModelListing {
  readonly name: string;
  readonly title: string;
  readonly bytes: number;
  readonly sha256: string;
  readonly license: string;
  readonly parameters: number;
  /** Whether it has a template for conversations. */
  readonly chat?: boolean;
  readonly default?: boolean;
}

/** A text to train on. */
export interface CorpusListing {
  readonly name: string;
  readonly title: string;
  readonly bytes: number;
  readonly sha256: string;
  /** What of a recipe depends on the text. */
  readonly recipe: Readonly<Record<string, string | number>>;
  /** How the texts of a sample begin. */
  readonly prompts: readonly string[];
  /** The longest text of a sample, in tokens. */
  readonly tokens: number;
}

/** A file that is fetched, and saved, when somebody asks for it. */
export interface Extra {
  readonly name: string;
  readonly url: string;
  readonly bytes: number;
}

/** A text to measure models on. */
export interface SampleListing {
  readonly title: string;
  readonly bytes: number;
  readonly sha256: string;
}

interface BuildFile {
  readonly build: string;
  readonly version: string;
  readonly pyodide: string;
  readonly pyodide_bytes?: number;
  readonly offline?: boolean;
  readonly extras?: readonly (Omit<Extra, "url"> & { readonly file: string })[];
  readonly engine: string;
  readonly stdlib: string;
  readonly library: string;
  readonly lock: string;
  readonly assets: Readonly<Record<string, string>>;
  readonly models: readonly (ModelListing & { readonly file: string })[];
  readonly corpora?: readonly (CorpusListing & { readonly file: string })[];
  readonly sample?: SampleListing & { readonly file: string };
}

export class Build {
  readonly #file: BuildFile;
  readonly #base: URL;

  private constructor(file: BuildFile, base: URL) {
    this.#file = file;
    this.#base = base;
  }

  /** Read the build that lies beside the module at `module`. */
  static async read(module: string): Promise<Build> {
    const base = new URL("build.json", module);
    let failure: unknown;
    try {
      const response = await fetch(base, { cache: "no-cache" });
      if (response.ok) return new Build((await response.json()) as BuildFile, base);
      failure = response.status;
    } catch (error) {
      failure = error;
    }
    throw new ThimbleError("LoadError", `${base.href} could not be loaded (${String(failure)})`);
  }

  get hash(): string {
    return this.#file.build;
  }

  /** What a snapshot of the interpreter is good for: the same files, whatever the page looks like. */
  get interpreter(): string {
    const { pyodide, engine, stdlib, lock, assets } = this.#file;
    return [pyodide, engine, stdlib, lock, assets["worker.js"]].join(" ");
  }

  /** Whether browsers may keep the page; false takes back what was allowed before. */
  get offline(): boolean {
    return this.#file.offline ?? false;
  }

  get extras(): readonly Extra[] {
    const { extras = [] } = this.#file;
    return extras.map(({ name, file, bytes }) => ({ name, bytes, url: this.#resolve(file) }));
  }

  get version(): string {
    return this.#file.version;
  }

  get models(): readonly ModelListing[] {
    return this.#file.models;
  }

  /** Texts to train on. */
  get corpora(): readonly (CorpusListing & { readonly url: string })[] {
    return (this.#file.corpora ?? []).map((one) => ({ ...one, url: this.#resolve(one.file) }));
  }

  get sample(): (SampleListing & { readonly url: string }) | null {
    const { sample } = this.#file;
    return sample ? { ...sample, url: this.#resolve(sample.file) } : null;
  }

  get pyodide(): string {
    return this.#resolve(this.#file.pyodide);
  }

  /** The engine's wheel. */
  get engine(): string {
    return this.#resolve(this.#file.engine);
  }

  /** The part of Python's standard library that the engine needs. */
  get stdlib(): string {
    return this.#resolve(this.#file.stdlib);
  }

  get lock(): string {
    return this.#resolve(this.#file.lock);
  }

  /** The whole of Python's standard library. */
  get library(): string {
    return this.#resolve(this.#file.library);
  }

  /** Of Pyodide's files as the worker counts them; 0 where the build does not say. */
  get pyodideBytes(): number {
    return this.#file.pyodide_bytes ?? 0;
  }

  /** The address of a hashed file by its source's name. */
  asset(name: string): string {
    const file = this.#file.assets[name];
    if (!file) throw new ThimbleError("LoadError", `build.json lists no ${name}`);
    return this.#resolve(file);
  }

  /** A model by its name, the default one without a name. */
  model(name?: string): (ModelListing & { readonly url: string }) | undefined {
    const { models } = this.#file;
    const found = name === undefined
      ? (models.find((model) => model.default) ?? models[0])
      : models.find((model) => model.name === name);
    return found && { ...found, url: this.#resolve(found.file) };
  }

  #resolve(file: string): string {
    return new URL(file, this.#base).href;
  }
}
