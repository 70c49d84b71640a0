/** What Python writes to when an answer is too long for JSON. */

/** A buffer as Pyodide lends it. */
interface LentBuffer {
  getBuffer(type: "u8"): { data: Uint8Array; release(): void };
}

export class Sink {
  bytes: Uint8Array<ArrayBuffer> = new Uint8Array();

  /** Take a copy; what was written before is let go. */
  write(data: LentBuffer): void {
    const lent = data.getBuffer("u8");
    this.bytes = lent.data.slice();
    lent.release();
  }
}
