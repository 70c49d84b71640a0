/** What a request gives to read: OpenAI's `Stream`, whose answer goes on whether it is read or not. */

export class Stream<Item> implements AsyncIterable<Item> {
  /** Aborted to end the answer; who reads then hears no more. */
  readonly controller: AbortController;
  readonly #items: AsyncGenerator<Item>;
  /** Aborted by whoever asked: the stream then ends as one that was read to its end. */
  readonly #ended: AbortSignal;
  #taken = false;

  constructor(items: AsyncGenerator<Item>, controller: AbortController, ended: AbortSignal) {
    this.#items = items;
    this.controller = controller;
    this.#ended = ended;
  }

  /** One whose first item is there: what is wrong with a request is told before anything is read. */
  static async begun<Item>(
    items: AsyncGenerator<Item>, controller: AbortController, ended: AbortSignal,
  ): Promise<Stream<Item>> {
    const first = await items.next();
    const all = async function* (): AsyncGenerator<Item> {
      if (first.done) return;
      yield first.value;
      yield* items;
    };
    return new Stream(all(), controller, ended);
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<Item> {
    if (this.#taken) throw new Error("a stream can be read once");
    this.#taken = true;
    try {
      yield* this.#items;
    } catch (error) {
      if (!this.#ended.aborted) throw error;
    } finally {
      this.controller.abort(); // whoever read may have had enough
    }
  }

  /** Each chunk as a line of JSON, in UTF-8. */
  toReadableStream(): ReadableStream<Uint8Array> {
    const items = this[Symbol.asyncIterator]();
    const utf8 = new TextEncoder();
    return new ReadableStream({
      async pull(to): Promise<void> {
        const { done, value } = await items.next();
        if (done) to.close();
        else to.enqueue(utf8.encode(`${JSON.stringify(value)}\n`));
      },
      cancel: async () => void (await items.return(undefined)),
    });
  }
}
