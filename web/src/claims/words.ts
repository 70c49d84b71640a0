/** Quantities as people read them. */

import { count, megabytes } from "../ui/format";
import type { Quantity, Result, Unit } from "./report";

/** A value with its unit. */
export function say(value: number, unit: Unit): string {
  switch (unit) {
    case "s":
      return `${digits(value)} s`;
    case "ms":
      return value >= 1000 ? `${digits(value / 1000)} s` : `${digits(value)} ms`;
    case "core-seconds":
      return `${digits(value)} core-s`;
    case "tokens/s":
      return `${count(value)} tokens/s`;
    case "bits/byte":
      return `${value.toFixed(3)} bits/byte`;
    case "bytes":
      return value === 0 ? "0 bytes" : value < 1e5 ? `${count(value)} bytes` : `${megabytes(value)} MB`;
    case "%":
      return `${digits(value)} %`;
    case "money":
      return value === 0 ? "0" : value.toPrecision(2);
    default:
      return `${count(value)} ${value === 1 ? unit.slice(0, -1) : unit}`;
  }
}

/** Three digits that matter, and no more. */
function digits(value: number): string {
  if (value === 0 || Math.abs(value) >= 100) return count(value);
  return value.toFixed(Math.max(0, 2 - Math.floor(Math.log10(Math.abs(value)))));
}

/** How far the samples are apart: "0.9 to 1.2 ms, n = 7"; nothing where they cannot be. */
export function sayRange({ lowest, highest, n, unit, exact }: Quantity): string {
  if (n === 1) return exact ? "the same on any machine" : "measured once";
  if (lowest === highest) return `the same ${n} times`;
  const low = say(lowest, unit);
  const high = say(highest, unit);
  const [number = "", ...rest] = low.split(" ");
  const same = rest.join(" ") === high.split(" ").slice(1).join(" ");
  return `${same ? number : low} to ${high}, n = ${count(n)}`;
}

/** The number of a card, for lists: "1.2 ms", or why there is none. */
export function sayResult(result: Result): string {
  if (result.status === "failed") return "failed";
  if (result.status === "cancelled") return "cancelled";
  const [first] = result.quantities;
  return first ? say(first.median, first.unit) : "–";
}
