/** Where the file of a loaded model is, for whoever trains on from it. */

import type { Build } from "../api/build";
import type { LiveSession } from "../live";
import type { ModelSource } from "../protocol";

/** The source of a model by the page's name of it; null where its file is not here. */
export function sourceOf(live: LiveSession, build: Build, name: string): ModelSource | null {
  const rest = { name, fresh: false, instead: [], kvType: "f32" as const, encoders: false };
  const file = live.files.get(name);
  if (file instanceof Blob) {
    return { ...rest, from: file, keep: false, bytes: file.size, sha256: null };
  }
  if (file) return { ...rest, from: file.from, keep: true, bytes: file.bytes, sha256: file.sha256 };
  const listed = build.model(name);
  if (!listed) return null;
  return { ...rest, from: listed.url, keep: true, bytes: listed.bytes, sha256: listed.sha256 };
}
