/**
 * What a page and the frame on it say to each other, version 1 (docs/embedding.md).
 *
 * Every message is an object with `thimble: 1` and a `type`; one that is not read here is none.
 */

import type { SamplingOptions } from "../thimble";
import type { State } from "./view";
import type {
  ErrorDetail, FinishDetail, LoadDetail, ProgressDetail, TokenDetail,
} from "./events";

export const VERSION = 1;

/** What a host page may ask for; numbers only. */
export type FrameOptions = Pick<SamplingOptions, "max_tokens" | "temperature" | "top_p" | "seed">;

/** Host page to frame. */
export type ToFrame =
  | { readonly type: "prompt"; readonly text?: string; readonly options?: FrameOptions }
  | { readonly type: "stop" }
  | { readonly type: "clear" }
  /** Asks for a "status". */
  | { readonly type: "status" };

/** Messages that were not heard, by what was wrong with them. */
export interface Ignored {
  /** From another window than the one around the frame, or from another origin. */
  origin: number;
  malformed: number;
}

/** Frame to host page. */
export type FromFrame =
  | { readonly type: "ready"; readonly model: string }
  | ({ readonly type: "load" } & LoadDetail)
  | ({ readonly type: "progress" } & ProgressDetail)
  | ({ readonly type: "token" } & TokenDetail)
  | ({ readonly type: "finish" } & FinishDetail)
  | ({ readonly type: "error" } & ErrorDetail)
  /** Pixels that the element is high now. */
  | { readonly type: "resize"; readonly height: number }
  | { readonly type: "status"; readonly state: State; readonly ignored: Ignored };

const OPTIONS = ["max_tokens", "temperature", "top_p", "seed"] as const;

/** A host page's message, or null for what is none. */
export function read(data: unknown): ToFrame | null {
  if (!isRecord(data) || data["thimble"] !== VERSION) return null;
  switch (data["type"]) {
    case "stop":
    case "clear":
    case "status":
      return { type: data["type"] };
    case "prompt":
      return readPrompt(data);
    default:
      return null;
  }
}

function readPrompt({ text, options }: Record<string, unknown>): ToFrame | null {
  if (text !== undefined && typeof text !== "string") return null;
  const asked = text === undefined ? {} : { text };
  if (options === undefined) return { type: "prompt", ...asked };
  if (!isRecord(options)) return null;
  const entries = Object.entries(options);
  const right = entries.every(
    ([name, value]) => OPTIONS.some((one) => one === name) && Number.isFinite(value),
  );
  return right ? { type: "prompt", ...asked, options: options as FrameOptions } : null;
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null;
}
