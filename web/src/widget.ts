/**
 * The element `<thimble-lm>`: a small language model that writes in somebody's page.
 *
 *     <script type="module" src="https://example.org/widget.js"></script>
 *     <thimble-lm model="story" prompt="Once upon a time"></thimble-lm>
 *
 * This file is all that comes before the element is seen or asked; the engine comes after, from the
 * site that this file is of, once for all elements of a page.
 */

import { ThimbleLm } from "./widget/element";

export { ThimbleLm };
export type {
  ErrorDetail, FinishDetail, LoadDetail, ProgressDetail, ThimbleLmEventMap, TokenDetail,
} from "./widget/events";

declare global {
  interface HTMLElementTagNameMap {
    "thimble-lm": ThimbleLm;
  }
}

// Two sites may offer it to one page: the first one stays.
if (!customElements.get("thimble-lm")) customElements.define("thimble-lm", ThimbleLm);
