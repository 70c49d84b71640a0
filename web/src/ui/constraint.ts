/** The control that constrains an answer: one of four notations, a source, how JSON is written, and examples. */

import { JSON_OPTIONS } from "../api/json-options";
import type { JsonOptions } from "../api/json-options";
import type { Constraint } from "../api/options";
import { byId } from "./dom";

type Kind = Constraint["kind"];
interface Example {
  readonly title: string;
  readonly source: string;
}

const HERO = `{
  "type": "object",
  "properties": {
    "hero": { "enum": ["Lily", "Tim", "Mia", "Ben"] },
    "pet": { "enum": ["cat", "dog", "bird", "frog"] },
    "age": { "type": "integer", "minimum": 3, "maximum": 9 },
    "brave": { "type": "boolean" }
  },
  "required": ["hero", "pet", "age", "brave"]
}`;
const WORDS = `{
  "type": "array",
  "items": { "type": "string", "pattern": "^[a-z]{3,8}$" },
  "minItems": 3,
  "maxItems": 5
}`;

const DIALOGUE = String.raw`root ::= said said said
said ::= "\"" [A-Z] [a-z ,]{8,40} "!\" said " name ".\n"
name ::= "Tim" | "Lily" | "the dog"`;
const LIST = String.raw`root ::= line line line
line ::= "- " word (" " word){1,5} "\n"
word ::= [a-z]{1,10}`;

const SUM = String.raw`start: "The answer is " sum "."
sum: NUMBER (" + " NUMBER){1,3}
NUMBER: /[1-9][0-9]?/`;

const EXAMPLES: Readonly<Record<Kind, readonly Example[]>> = {
  json_schema: [
    { title: "A hero", source: HERO },
    { title: "Some words", source: WORDS },
  ],
  regex: [
    { title: "An answer", source: String.raw`(Yes|No), because [a-z ]{10,60}\.` },
    { title: "A day", source: "(Mon|Tues|Fri)day, the [1-9](st|nd|th)" },
  ],
  gbnf: [
    { title: "A dialogue", source: DIALOGUE },
    { title: "A list", source: LIST },
  ],
  lark: [{ title: "A sum", source: SUM }],
};
/** What each is called beside the other settings. */
const SHORT: Readonly<Record<Kind, string>> = { json_schema: "JSON", regex: "regular expression", gbnf: "grammar", lark: "grammar" };

function isKind(value: string): value is Kind {
  return Object.hasOwn(EXAMPLES, value);
}

/** The fields that say how JSON is written, by the options' names. */
function jsonFields(): [keyof JsonOptions, HTMLSelectElement][] {
  const names = Object.keys(JSON_OPTIONS) as (keyof JsonOptions)[];
  return names.map((name) => [name, byId(`json-${name}`, HTMLSelectElement)]);
}

/** Let the form ask for this constraint; null for any text. */
export function showConstraint(constraint: Constraint | null): void {
  const kind = byId("constraint-kind", HTMLSelectElement);
  kind.value = constraint?.kind ?? "";
  kind.dispatchEvent(new Event("change"));
  if (!constraint) return;
  byId("constraint-source", HTMLTextAreaElement).value = constraint.source;
  for (const [name, field] of jsonFields()) field.value = constraint.options?.[name] ?? JSON_OPTIONS[name][0];
}

export class ConstraintControl {
  readonly #kind = byId("constraint-kind", HTMLSelectElement);
  readonly #more = byId("constraint-more", HTMLElement);
  readonly #source = byId("constraint-source", HTMLTextAreaElement);
  readonly #json = byId("json-options", HTMLElement);
  readonly #examples = byId("constraint-examples", HTMLElement);
  readonly #digest = byId("constraint-digest", HTMLElement);
  /** The example that was put there, as long as nobody has changed it. */
  #untouched = "";

  constructor() {
    this.#kind.addEventListener("change", () => {
      const [first] = isKind(this.#kind.value) ? EXAMPLES[this.#kind.value] : [];
      if (first && this.#source.value === this.#untouched) this.#put(first);
      this.#show();
    });
    this.#show();
  }

  /** What the engine is asked to keep to; nothing where any text will do. */
  read(): { grammar?: Constraint } {
    const kind = this.#kind.value;
    if (!isKind(kind)) return {};
    const changed = jsonFields().filter(([name, field]) => field.value !== JSON_OPTIONS[name][0]);
    const options = Object.fromEntries(changed.map(([name, field]) => [name, field.value])) as JsonOptions;
    const written = kind === "json_schema" && changed.length > 0 ? { options } : {};
    return { grammar: { kind, source: this.#source.value, ...written } };
  }

  #put({ source }: Example): void {
    this.#source.value = this.#untouched = source;
  }

  #show(): void {
    const kind = this.#kind.value;
    const offered = isKind(kind) ? EXAMPLES[kind] : [];
    this.#more.hidden = !isKind(kind);
    this.#json.hidden = kind !== "json_schema";
    this.#digest.textContent = isKind(kind) ? `constraint: ${SHORT[kind]}` : "";
    this.#examples.replaceChildren(
      "For example:",
      ...offered.map((example) => {
        const button = document.createElement("button");
        button.type = "button";
        button.className = "quiet";
        button.textContent = example.title;
        button.addEventListener("click", () => this.#put(example));
        return button;
      }),
    );
  }
}
