/**
 * The element `<thimble-task>`: a small model that does one job in somebody's page.
 *
 *     <script type="module" src="https://example.org/task-widget.js"></script>
 *     <thimble-task src="intent.task.json"></thimble-task>
 *
 * This file is all that comes before somebody uses the element; the engine comes after, from the site
 * that this file is of, once for all elements of a page.
 */

import { ThimbleTask } from "./widget/task-element";

export { ThimbleTask };
export type { ErrorDetail, ProgressDetail } from "./widget/events";
export type { AnswerDetail, TaskLoadDetail, ThimbleTaskEventMap } from "./widget/task-events";

declare global {
  interface HTMLElementTagNameMap {
    "thimble-task": ThimbleTask;
  }
}

// Two sites may offer it to one page: the first one stays.
if (!customElements.get("thimble-task")) customElements.define("thimble-task", ThimbleTask);
