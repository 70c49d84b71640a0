/** Every panel, one line each, in the order of the tabs. */

import { registerPanel } from "./registry";

registerPanel({ id: "play", title: "Write", load: () => import("./play") });
registerPanel({ id: "read", title: "Read", load: () => import("./read") });
registerPanel({ id: "train", title: "Train", load: () => import("./train") });
registerPanel({ id: "python", title: "Python", load: () => import("./python") });
