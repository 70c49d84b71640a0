/** Recorded runs as files. */

/** As much as the engine reads. */
const MOST_BYTES = 32 * 2 ** 20;

/** Let the browser save a text under a name. */
export function saveText(text: string, name: string): void {
  const link = document.createElement("a");
  const address = URL.createObjectURL(new Blob([text], { type: "application/json" }));
  link.href = address;
  link.download = name;
  link.click();
  // The download has its own hold on the bytes once it has begun.
  setTimeout(() => URL.revokeObjectURL(address), 60_000);
}

/** A file's text; an error that names it where it is too large to be a recorded run. */
export async function readRun(file: File): Promise<string> {
  if (file.size > MOST_BYTES) {
    const size = (file.size / 1e6).toFixed(1);
    throw new Error(`“${file.name}” has ${size} MB: a recorded run has at most 32 MiB`);
  }
  return file.text();
}
