/** Changes inside a model, what they are in words, and as they stand in a link. */

export const KINDS = ["head", "mlp", "attention", "neuron", "steer", "patch"] as const;
export type Kind = (typeof KINDS)[number];
export const WAYS = ["zero", "mean", "scale"] as const;
export type Way = (typeof WAYS)[number];

/** What `parse` of thimble/browser/lens_hooks.py takes. */
export interface Change {
  readonly kind: Kind;
  readonly layer: number;
  /** A head or a neuron; of a patch a head, or null for all that a layer is given. */
  readonly unit: number | null;
  readonly how: Way;
  /** What a part is multiplied with; how strongly it is steered. */
  readonly factor: number;
  /** The prompt that it is steered towards, or that values are taken from. */
  readonly towards: string;
  readonly away: string;
  readonly on: boolean;
}

export const PLAIN: Change = {
  kind: "head", layer: 0, unit: null, how: "zero", factor: 1, towards: "", away: "", on: true,
};

/** A change as a link has it: its fields between colons, "-" in front where it is switched off. */
export function encode({ kind, layer, unit, how, factor, towards, away, on }: Change): string {
  const fields: (string | number)[] = [kind, layer, unit ?? "", how];
  if (factor !== 1 || towards || away) fields.push(factor);
  if (towards || away) fields.push(encodeURIComponent(towards), encodeURIComponent(away));
  return (on ? "" : "-") + fields.join(":");
}

/** What a link says. Throws an Error with words for people where it says nothing of ours. */
export function decode(code: string): Change {
  const on = !code.startsWith("-");
  const [kind = "", layer = "", unit = "", how = "zero", factor = "1", towards = "", away = ""] =
    code.slice(on ? 0 : 1).split(":");
  const shown = code.length > 40 ? `${code.slice(0, 40)}…` : code;
  if (!isKind(kind)) throw new Error(`the change “${shown}” is none of ${KINDS.join(", ")}`);
  if (!isWay(how)) throw new Error(`the change “${shown}” has none of the ways ${WAYS.join(", ")}`);
  const [at, of, by] = [layer, unit || "0", factor].map(Number);
  if (layer === "" || !Number.isInteger(at) || !Number.isInteger(of) || !Number.isFinite(by)) {
    throw new Error(`the change “${shown}” has no layer, or no number`);
  }
  try {
    const texts = [towards, away].map(decodeURIComponent);
    return {
      kind, layer: at ?? 0, unit: unit === "" ? null : (of ?? 0), how, factor: by ?? 1,
      towards: texts[0] ?? "", away: texts[1] ?? "", on,
    };
  } catch {
    throw new Error(`the change “${shown}” has a text that cannot be read`);
  }
}

function isKind(word: string): word is Kind {
  return (KINDS as readonly string[]).includes(word);
}

function isWay(word: string): word is Way {
  return (WAYS as readonly string[]).includes(word);
}

/** Whether a change has a number that can be turned. */
export function isTurnable({ kind, how }: Change): boolean {
  return kind === "steer" || (kind !== "patch" && how === "scale");
}

/** "layer 4, head 3". */
export function headWords(layer: number, head: number): string {
  return `layer ${layer}, head ${head}`;
}

/** What a change does, as "layer 4, head 3 off". */
export function changeWords(change: Change): string {
  const { kind, layer, unit, how, factor, towards, away } = change;
  if (kind === "steer") {
    return `layer ${layer} steered ${number(factor)} times from “${cut(away)}” to “${cut(towards)}”`;
  }
  if (kind === "patch") {
    const what = unit === null ? `what layer ${layer} is given` : headWords(layer, unit);
    return `${what}, taken from “${cut(towards)}”`;
  }
  const ways: Record<Way, string> = {
    zero: "off", mean: "at its average", scale: `times ${number(factor)}`,
  };
  return `${partWords(kind, layer, unit)} ${ways[how]}`;
}

function partWords(kind: Kind, layer: number, unit: number | null): string {
  if (kind === "head") return headWords(layer, unit ?? 0);
  if (kind === "neuron") return `layer ${layer}, neuron ${unit ?? 0}`;
  return `layer ${layer}, ${kind === "mlp" ? "the whole MLP" : "all of its attention"}`;
}

function number(value: number): string {
  return String(Number(value.toFixed(2))).replace("-", "−");
}

/** Letters of a prompt that stand for it. */
const SHORT = 28;

function cut(text: string): string {
  return text.length > SHORT ? `${text.slice(0, SHORT - 1).trimEnd()}…` : text;
}
