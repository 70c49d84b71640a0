/** An element that tells events of its own: what `<thimble-lm>` and `<thimble-task>` have in common. */

import { LitElement } from "lit";

/** `Events` are the events by their names. */
export abstract class TellingElement<Events> extends LitElement {}

// For listeners written in TypeScript.
export interface TellingElement<Events> {
  addEventListener<Name extends keyof Events & string>(
    type: Name,
    listener: (this: this, event: Events[Name]) => unknown,
    options?: boolean | AddEventListenerOptions,
  ): void;
  addEventListener(
    type: string,
    listener: EventListenerOrEventListenerObject | null,
    options?: boolean | AddEventListenerOptions,
  ): void;
}
