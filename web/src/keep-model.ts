/**
 * Brings models in from outside: files that the visitor has opened, or an address that the visitor
 * has agreed to. It reads, checks and keeps; it knows no prompt, no text and no engine. It runs in a
 * page of its own, the only one that may reach other hosts (docs/offline.md): what that sends is the
 * question for the file. The page around it asks, by a port that it hands over.
 */

import { sha256 } from "@noble/hashes/sha2.js";
import { bytesToHex } from "@noble/hashes/utils.js";
import { expose } from "comlink";
import { keepAddress, look, nameOf, refuseOther, reporter } from "./bring/fetching";
import type { Arrival, Look, Seen } from "./bring/fetching";
import { keepModel, localAddress } from "./offline/models";
import type { AboutModel, KeptModel } from "./offline/models";

export type { Arrival, Look, Seen } from "./bring/fetching";

export interface ModelKeeper {
  /** Keep a file, whose name is the model's. */
  keepFile(file: File, report: (arrival: Arrival) => void): Promise<KeptModel>;
  /** What there is at an address, and at least its first `wanted` bytes. */
  look(url: string, wanted: number): Promise<Look>;
  /** Fetch and keep what is at addresses; a digest that is known is checked. */
  keepAddress(
    urls: readonly string[],
    digest: string | null,
    seen: Seen,
    report: (arrival: Arrival) => void,
  ): Promise<KeptModel>;
}

/** First its digest, which is its place in the store; then its bytes. */
async function keepFile(whole: File, report: (arrival: Arrival) => void): Promise<KeptModel> {
  const file = whole.name;
  const tell = reporter(whole.size, report);
  const hash = sha256.create();
  let bytes = 0;
  const reader = whole.stream().getReader();
  for (;;) {
    const { done, value } = await reader.read();
    if (done) break;
    if (bytes === 0) refuseOther(file, value);
    bytes += value.length;
    hash.update(value);
    tell(bytes);
  }
  if (bytes === 0) throw new Error(`${file} is empty`);
  const digest = bytesToHex(hash.digest());
  const about: AboutModel = { name: nameOf(file), bytes, sha256: digest, source: null };
  await keepModel(localAddress(digest), whole.stream(), about);
  return { ...about, from: localAddress(digest) };
}

/** Only the playground puts this page into a frame, and only it can talk to its frame. */
function takePort({ source, origin, ports: [port] }: MessageEvent<unknown>): void {
  if (source !== window.parent || origin !== location.origin || !port) return;
  removeEventListener("message", takePort);
  expose({ keepFile, look, keepAddress } satisfies ModelKeeper, port);
}

if (window.parent !== window) {
  addEventListener("message", takePort);
  document.documentElement.dataset["keeper"] = "ready";
}
