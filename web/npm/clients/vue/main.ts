import { createApp } from "vue";
import { Thimble } from "thimble-lm";
import "thimble-lm/widget";
import App from "./App.vue";

Thimble.configure({ site: import.meta.env.VITE_THIMBLE_SITE });
createApp(App).mount("#root");
