/** What the live session tells its listeners besides that something is another. */

import type { AdapterInfo } from "../protocol/adapter";
import type { DownloadProgressEvent, TokenChunk } from "../thimble";

export class TextEvent extends Event {
  constructor(readonly text: string) {
    super("text");
  }
}

export class TokenEvent extends Event {
  constructor(
    readonly token: TokenChunk,
    /** Its place among the writing's tokens. */
    readonly index: number,
  ) {
    super("token");
  }
}

export class ProgressEvent extends Event {
  constructor(readonly progress: DownloadProgressEvent) {
    super("progress");
  }
}

/** An adapter was put on the live model, has another strength, or was taken off. */
export class AdapterEvent extends Event {
  constructor(readonly info: AdapterInfo | null) {
    super("adapter");
  }
}
