/** What a visitor may write for a model's address, and the files that it means. */

const SPLIT = /-(\d{5})-of-(\d{5})\.gguf$/i;
/** Parts of a file that are fetched or chosen together. */
const MOST_PARTS = 64;

/** Hugging Face's place of a file: a page about it, or USER/REPOSITORY/FILE. */
function huggingFace(path: string): string {
  const [user, repository, ...rest] = path.split("/").filter(Boolean);
  const file = ["blob", "resolve"].includes(rest[0] ?? "") ? rest.slice(2) : rest;
  const revision = file === rest ? "main" : rest[1];
  if (!user || !repository || file.length === 0 || !revision) {
    throw new Error(
      `${path} names no file; use hf.co/USER/REPOSITORY/FILE.gguf`,
    );
  }
  return `https://huggingface.co/${user}/${repository}/resolve/${revision}/${file.join("/")}`;
}

/**
 * The address that is meant; throws the reason why there is none. `hf.co/USER/REPOSITORY/FILE.gguf`
 * is Hugging Face's, and so is the address of its page about a file.
 */
export function addressOf(words: string): URL {
  const text = words.trim();
  const place = /^(?:https:\/\/)?(?:hf\.co|(?:www\.)?huggingface\.co)\/([^?#]*)/i.exec(text)?.[1];
  const written = place === undefined ? text : huggingFace(place);
  if (!URL.canParse(written)) {
    throw new Error(
      `${text || "nothing"} is not an address; use https://… or hf.co/USER/REPOSITORY/FILE.gguf`,
    );
  }
  const url = new URL(written);
  const isHere = ["localhost", "127.0.0.1"].includes(url.hostname);
  if (url.protocol !== "https:" && !(url.protocol === "http:" && isHere)) {
    throw new Error(`its address begins with ${url.protocol}//; only https:// is allowed`);
  }
  return url;
}

/** The addresses of all parts, where a file's name says that it is one of several. */
export function partsOf(url: URL): string[] {
  const [, , of = ""] = SPLIT.exec(url.pathname) ?? [];
  if (!of) return [url.href];
  const count = countOf(of, url.pathname);
  return Array.from({ length: count }, (_, at) => {
    const part = new URL(url);
    part.pathname = url.pathname.replace(SPLIT, `-${String(at + 1).padStart(5, "0")}-of-${of}.gguf`);
    return part.href;
  });
}

function countOf(of: string, name: string): number {
  const count = Number(of);
  if (count >= 1 && count <= MOST_PARTS) return count;
  throw new Error(`${name} says that it is one of ${count} parts; at most ${MOST_PARTS} are supported`);
}

/** Chosen files in the order of their parts; throws where they are not one model's. */
export function orderFiles(files: readonly File[]): File[] {
  const [first] = files;
  const [, , of = ""] = SPLIT.exec(first?.name ?? "") ?? [];
  if (!first || (!of && files.length === 1)) return [...files];
  if (!of) throw new Error(`${files.length} files were chosen; a model is one file, or all its parts`);
  const count = countOf(of, first.name);
  return Array.from({ length: count }, (_, at) => {
    const name = first.name.replace(SPLIT, `-${String(at + 1).padStart(5, "0")}-of-${of}.gguf`);
    const part = files.find((file) => file.name === name);
    if (!part) throw new Error(`part ${at + 1} of ${count} is missing: choose ${name} too`);
    return part;
  });
}

/** A model's name, of its file's. */
export function nameOf(file: string): string {
  return file.replace(/(-0*1-of-\d+)?\.gguf$/i, "") || "model";
}

/** A file's name, as its address says it. */
export function fileOf(url: string): string {
  return decodeURIComponent(new URL(url).pathname.split("/").at(-1) ?? "") || url;
}
