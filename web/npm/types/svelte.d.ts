/** The elements in Svelte's markup: import type {} from "thimble-lm/svelte"; */

import type { HTMLAttributes } from "svelte/elements";
import type { Listeners, ThimbleLmEventMap, ThimbleLmProps, ThimbleTaskEventMap, ThimbleTaskProps } from "./elements.js";

type Tag<Props> = Omit<HTMLAttributes<HTMLElement>, keyof Props> & Props;

declare module "svelte/elements" {
  interface SvelteHTMLElements {
    "thimble-lm": Tag<ThimbleLmProps & Listeners<ThimbleLmEventMap, "on">>;
    "thimble-task": Tag<ThimbleTaskProps & Listeners<ThimbleTaskEventMap, "on">>;
  }
}
