/** Which of the models that are saved on this machine can talk: their files' headers tell. */

import { examine } from "../bring/estimate";
import type { LiveSession } from "../live";
import { savedFile } from "../storage/models";

export interface Talker {
  readonly name: string;
  readonly bytes: number;
}

export async function savedTalkers(live: LiveSession): Promise<Talker[]> {
  const found: Talker[] = [];
  for (const [name, saved] of live.files) {
    try {
      const file = saved instanceof Blob ? saved : await savedFile(saved.from);
      if (!file) continue;
      const { model } = await examine(live, async (bytes) => ({
        head: await file.slice(0, bytes).arrayBuffer(), total: file.size,
      }));
      if (model.chat) found.push({ name, bytes: file.size });
    } catch {
      // it does not run here; "This machine" tells why
    }
  }
  return found;
}
