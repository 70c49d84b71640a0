/**
 * Brings models in from outside: a file that the visitor has opened, or an address that a link names
 * and the visitor has agreed to. It reads, checks and keeps; it knows no prompt, no text and no
 * engine. It runs in a page of its own, the only one that may reach other hosts (docs/offline.md):
 * what that sends is the question for the file. The page around it asks, by a port that it hands over.
 */

import { sha256 } from "@noble/hashes/sha2.js";
import { bytesToHex } from "@noble/hashes/utils.js";
import { expose } from "comlink";
import { keepModel, localAddress } from "./offline/models";
import type { AboutModel, KeptModel } from "./offline/models";

/** Of a model on its way in. */
export interface Arrival {
  readonly bytes: number;
  /** Null while nobody knows. */
  readonly total: number | null;
}

export interface ModelKeeper {
  /** Keep a file; its name is the model's. */
  keepFile(file: File, report: (arrival: Arrival) => void): Promise<KeptModel>;
  /** How large the file at an address is, or null where its host does not say. */
  sizeOf(url: string): Promise<number | null>;
  /** Fetch and keep a file whose digest is known. */
  keepAddress(
    url: string,
    digest: string,
    bytes: number | null,
    report: (arrival: Arrival) => void,
  ): Promise<KeptModel>;
}

const MAGIC = [0x47, 0x47, 0x55, 0x46]; // "GGUF"
/** Times that a broken connection is taken up again in a row without a byte in between. */
const TRIES = 4;
const FIRST_WAIT_MS = 500;
const REPORT_MS = 100;

function nameOf(file: string): string {
  return file.replace(/\.gguf$/i, "") || "model";
}

function refuseOther(name: string, start: Uint8Array): void {
  if (MAGIC.every((byte, at) => start[at] === byte)) return;
  throw new Error(`${name} is not a GGUF file: it does not begin with “GGUF”`);
}

/** Calls back as bytes pass, but not for every chunk. */
function reporter(total: number | null, report: (arrival: Arrival) => void): (bytes: number) => void {
  let last = 0;
  return (bytes) => {
    const now = performance.now();
    if (now - last < REPORT_MS && bytes !== total) return;
    last = now;
    report({ bytes, total });
  };
}

/** The bytes go on as they are; their digest and number are known at the end. */
function watched(
  name: string,
  seen: (bytes: number) => void,
  digest: string | null,
): { stream: TransformStream<Uint8Array, Uint8Array>; digest: () => string } {
  const hash = sha256.create();
  let bytes = 0;
  let found = "";
  const stream = new TransformStream<Uint8Array, Uint8Array>({
    transform(chunk, to) {
      if (bytes === 0) refuseOther(name, chunk);
      bytes += chunk.length;
      hash.update(chunk);
      seen(bytes);
      to.enqueue(chunk);
    },
    flush() {
      if (bytes === 0) throw new Error(`${name} is empty`);
      found = bytesToHex(hash.digest());
      if (digest !== null && found !== digest) {
        throw new Error(
          `${name} is not the model that the link means: its SHA-256 is ${found}, ` +
            `the link says ${digest}`,
        );
      }
    },
  });
  return { stream, digest: () => found };
}

/** First its digest, which is its place in the store; then its bytes. */
async function keepFile(file: File, report: (arrival: Arrival) => void): Promise<KeptModel> {
  const name = nameOf(file.name);
  const watch = watched(file.name, reporter(file.size, report), null);
  await file.stream().pipeThrough(watch.stream).pipeTo(new WritableStream());
  const digest = watch.digest();
  const about: AboutModel = { name, bytes: file.size, sha256: digest, source: null };
  await keepModel(localAddress(digest), file.stream(), about);
  return { ...about, from: localAddress(digest) };
}

async function ask(url: string, init: RequestInit): Promise<Response> {
  const { host } = new URL(url);
  const response = await fetch(url, {
    ...init, credentials: "omit", referrerPolicy: "no-referrer", cache: "no-store",
  }).catch(() => {
    throw new Error(
      `${host} did not give the file to this page: it cannot be reached, or it does not allow ` +
        "other sites to read it (Access-Control-Allow-Origin)",
    );
  });
  if (!response.ok) throw new Error(`${host} answered ${response.status} ${response.statusText}`.trim());
  return response;
}

function lengthOf(response: Response): number | null {
  // The length of packed bytes says nothing of the file's.
  if (response.headers.has("content-encoding")) return null;
  const length = Number(response.headers.get("content-length"));
  return length > 0 ? length : null;
}

async function sizeOf(url: string): Promise<number | null> {
  return ask(url, { method: "HEAD" }).then(lengthOf, () => null);
}

/** The body of an address; where a connection breaks it is taken up again at the next byte. */
function resuming(url: string, first: Response): ReadableStream<Uint8Array> {
  let reader = first.body?.getReader();
  let at = 0;
  let tries = 0;
  /** Of a chunk that was read past in part. */
  let rest: Uint8Array | null = null;

  async function again(): Promise<void> {
    await new Promise((resolve) => setTimeout(resolve, FIRST_WAIT_MS * 2 ** tries));
    tries += 1;
    const response = await ask(url, { headers: { Range: `bytes=${at}-` } });
    reader = response.body?.getReader();
    // A host that knows no ranges begins anew; what has come is read past.
    for (let skip = response.status === 206 ? 0 : at; skip > 0; ) {
      const { value, done } = (await reader?.read()) ?? { done: true };
      if (done || !value) throw new Error("the file is shorter than before");
      if (value.length > skip) rest = value.subarray(skip);
      skip -= Math.min(skip, value.length);
    }
  }

  return new ReadableStream<Uint8Array>({
    async pull(to) {
      for (;;) {
        try {
          const { value, done } = rest ? { value: rest } : ((await reader?.read()) ?? { done: true });
          rest = null;
          if (done) return to.close();
          if (value) {
            at += value.length;
            tries = 0;
            return to.enqueue(value);
          }
        } catch (error) {
          if (tries >= TRIES) {
            const { host } = new URL(url);
            return to.error(new Error(`the connection to ${host} broke off after ${at} bytes`, { cause: error }));
          }
          await again().catch(() => undefined);
        }
      }
    },
    cancel: (reason) => reader?.cancel(reason),
  });
}

async function keepAddress(
  url: string,
  digest: string,
  bytes: number | null,
  report: (arrival: Arrival) => void,
): Promise<KeptModel> {
  const file = decodeURIComponent(new URL(url).pathname.split("/").at(-1) ?? "");
  const name = nameOf(file);
  const response = await ask(url, {});
  const total = bytes ?? lengthOf(response);
  if (total === null) throw new Error(`${new URL(url).host} does not say how large the file is`);
  const watch = watched(file || url, reporter(total, report), digest);
  const about: AboutModel = { name, bytes: total, sha256: digest, source: url };
  const from = localAddress(digest);
  await keepModel(from, resuming(url, response).pipeThrough(watch.stream), about);
  return { ...about, from };
}

/** Only the playground puts this page into a frame, and only it can talk to its frame. */
function takePort({ source, origin, ports: [port] }: MessageEvent<unknown>): void {
  if (source !== window.parent || origin !== location.origin || !port) return;
  removeEventListener("message", takePort);
  expose({ keepFile, sizeOf, keepAddress } satisfies ModelKeeper, port);
}

if (window.parent !== window) {
  addEventListener("message", takePort);
  document.documentElement.dataset["keeper"] = "ready";
}
