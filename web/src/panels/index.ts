/** Every panel, one line each, in the order of the tabs. */

import { registerPanel } from "./registry";

registerPanel({ id: "write", title: "Write", load: () => import("./write") });
registerPanel({ id: "claims", title: "Claims", load: () => import("./claims") });
registerPanel({ id: "talk", title: "Talk", load: () => import("./talk") });
registerPanel({ id: "step", title: "Step", load: () => import("./step") });
registerPanel({ id: "read", title: "Read", load: () => import("./read") });
registerPanel({ id: "lens", title: "Lens", load: () => import("./lens") });
registerPanel({ id: "ensemble", title: "Ensemble", load: () => import("./ensemble") });
registerPanel({ id: "train", title: "Train", load: () => import("./train") });
registerPanel({ id: "python", title: "Python", load: () => import("./python") });
registerPanel({ id: "machine", title: "This machine", load: () => import("./machine") });
registerPanel({ id: "embed", title: "Embed", load: () => import("./embed") });
