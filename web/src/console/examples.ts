/** The worked examples, by the names that the template lists them with. */

import nextToken from "./examples/next_token.py";

export const examples: Readonly<Record<string, string>> = {
  next_token: nextToken,
};
