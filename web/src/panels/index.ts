/** Every panel, one line each, in the order of the tabs. */

import { registerPanel } from "./registry";

registerPanel({ id: "play", title: "Write", load: () => import("./play") });
registerPanel({ id: "python", title: "Python", load: () => import("./python") });
