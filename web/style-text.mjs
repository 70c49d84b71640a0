// A style that a module imports is a minified text, for elements that bring their own.

import { readFile } from "node:fs/promises";
import * as esbuild from "esbuild";

export const styleText = {
  name: "style text",
  setup(build) {
    build.onLoad({ filter: /\.css$/ }, async ({ path }) => {
      const { code } = await esbuild.transform(await readFile(path), { loader: "css", minify: true });
      return { contents: code.trim(), loader: "text" };
    });
  },
};
