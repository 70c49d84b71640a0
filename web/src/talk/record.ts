/**
 * A conversation as it is kept and exported, and what is believed of one that comes from a disk or a
 * file: only what is well-formed; what is not is counted.
 */

import { readAsides } from "./asides";
import { Tree } from "./tree";
import type { Turn } from "./tree";

/** Another format is another version's. */
export const FORMAT = 1;

/** Characters of a title, and of everything else that people and models write. */
const LONGEST_TITLE = 200;
const LONGEST_TEXT = 1_000_000;
const MOST_TURNS = 20_000;
const TITLE_WORDS = 60;

/** Small: what a list of conversations needs. */
export interface Head {
  readonly format: typeof FORMAT;
  readonly id: string;
  readonly title: string;
  /** Whether the visitor chose the title. */
  readonly named: boolean;
  readonly pinned: boolean;
  /** Milliseconds since 1970. */
  readonly created: number;
  readonly changed: number;
  /** The model that wrote last. */
  readonly model: string;
  readonly turns: number;
  /** About as many as it takes. */
  readonly bytes: number;
}

export interface Body {
  readonly format: typeof FORMAT;
  readonly id: string;
  readonly system: string;
  /** Sampling options by name. */
  readonly settings: Readonly<Record<string, number>>;
  readonly turns: readonly Turn[];
  /** The turn that is read up to. */
  readonly leaf: string | null;
}

/** A body, and how many of its turns could not be read. */
export interface ReadBody {
  readonly body: Body;
  readonly damaged: number;
}

type Fields = Readonly<Record<string, unknown>>;

const isObject = (value: unknown): value is Fields => typeof value === "object" && value !== null && !Array.isArray(value);
const isText = (value: unknown, most = LONGEST_TEXT): value is string => typeof value === "string" && value.length <= most;
const isCount = (value: unknown): value is number => typeof value === "number" && Number.isFinite(value) && value >= 0;
const isId = (value: unknown): value is string => isText(value, 60) && /^[\w.-]+$/.test(value);

/** The first words that were said. */
export function titleOf(turns: readonly Turn[]): string {
  const words = (turns.find(({ role }) => role === "user")?.text ?? "").replace(/\s+/g, " ").trim();
  if (words.length <= TITLE_WORDS) return words || "Empty";
  const cut = words.slice(0, TITLE_WORDS);
  return `${cut.slice(0, cut.lastIndexOf(" ") > 20 ? cut.lastIndexOf(" ") : TITLE_WORDS)}…`;
}

/** A title as it may stand in the list; empty for one of nothing but space. */
export function trimmedTitle(title: string): string {
  return title.replace(/\s+/g, " ").trim().slice(0, LONGEST_TITLE);
}

/** Refuse what another version has written; it is said which. */
function checkFormat(value: unknown): Fields {
  if (!isObject(value)) throw new Error("it is damaged");
  if (value["format"] === FORMAT) return value;
  const { format } = value;
  throw new Error(typeof format === "number" && format > FORMAT
    ? `a newer version of this page wrote it (format ${format}, this one reads ${FORMAT})` : "it is damaged");
}

/** What the list shows of a stored value; throws with the reason why it cannot be read. */
export function readHead(value: unknown): Head {
  const head = checkFormat(value);
  const { id, title, named, pinned, created, changed, model, turns, bytes } = head;
  const numbers = [created, changed, turns, bytes];
  if (!isId(id) || !isText(title, LONGEST_TITLE) || !isText(model, 1000) || !numbers.every(isCount)) throw new Error("it is damaged");
  if (Math.max(created as number, changed as number) > 8.64e15) throw new Error("it is damaged"); // no date
  return { ...(head as unknown as Head), named: named === true, pinned: pinned === true };
}

function readTurn(value: unknown): Turn | null {
  if (!isObject(value)) return null;
  const { id, parent, role, text, model, tokens, finish, seed, wait, rate } = value;
  const asides = isText(text) ? readAsides(value["asides"], text.length) : [];
  if (!isId(id) || !(parent === null || isId(parent)) || !isText(text) || !isCount(tokens)) return null;
  if (role !== "user" && role !== "assistant") return null;
  return {
    id, parent, role, text, tokens,
    finish: finish === "stop" || finish === "length" || finish === "tool_calls" ? finish : null,
    ...(asides.length && role === "assistant" ? { asides } : {}),
    ...(isText(model, 1000) ? { model } : {}),
    ...(isCount(seed) ? { seed } : {}),
    ...(isCount(wait) ? { wait } : {}),
    ...(isCount(rate) ? { rate } : {}),
  };
}

/** What was said, as far as it can be read; throws with the reason where nothing can. */
export function readBody(value: unknown): ReadBody {
  const { id, system, settings, turns, leaf } = checkFormat(value);
  if (!isId(id) || !Array.isArray(turns)) throw new Error("it is damaged");
  if (turns.length > MOST_TURNS) throw new Error(`it has ${turns.length} messages: at most ${MOST_TURNS} can be read`);
  const tree = new Tree();
  tree.merge(turns.map(readTurn).filter((turn) => turn !== null));
  const known = tree.all;
  const numbers = isObject(settings) ? Object.entries(settings).slice(0, 100).filter(([, number]) => Number.isFinite(number)) : [];
  const body: Body = {
    format: FORMAT, id, system: isText(system) ? system : "",
    settings: Object.fromEntries(numbers) as Record<string, number>,
    turns: known,
    leaf: known.some((turn) => turn.id === leaf) ? (leaf as string) : (known.at(-1)?.id ?? null),
  };
  return { body, damaged: turns.length - known.length };
}

/** A head for a body, with what stands in the one before it. */
export function headOf(body: Body, before: Head | null, now: number): Head {
  const path = new Tree(body.turns, body.leaf).path;
  const model = path.findLast((turn) => turn.model !== undefined)?.model ?? "";
  return {
    format: FORMAT,
    id: body.id,
    title: before?.named ? before.title : titleOf(path),
    named: before?.named ?? false,
    pinned: before?.pinned ?? false,
    created: before?.created ?? now,
    changed: now,
    model,
    turns: body.turns.length,
    bytes: JSON.stringify(body).length,
  };
}

/** What a search looks through: lower case, the title apart. */
export function wordsOf(turns: readonly Turn[]): string {
  return turns.map(({ text }) => text).join("\n").toLowerCase();
}
