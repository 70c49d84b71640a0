/** Works out what a formula comes to, for a model that cannot: numbers, + - * / % ^, and functions. */

const FUNCTIONS: Readonly<Record<string, (...numbers: number[]) => number>> = {
  sqrt: Math.sqrt, cbrt: Math.cbrt, abs: Math.abs, round: Math.round, floor: Math.floor, ceil: Math.ceil,
  sin: Math.sin, cos: Math.cos, tan: Math.tan, asin: Math.asin, acos: Math.acos, atan: Math.atan,
  exp: Math.exp, ln: Math.log, log: Math.log10, log2: Math.log2, min: Math.min, max: Math.max,
};
const CONSTANTS: Readonly<Record<string, number>> = { pi: Math.PI, e: Math.E };
/** Longer ones are no formula that anybody wrote. */
const LONGEST = 1000;
const TOKEN = /\s*(?:(\d+(?:\.\d*)?(?:e[+-]?\d+)?|\.\d+(?:e[+-]?\d+)?)|([a-z]\w*)|(\*\*|[-+*/%^(),]))/iy;

type Token = { readonly text: string; readonly kind: "number" | "name" | "sign" };

function tokensOf(formula: string): Token[] {
  const text = formula.replace(/[×·]/g, "*").replace(/[÷]/g, "/").replace(/[−–]/g, "-").trimEnd();
  const tokens: Token[] = [];
  TOKEN.lastIndex = 0;
  while (TOKEN.lastIndex < text.length) {
    const at = TOKEN.lastIndex;
    const found = TOKEN.exec(text);
    if (!found) throw new Error(`“${text.slice(at, at + 10).trim()}” is nothing that can be worked out`);
    const [, number, name, sign = ""] = found;
    if (number !== undefined) tokens.push({ text: number, kind: "number" });
    else if (name !== undefined) tokens.push({ text: name.toLowerCase(), kind: "name" });
    else tokens.push({ text: sign === "**" ? "^" : sign, kind: "sign" });
  }
  return tokens;
}

class Reader {
  readonly #tokens: readonly Token[];
  #at = 0;

  constructor(tokens: readonly Token[]) {
    this.#tokens = tokens;
  }

  whole(): number {
    const value = this.#sum();
    const rest = this.#tokens[this.#at];
    if (rest) throw new Error(`“${rest.text}” stands where nothing more is expected`);
    return value;
  }

  #take(...signs: string[]): string | null {
    const next = this.#tokens[this.#at];
    if (next?.kind !== "sign" || !signs.includes(next.text)) return null;
    this.#at += 1;
    return next.text;
  }

  #sum(): number {
    let value = this.#product();
    for (let sign = this.#take("+", "-"); sign; sign = this.#take("+", "-")) {
      value = sign === "+" ? value + this.#product() : value - this.#product();
    }
    return value;
  }

  #product(): number {
    let value = this.#signed();
    for (let sign = this.#take("*", "/", "%"); sign; sign = this.#take("*", "/", "%")) {
      const other = this.#signed();
      value = sign === "*" ? value * other : sign === "/" ? value / other : value % other;
    }
    return value;
  }

  #signed(): number {
    if (this.#take("-")) return -this.#signed();
    this.#take("+");
    const base = this.#single();
    return this.#take("^") ? base ** this.#signed() : base;
  }

  #single(): number {
    const next = this.#tokens[this.#at++];
    if (next?.kind === "number") return Number(next.text);
    if (next?.kind === "name") return this.#named(next.text);
    if (next?.text !== "(") throw new Error(`${next ? `“${next.text}”` : "the end"} stands where a number is expected`);
    const value = this.#sum();
    if (!this.#take(")")) throw new Error("a “)” is missing");
    return value;
  }

  #named(name: string): number {
    const constant = Object.hasOwn(CONSTANTS, name) ? CONSTANTS[name] : undefined;
    if (constant !== undefined) return constant;
    const does = Object.hasOwn(FUNCTIONS, name) ? FUNCTIONS[name] : undefined;
    if (!does) throw new Error(`“${name}” is no function: there are ${Object.keys(FUNCTIONS).join(", ")}`);
    if (!this.#take("(")) throw new Error(`“(” is missing after “${name}”`);
    const given = [this.#sum()];
    while (this.#take(",")) given.push(this.#sum());
    if (!this.#take(")")) throw new Error("a “)” is missing");
    return does(...given);
  }
}

/** What a formula comes to, to 12 digits. Throws an error that says what is wrong in it. */
export function calculate(formula: string): number {
  if (formula.length > LONGEST) throw new Error(`the formula has ${formula.length} characters: at most ${LONGEST} are read`);
  const value = new Reader(tokensOf(formula)).whole();
  if (!Number.isFinite(value)) throw new Error(`it comes to no number: ${formula}`);
  return Number(value.toPrecision(12));
}
