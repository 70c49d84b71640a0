/** Talk's keyboard short cuts; the panel lists them. */

export interface Keys {
  readonly begin: () => void;
  readonly find: () => void;
  /** Edit what was said last. */
  readonly edit: () => void;
}

export function listenToKeys(root: HTMLElement, field: HTMLTextAreaElement, { begin, find, edit }: Keys): void {
  addEventListener("keydown", (event) => {
    if (root.hidden || event.altKey || !(event.ctrlKey || event.metaKey)) return;
    const key = event.key.toLowerCase();
    const act = key === "o" && event.shiftKey ? begin : key === "k" && !event.shiftKey ? find : null;
    if (!act) return;
    event.preventDefault();
    act();
  });
  field.addEventListener("keydown", (event) => {
    if (event.key !== "ArrowUp" || field.value || event.isComposing) return;
    event.preventDefault();
    edit();
  });
}
