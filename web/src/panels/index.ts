/** Every panel, one line each, in the order of the tabs. */

import { registerPanel } from "./registry";

registerPanel({ id: "play", title: "Write", load: () => import("./play") });
registerPanel({ id: "ledger", title: "Claims", load: () => import("./ledger") });
registerPanel({ id: "chat", title: "Talk", load: () => import("./chat") });
registerPanel({ id: "debug", title: "Step", load: () => import("./debug") });
registerPanel({ id: "read", title: "Read", load: () => import("./read") });
registerPanel({ id: "lens", title: "Look inside", load: () => import("./lens") });
registerPanel({ id: "ensemble", title: "Ensemble", load: () => import("./ensemble") });
registerPanel({ id: "train", title: "Train", load: () => import("./train") });
registerPanel({ id: "python", title: "Python", load: () => import("./python") });
registerPanel({ id: "storage", title: "This machine", load: () => import("./storage") });
registerPanel({ id: "embed", title: "Embed", load: () => import("./embed") });
