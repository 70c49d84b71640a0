/** What the live session tells its listeners besides that something is another. */

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
