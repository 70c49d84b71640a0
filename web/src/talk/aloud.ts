/**
 * Reading an answer aloud by a voice of this machine's own: other voices of a browser are servers,
 * which would be sent the text.
 */

/** Some voices fall silent in longer pieces. */
const LONGEST = 200;

const speech = (): SpeechSynthesis | undefined => (globalThis as { speechSynthesis?: SpeechSynthesis }).speechSynthesis;

function voice(): SpeechSynthesisVoice | undefined {
  const own = (speech()?.getVoices() ?? []).filter(({ localService }) => localService);
  const language = navigator.language.slice(0, 2);
  return own.find(({ lang }) => lang.startsWith(language)) ?? own.find((one) => one.default) ?? own[0];
}

/** A text in pieces that end with a sentence, or else with a word. */
export function pieces(text: string): string[] {
  const sentences = text.replace(/\s+/g, " ").match(/[^.!?]+[.!?]*\s*/g) ?? [];
  const found: string[] = [];
  for (const sentence of sentences) {
    for (const part of sentence.match(new RegExp(`.{1,${LONGEST}}(?:\\s|$)|.{1,${LONGEST}}`, "gs")) ?? []) {
      const last = found.at(-1);
      if (last !== undefined && last.length + part.length <= LONGEST) found[found.length - 1] = last + part;
      else found.push(part);
    }
  }
  return found.map((piece) => piece.trim()).filter(Boolean);
}

/** It tells "change" when a voice comes, and when reading begins or ends. */
export class Aloud extends EventTarget {
  /** What is read, by whoever asked for it. */
  reads: unknown = null;

  constructor() {
    super();
    speech()?.addEventListener?.("voiceschanged", () => this.#tell());
    addEventListener("pagehide", () => this.stop());
  }

  get can(): boolean {
    return voice() !== undefined;
  }

  read(what: unknown, text: string): void {
    this.stop();
    const [by, all] = [voice(), pieces(text)];
    if (!by || all.length === 0) return;
    this.reads = what;
    for (const [at, piece] of all.entries()) {
      const said = new SpeechSynthesisUtterance(piece);
      said.voice = by;
      said.lang = by.lang;
      const over = (): void => {
        if (this.reads !== what) return;
        this.reads = null;
        this.#tell();
      };
      if (at === all.length - 1) said.onend = over;
      said.onerror = over;
      speech()?.speak(said);
    }
    this.#tell();
  }

  stop(): void {
    if (this.reads === null) return;
    this.reads = null;
    speech()?.cancel();
    this.#tell();
  }

  #tell(): void {
    this.dispatchEvent(new Event("change"));
  }
}
