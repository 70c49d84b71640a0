/** Files that the visitor brings, and files that the visitor takes away. */

/** More would take longer to read than anybody trains in a tab. */
const LARGEST = 16 * 2 ** 20;

/** The text in a file; throws an Error in plain words where there is none. */
export async function readTextFile(file: File): Promise<string> {
  if (file.size > LARGEST) {
    const megabytes = (file.size / 2 ** 20).toFixed(1);
    throw new Error(`${file.name} has ${megabytes} MB; a text may have ${LARGEST / 2 ** 20} MB here.`);
  }
  const bytes = new Uint8Array(await file.arrayBuffer());
  const zero = bytes.indexOf(0);
  if (zero >= 0) throw new Error(`${file.name} is no text: byte ${zero} is zero.`);
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch {
    throw new Error(`${file.name} is no text in UTF-8: save it as UTF-8, or bring another one.`);
  }
}

/** Let files be dropped on `target`. */
export function acceptDrops(target: HTMLElement, take: (file: File) => void): void {
  const brings = (event: DragEvent): boolean => event.dataTransfer?.types.includes("Files") ?? false;
  target.addEventListener("dragover", (event) => {
    if (!brings(event)) return;
    event.preventDefault();
    target.classList.add("dropping");
  });
  target.addEventListener("dragleave", () => target.classList.remove("dropping"));
  target.addEventListener("drop", (event) => {
    target.classList.remove("dropping");
    const [file] = event.dataTransfer?.files ?? [];
    if (!file) return;
    event.preventDefault();
    event.stopPropagation();
    take(file);
  });
}

/** Hand a file to the browser's downloads. */
export function download(name: string, parts: readonly BlobPart[], type: string): void {
  const url = URL.createObjectURL(new Blob([...parts], { type }));
  const link = document.createElement("a");
  link.href = url;
  link.download = name;
  link.click();
  // Revoked late: the browser reads it after this call has returned.
  setTimeout(() => URL.revokeObjectURL(url), 60_000);
}
