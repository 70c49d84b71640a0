/** A file that should be text. */

/** A text of a million characters, each as long as UTF-8 makes them. */
const MOST_BYTES = 4_000_000;

/** The text in a file; an error that names the file and what is wrong where it holds none. */
export async function readTextFile(file: File): Promise<string> {
  if (file.size > MOST_BYTES) {
    const size = (file.size / 1e6).toFixed(1);
    throw new Error(`“${file.name}” has ${size} MB: a text of at most 4 MB can be read`);
  }
  const bytes = new Uint8Array(await file.arrayBuffer());
  const text = decode(bytes);
  if (text === null || text.includes("\0")) {
    throw new Error(`“${file.name}” is not text: choose a plain text file in UTF-8 or UTF-16`);
  }
  return text.replaceAll("\r\n", "\n");
}

/** UTF-16 where it begins with its mark, else UTF-8; null for what is neither. */
function decode(bytes: Uint8Array): string | null {
  const mark = ((bytes[0] ?? 0) << 8) | (bytes[1] ?? 0);
  const encoding = mark === 0xfffe ? "utf-16le" : mark === 0xfeff ? "utf-16be" : "utf-8";
  try {
    return new TextDecoder(encoding, { fatal: true }).decode(bytes);
  } catch {
    return null;
  }
}
