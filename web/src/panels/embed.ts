/** The panel that writes HTML for other people's pages, and shows what it will look like there. */

import { directives } from "../api/policy";
import type { LiveSession } from "../live";
import { copy } from "../ui/clipboard";
import { byId } from "../ui/dom";
import { attributesOf, frameAddress, frameSnippet, tagSnippet } from "../widget/snippet";
import type { Choices } from "../widget/snippet";

/** The page is at the site's root. */
const SITE = new URL("./", location.href.replace(/[?#].*/s, ""));

/** Milliseconds without a change after which a frame is worth loading again. */
const PAUSE_MS = 400;

/** Names under which no other machine finds this one. */
const LOCAL = /^(localhost|127\..*|\[::1\]|.*\.localhost)$/;

class Builder {
  readonly #form = byId("embed-desk", HTMLFormElement);
  readonly #model = byId("embed-model", HTMLSelectElement);
  readonly #prompt = byId("embed-prompt", HTMLTextAreaElement);
  readonly #reveal = byId("embed-reveal", HTMLSelectElement);
  readonly #readonly = byId("embed-readonly", HTMLInputElement);
  readonly #code = byId("embed-code", HTMLElement);
  readonly #note = byId("embed-note", HTMLElement);
  readonly #copy = byId("embed-copy", HTMLButtonElement);
  readonly #shown = byId("embed-preview", HTMLElement);
  readonly #element = document.createElement("thimble-lm");
  #frame = document.createElement("iframe");
  #late: ReturnType<typeof setTimeout> | undefined;

  constructor() {
    byId("embed-policy", HTMLElement).textContent = directives(SITE.origin);
    byId("embed-frame-policy", HTMLElement).textContent = `frame-src ${SITE.origin}`;
    this.#form.addEventListener("input", () => this.#show());
    this.#form.addEventListener("submit", (event) => event.preventDefault());
    this.#copy.addEventListener("click", () => void this.#copySnippet());
    this.#show();
  }

  #show(): void {
    const wrong: string[] = [];
    const choices = this.#choices(wrong);
    const title = this.#model.selectedOptions[0]?.text ?? choices.model;
    this.#code.textContent = this.#isFrame
      ? frameSnippet(SITE, choices, title)
      : tagSnippet(SITE, choices);
    this.#note.textContent = wrong.length ? `${wrong.join("; ")}.` : local();
    // What is shown waits to be asked: else it would begin anew with every letter of the prompt.
    const waiting: Choices = { ...choices, reveal: "manual" };
    clearTimeout(this.#late);
    if (!this.#isFrame) this.#showElement(waiting);
    else if (this.#frame.isConnected) {
      this.#late = setTimeout(() => this.#showFrame(waiting, title), PAUSE_MS);
    } else this.#showFrame(waiting, title);
  }

  #showElement(choices: Choices): void {
    const attributes = attributesOf(choices);
    for (const name of this.#element.getAttributeNames()) {
      if (!attributes.has(name)) this.#element.removeAttribute(name);
    }
    for (const [name, value] of attributes) {
      if (this.#element.getAttribute(name) !== value) this.#element.setAttribute(name, value);
    }
    if (!this.#element.isConnected) this.#shown.replaceChildren(this.#element);
  }

  #showFrame(choices: Choices, title: string): void {
    const { href } = frameAddress(SITE, choices);
    if (this.#frame.isConnected && this.#frame.src === href) return;
    // Another one each time: a frame that goes elsewhere is a step back in the tab's history.
    this.#frame = Object.assign(document.createElement("iframe"), { src: href, title });
    this.#shown.replaceChildren(this.#frame);
  }

  get #isFrame(): boolean {
    return new FormData(this.#form).get("kind") === "frame";
  }

  /** What the form says; what is out of range is left out and told. */
  #choices(wrong: string[]): Choices {
    const read = (name: string): number | null => {
      const input = this.#form.elements.namedItem(name) as HTMLInputElement;
      if (input.checkValidity()) return Number.isNaN(input.valueAsNumber) ? null : input.valueAsNumber;
      const given = input.value || "what is written";
      wrong.push(`${input.dataset["label"]}: ${given} is not a number from ${input.min} to ${input.max}`);
      return null;
    };
    return {
      model: this.#model.value,
      prompt: this.#prompt.value,
      "max-tokens": read("max-tokens"),
      temperature: read("temperature"),
      "top-p": null,
      seed: read("seed"),
      reveal: this.#reveal.value === "manual" ? "manual" : "auto",
      readonly: this.#readonly.checked,
    };
  }

  async #copySnippet(): Promise<void> {
    const copied = await copy(this.#code.textContent ?? "");
    this.#note.textContent = copied ? "Copied" : "Copying is not allowed here: select the text instead";
  }
}

/** What an author should know who looks at a site on their own machine. */
function local(): string {
  if (!LOCAL.test(SITE.hostname)) return "";
  return `${SITE.host} is only this machine: others need an address that they can reach.`;
}

export function mount(_root: HTMLElement, _live: LiveSession): void {
  new Builder();
  // The module that other sites use, beside the page's own; both share the one engine.
  void import(new URL("widget.js", SITE).href);
}
