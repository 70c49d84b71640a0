/** What an unfinished download is found by: a digest of the addresses that it comes from. */

import { sha256 } from "@noble/hashes/sha2.js";
import { bytesToHex } from "@noble/hashes/utils.js";

export function keyOf(urls: readonly string[]): string {
  return bytesToHex(sha256(new TextEncoder().encode(urls.join("\n")))).slice(0, 32);
}
