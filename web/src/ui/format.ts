/** Numbers as people read them. */

const whole = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });
const tenths = new Intl.NumberFormat("en", { maximumFractionDigits: 1, minimumFractionDigits: 1 });

export function count(value: number): string {
  return whole.format(value);
}

export function megabytes(bytes: number): string {
  return tenths.format(bytes / 1e6);
}

export function milliseconds(value: number): string {
  return value < 1000 ? `${whole.format(value)} ms` : `${tenths.format(value / 1000)} s`;
}

export function rate(perSecond: number): string {
  return perSecond < 100 ? tenths.format(perSecond) : whole.format(perSecond);
}

export function plural(value: number, noun: string): string {
  return `${whole.format(value)} ${noun}${value === 1 ? "" : "s"}`;
}

/** An error's message as a sentence; a traceback after its first line stays as it is. */
export function sentence(message: string): string {
  const [first = "", ...rest] = message.split("\n");
  const words = first.charAt(0).toUpperCase() + first.slice(1);
  return [/[.!?]$/.test(words) ? words : `${words}.`, ...rest].join("\n");
}
