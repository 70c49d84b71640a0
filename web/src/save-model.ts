/**
 * Brings models in from outside: files that the visitor has opened, or an address that the visitor
 * has agreed to. It reads, checks and keeps; it knows no prompt, no text and no engine. It runs in a
 * page of its own, the only one that may reach other hosts (docs/offline.md): what that sends is the
 * question for the file. The page around it asks, by a port that it hands over.
 */

import { sha256 } from "@noble/hashes/sha2.js";
import { bytesToHex } from "@noble/hashes/utils.js";
import { expose } from "comlink";
import { nameOf } from "./bring/address";
import { Feed } from "./bring/feed";
import { saveAddress, look, refuseOther, reporter } from "./bring/fetching";
import type { Arrival, Brought, Look, Seen } from "./bring/fetching";
import { filesOfHub, searchHub } from "./bring/hub";
import type { HubFile, HubModel } from "./bring/hub";
import { saveModel, localAddress } from "./storage/models";
import type { AboutModel } from "./storage/models";

export type { Arrival, Brought, Look, Seen } from "./bring/fetching";
export type { HubFile, HubModel } from "./bring/hub";

export interface ModelKeeper {
  /** Keep a file, whose name is the model's; `port` leads to the engine that loads it meanwhile. */
  saveFile(
    file: File, report: (arrival: Arrival) => void, port: MessagePort | null,
  ): Promise<Brought>;
  /** What there is at an address, and at least its first `wanted` bytes. */
  look(url: string, wanted: number): Promise<Look>;
  /** Fetch and keep what is at addresses, in the same way; a digest that is known is checked. */
  saveAddress(
    urls: readonly string[],
    digest: string | null,
    seen: Seen,
    report: (arrival: Arrival) => void,
    port: MessagePort | null,
  ): Promise<Brought>;
  /** Repositories of Hugging Face with GGUF files that have these words in their name. */
  searchHub(words: string): Promise<HubModel[]>;
  /** The GGUF files of one of them. */
  filesOfHub(id: string): Promise<HubFile[]>;
  /** The engine takes no more of what is on its way; it is saved all the same. */
  loadNoMore(): void;
}

/** Of the job that is being done. */
let feed = new Feed(null);

/** First its digest, which is its place in the store, while the engine takes it; then its bytes. */
async function saveFile(
  whole: File, report: (arrival: Arrival) => void, port: MessagePort | null,
): Promise<Brought> {
  const file = whole.name;
  feed = new Feed(port);
  const tell = reporter(whole.size, feed, report);
  const hash = sha256.create();
  let bytes = 0;
  const reader = whole.stream().getReader();
  for (;;) {
    const { done, value } = await reader.read();
    if (done) break;
    if (bytes === 0) refuseOther(file, value);
    bytes += value.length;
    hash.update(value);
    await feed.take(value);
    tell(bytes);
  }
  if (bytes === 0) throw new Error(`${file} is empty`);
  const digest = bytesToHex(hash.digest());
  const about: AboutModel = { name: nameOf(file), bytes, sha256: digest, source: null };
  await Promise.all([saveModel(localAddress(digest), whole.stream(), about), feed.end()]);
  return { model: { ...about, from: localAddress(digest) }, notSaved: null };
}

/** Only the playground puts this page into a frame, and only it can talk to its frame. */
function takePort({ source, origin, ports: [port] }: MessageEvent<unknown>): void {
  if (source !== window.parent || origin !== location.origin || !port) return;
  removeEventListener("message", takePort);
  const answers: ModelKeeper = {
    saveFile,
    look,
    searchHub,
    filesOfHub,
    saveAddress: (urls, digest, seen, report, port) =>
      saveAddress(urls, digest, seen, report, (feed = new Feed(port))),
    loadNoMore: () => feed.off(),
  };
  expose(answers, port);
}

if (window.parent !== window) {
  addEventListener("message", takePort);
  document.documentElement.dataset["keeper"] = "ready";
}
