/** What the types of the elements must take and refuse, in each framework. */

import type { SvelteHTMLElements } from "svelte/elements";
import type { GlobalComponents } from "vue";
import type {} from "thimble-lm/svelte";
import type {} from "thimble-lm/vue";

export const svelte: SvelteHTMLElements["thimble-lm"] = { prompt: "a", seed: 7, onfinish: ({ detail }) => detail.tokens.toFixed() };
// @ts-expect-error: a seed is a number
export const wrong: SvelteHTMLElements["thimble-lm"] = { seed: "many" };
type Props = InstanceType<GlobalComponents["thimble-lm"]>["$props"];
export const vue: Props = { prompt: "a", seed: 7, onFinish: ({ detail }) => detail.tokens.toFixed() };
// @ts-expect-error: there is no such way to load
export const late: Props = { loading: "late" };
