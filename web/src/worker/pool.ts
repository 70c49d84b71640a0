/**
 * The kernels in a memory of their own that threads share: what `thimble.browser.PoolKernel` drives
 * where the page is cross-origin isolated. The worker that Python runs in is thread 0.
 */

/** What a thread is told. */
export type ThreadOrder =
  | { order: "prepare"; module: WebAssembly.Module; memory: WebAssembly.Memory; stack: number }
  | { order: "enter"; index: number; round: number };

/** What a thread says. */
export type ThreadReport = "ready" | "entering";

/** A buffer as Pyodide lends it. */
interface LentBuffer {
  getBuffer(type: "u8"): { data: Uint8Array; release(): void };
}

type Kernel = (...args: number[]) => number;

const PAGE = 65_536;
/** Bytes that the pool may grow to: below this every address is a positive 32-bit number. */
const MOST = 2 ** 31;
const STACK = 2 ** 17;
/** A thread that has not started by then never will. */
const PATIENCE_MS = 10_000;

export class KernelPool {
  private constructor(
    private readonly kernels: Record<string, Kernel>,
    private readonly memory: WebAssembly.Memory,
    private readonly threads: readonly Worker[],
  ) {}

  /** Starts `count` threads, the caller included; rejects where the browser does not allow it. */
  static async start(wasm: string, script: string, count: number): Promise<KernelPool> {
    const memory = new WebAssembly.Memory({ initial: 256, maximum: MOST / PAGE, shared: true });
    const module = await WebAssembly.compileStreaming(fetch(wasm));
    const instance = await WebAssembly.instantiate(module, { env: { memory } });
    const kernels = instance.exports as unknown as Record<string, Kernel>;
    const threads: Worker[] = [];
    try {
      for (let i = 1; i < count; i++) threads.push(new Worker(script, { type: "module" }));
      await Promise.all(
        threads.map((thread) => {
          const stack = call(kernels, "alloc", STACK) + STACK;
          return told(thread, { order: "prepare", module, memory, stack }, "ready");
        }),
      );
      const round = call(kernels, "threads", count);
      await Promise.all(
        threads.map((thread, i) => told(thread, { order: "enter", index: i + 1, round }, "entering")),
      );
    } catch (error) {
      for (const thread of threads) thread.terminate();
      throw error;
    }
    return new KernelPool(kernels, memory, threads);
  }

  /** Threads that work, the caller included: 1 after one has died. */
  get alive(): number {
    return call(this.kernels, "threads_alive");
  }

  call(name: string, ...args: number[]): number {
    return call(this.kernels, name, ...args);
  }

  write(address: number, bytes: LentBuffer): void {
    const lent = bytes.getBuffer("u8");
    new Uint8Array(this.memory.buffer, address, lent.data.length).set(lent.data);
    lent.release();
  }

  read(address: number, length: number): Uint8Array {
    return new Uint8Array(this.memory.buffer, address, length).slice();
  }

  close(): void {
    for (const thread of this.threads) thread.terminate();
  }
}

function call(kernels: Record<string, Kernel>, name: string, ...args: number[]): number {
  const kernel = kernels[`tk_${name}`];
  if (!kernel) throw new Error(`there is no kernel ${name}`);
  return kernel(...args);
}

/** Gives an order and waits for the answer. */
function told(thread: Worker, order: ThreadOrder, answer: ThreadReport): Promise<void> {
  return new Promise((resolve, reject) => {
    const late = setTimeout(
      () => reject(new Error(`a thread did not say ${answer}`)),
      PATIENCE_MS,
    );
    thread.onmessage = ({ data }: MessageEvent<ThreadReport>) => {
      if (data !== answer) return;
      clearTimeout(late);
      resolve();
    };
    thread.onerror = (event) => {
      clearTimeout(late);
      reject(new Error(event.message || "a thread could not start"));
    };
    thread.postMessage(order);
  });
}
