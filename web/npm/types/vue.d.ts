/** The elements in Vue's templates: import type {} from "thimble-lm/vue"; */

import type { DefineComponent, HTMLAttributes } from "vue";
import type { ThimbleLmEventMap, ThimbleLmProps, ThimbleTaskEventMap, ThimbleTaskProps } from "./elements.js";

/** Vue hears `@finish` as `onFinish`. */
type Heard<Events> = {
  [Name in keyof Events & string as `on${Capitalize<Name>}`]?: ((event: Events[Name]) => void) | undefined;
};
type Tag<Props, Events> = DefineComponent<Omit<HTMLAttributes, keyof Props | keyof Heard<Events>> & Props & Heard<Events>>;

declare module "vue" {
  interface GlobalComponents {
    "thimble-lm": Tag<ThimbleLmProps, ThimbleLmEventMap>;
    "thimble-task": Tag<ThimbleTaskProps, ThimbleTaskEventMap>;
  }
}
