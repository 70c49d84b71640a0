/** The elements in JSX, for React 19: import type {} from "thimble-lm/react"; */

import type { DetailedHTMLProps, HTMLAttributes } from "react";
import type { Listeners, ThimbleLmEventMap, ThimbleLmProps, ThimbleTaskEventMap, ThimbleTaskProps } from "./elements.js";

type Tag<Props> = Omit<DetailedHTMLProps<HTMLAttributes<HTMLElement>, HTMLElement>, keyof Props> & Props;

declare module "react" {
  namespace JSX {
    interface IntrinsicElements {
      "thimble-lm": Tag<ThimbleLmProps & Listeners<ThimbleLmEventMap, "on">>;
      "thimble-task": Tag<ThimbleTaskProps & Listeners<ThimbleTaskEventMap, "on">>;
    }
  }
}
