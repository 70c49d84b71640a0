/**
 * Asks Hugging Face's hub for models: which repositories have GGUF files, and which files those are,
 * with their SHA-256. It runs in the one page that may reach other hosts, only when the visitor has
 * searched, and sends the words of the search and nothing else.
 *
 * What the hub answers is read field by field, as https://huggingface.co/docs/hub/api tells it.
 */

const HUB = "https://huggingface.co";
const MOST_FOUND = 20;
/** Pages of a repository's list of files; each has up to a thousand. */
const MOST_PAGES = 5;
const MOST_BYTES = 4_000_000;
const PATIENCE_MS = 20_000;
const NAME = /^[\w.-]{1,96}\/[\w.-]{1,96}$/;
const DIGEST = /^[0-9a-f]{64}$/;
/** A file's name says how its weights are encoded. */
const ENCODING = /(?:^|[-_.])((?:UD-)?(?:I?Q\d(?:_[A-Z0-9]+)*|BF16|F16|F32|MXFP4(?:_[A-Z]+)?))(?=[-.])/i;

export interface HubModel {
  /** USER/REPOSITORY. */
  readonly id: string;
  readonly downloads: number;
  /** Whether its owner gives it only to whom they have let in. */
  readonly isGated: boolean;
  /** As its tags say it; "" where none does. */
  readonly licence: string;
}

export interface HubFile {
  readonly path: string;
  readonly url: string;
  readonly bytes: number;
  readonly sha256: string;
  /** As its name says it; "" where it does not. */
  readonly encoding: string;
}

type Fields = Readonly<Record<string, unknown>>;
const fields = (value: unknown): Fields => (typeof value === "object" && value !== null ? (value as Fields) : {});
const isCount = (value: unknown): value is number => Number.isSafeInteger(value) && (value as number) >= 0;

/** Repositories with GGUF files that have these words in their name, the most fetched first. */
export async function searchHub(words: string): Promise<HubModel[]> {
  const asked = new URLSearchParams({ search: words, filter: "gguf", sort: "downloads", direction: "-1", limit: String(MOST_FOUND) });
  for (const what of ["downloads", "gated", "tags"]) asked.append("expand", what);
  const { value } = await ask(`${HUB}/api/models?${asked}`, "the search");
  return listOf(value).flatMap((one): HubModel[] => {
    const { id, downloads, gated, tags } = fields(one);
    if (typeof id !== "string" || !NAME.test(id)) return [];
    const licence = Array.isArray(tags) ? tags.find((tag): tag is string => typeof tag === "string" && tag.startsWith("license:")) : undefined;
    return [{
      id, downloads: isCount(downloads) ? downloads : 0,
      isGated: gated !== undefined && gated !== false, licence: (licence ?? "").slice(8, 60),
    }];
  });
}

/** A repository's GGUF files, the smallest first. Rejects, with the reason, where it has none to give. */
export async function filesOfHub(id: string): Promise<HubFile[]> {
  if (!NAME.test(id)) throw new Error(`${id.slice(0, 100)} is no repository: USER/REPOSITORY is right`);
  const files: HubFile[] = [];
  let next: string | null = `${HUB}/api/models/${id}/tree/main?recursive=true`;
  for (let page = 0; next !== null && page < MOST_PAGES; page += 1) {
    const answer: Answer = await ask(next, id);
    for (const one of listOf(answer.value)) files.push(...fileOf(id, one));
    next = answer.next;
  }
  if (files.length === 0) throw new Error(`${id} has no GGUF file that is one model`);
  return files.sort((a, b) => a.bytes - b.bytes);
}

function fileOf(id: string, value: unknown): HubFile[] {
  const { type, path, lfs } = fields(value);
  const { oid, size } = fields(lfs);
  if (type !== "file" || typeof path !== "string" || path.length > 500 || !/\.gguf$/i.test(path)) return [];
  // What sees pictures beside a model is none; of parts each has a digest of its own.
  if (/mmproj/i.test(path) || /-\d{5}-of-\d{5}\.gguf$/i.test(path)) return [];
  if (typeof oid !== "string" || !DIGEST.test(oid) || !isCount(size) || size === 0) return [];
  const url = `${HUB}/${id}/resolve/main/${path.split("/").map(encodeURIComponent).join("/")}`;
  return [{ path, url, bytes: size, sha256: oid, encoding: ENCODING.exec(path)?.[1]?.toUpperCase() ?? "" }];
}

function listOf(value: unknown): readonly unknown[] {
  if (!Array.isArray(value)) throw new Error("Hugging Face answered with something that is no list");
  return value;
}

interface Answer {
  readonly value: unknown;
  /** Where the list goes on. */
  readonly next: string | null;
}

async function ask(url: string, what: string): Promise<Answer> {
  const response = await fetch(url, {
    credentials: "omit", referrerPolicy: "no-referrer", cache: "no-store", signal: AbortSignal.timeout(PATIENCE_MS),
  }).catch(() => {
    throw new Error("Hugging Face does not answer: it, or the network, cannot be reached");
  });
  if (!response.ok) throw new Error(refusal(response.status, what));
  const text = await response.text();
  if (text.length > MOST_BYTES) throw new Error(`Hugging Face answered with ${text.length} characters: too many`);
  try {
    return { value: JSON.parse(text) as unknown, next: nextOf(response.headers.get("link")) };
  } catch {
    throw new Error("Hugging Face answered with something that is not JSON");
  }
}

function refusal(status: number, what: string): string {
  if (status === 401 || status === 403) {
    return `${what} is gated, or private: its owner lets people in on huggingface.co; fetch the file there and open it here`;
  }
  if (status === 404) return `${what} is not on huggingface.co any more`;
  if (status === 429) return "Hugging Face has been asked too often: try again in some minutes";
  return `Hugging Face answered ${status} to ${what}`;
}

/** The next page, as a Link header says it, if that is of the hub too. */
function nextOf(link: string | null): string | null {
  const next = /<([^>]+)>;\s*rel="next"/.exec(link ?? "")?.[1];
  return next?.startsWith(`${HUB}/api/models/`) ? next : null;
}
