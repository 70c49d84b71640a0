/** What templates may write on the elements, whichever framework reads them. */

import type { ThimbleTask, ThimbleTaskEventMap } from "./task-widget.js";
import type { ThimbleLm, ThimbleLmEventMap } from "./widget.js";

type Given<Element, Name extends keyof Element> = { [One in Name]?: Element[One] | undefined };

/** A listener for each event under its name behind a prefix. */
export type Listeners<Events, Prefix extends string> = {
  [Name in keyof Events & string as `${Prefix}${Name}`]?: ((event: Events[Name]) => void) | undefined;
};

export interface ThimbleLmProps
  extends Given<ThimbleLm, "model" | "loading" | "reveal" | "poster" | "readOnly" | "maxTokens" | "temperature" | "topP" | "seed"> {
  /** What the text begins with unless the visitor changes it. */
  prompt?: string | null | undefined;
  "max-tokens"?: number | string | undefined;
  "top-p"?: number | string | undefined;
  readonly?: boolean | undefined;
}

export type ThimbleTaskProps = Given<ThimbleTask, "src" | "model" | "label" | "value" | "threshold" | "loading" | "file">;

export type { ThimbleLmEventMap, ThimbleTaskEventMap };
