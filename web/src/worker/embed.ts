/** Answers about texts as vectors. */

import type { EmbedEngine } from "../protocol/embed";
import type { Python } from "./python";

export function embedAnswers(engine: () => Python): EmbedEngine {
  return {
    embedTexts: (session, texts) => engine().call("embed.texts", session, JSON.stringify(texts)),
  };
}
