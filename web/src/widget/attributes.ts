/** From attributes to values, and what is wrong with them. */

import type { ComplexAttributeConverter } from "lit";
import type { SamplingOptions } from "../thimble";

/** A number, NaN for what is none, null without the attribute. */
export const number: ComplexAttributeConverter<number | null> = {
  fromAttribute: (value) => (value === null ? null : value.trim() === "" ? NaN : Number(value)),
  toAttribute: (value) => (value === null ? null : String(value)),
};

/** A property's number: frameworks assign what their templates say, which is a text. */
export function asNumber(value: unknown): number | null {
  if (value === null || value === undefined) return null;
  return typeof value === "number" ? value : (number.fromAttribute?.(String(value)) ?? null);
}

/** A property's text: frameworks assign undefined where a template says nothing. */
export function asText(value: unknown): string | null {
  return value === null || value === undefined ? null : String(value);
}

/** One of `values`; anything else is the first, as HTML does it. */
export function oneOf<Value extends string>(
  ...values: readonly [Value, ...Value[]]
): ComplexAttributeConverter<Value> & { readonly fromAttribute: (given: unknown) => Value } {
  return { fromAttribute: (given) => values.find((value) => value === given) ?? values[0] };
}

export const LOADING = oneOf("lazy", "eager");
export const REVEAL = oneOf("auto", "manual");

/** Attribute → option; ranges are the engine's to check. */
const OPTIONS = {
  "max-tokens": "max_tokens", temperature: "temperature", "top-p": "top_p", seed: "seed",
} as const satisfies Record<string, keyof SamplingOptions>;

/** What the element does where an attribute is missing; a seed it draws anew for every text. */
export const DEFAULTS = { "max-tokens": 200, temperature: 0.8, "top-p": 0.95 } as const;

const SEEDS = 2 ** 32;

/** The attributes' values; null where there is none. */
export type Options = Readonly<Record<keyof typeof OPTIONS, number | null>>;

type Chosen = Record<(typeof OPTIONS)[keyof typeof OPTIONS], number>;

/** The element's sampling options. Without a seed every text has a new one. */
export function optionsOf(element: Element, values: Options): Chosen {
  const [random = 0] = crypto.getRandomValues(new Uint32Array(1));
  const { "max-tokens": max_tokens, temperature, "top-p": top_p } = DEFAULTS;
  const options: Chosen = { max_tokens, temperature, top_p, seed: random % SEEDS };
  for (const [attribute, name] of Object.entries(OPTIONS)) {
    const value = values[attribute as keyof typeof OPTIONS];
    if (value === null) continue;
    if (Number.isNaN(value)) {
      const given = element.getAttribute(attribute) ?? "NaN";
      const wrong = new Error(`the attribute ${attribute}="${given}" is not a number: write ${EXAMPLES[name]}`);
      wrong.name = "OptionError";
      throw wrong;
    }
    options[name] = value;
  }
  return options;
}

const EXAMPLES = {
  max_tokens: "a whole number from 0", temperature: "one from 0 to 100", top_p: "one from 0 to 1",
  seed: "a whole number from 0",
} as const;
