/** Files that the visitor brings, and files that the visitor takes away. */

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
