/** Text files that go with a message: how they stand in it, and how they are found there again. */

export interface Attached {
  readonly name: string;
  readonly text: string;
}

const FILE = /^File “([^\n”]{1,255})”:\n\n(`{3,})\n([\s\S]*?)\n\2\n\n/;

/** A message with files before it, each between fences that it does not have itself. */
export function attach(files: readonly Attached[], words: string): string {
  const written = files.map(({ name, text }) => {
    const longest = Math.max(2, ...(text.match(/`+/g) ?? []).map(({ length }) => length));
    const fence = "`".repeat(longest + 1);
    return `File “${name.replace(/[\n”]/g, " ").slice(0, 255)}”:\n\n${fence}\n${text}\n${fence}\n\n`;
  });
  return written.join("") + words;
}

/** The files of a message, and its own words. */
export function detach(message: string): { readonly files: readonly Attached[]; readonly words: string } {
  const files: Attached[] = [];
  let words = message;
  for (let found = FILE.exec(words); found; found = FILE.exec(words)) {
    files.push({ name: found[1] ?? "", text: found[3] ?? "" });
    words = words.slice(found[0].length);
  }
  return { files, words };
}
