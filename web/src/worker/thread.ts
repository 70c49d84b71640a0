/**
 * One thread of the kernels' pool: an instance of the kernels on the memory that all share. It
 * sleeps in WebAssembly until there is work, so it hears no message once it has entered.
 */

import type { ThreadOrder, ThreadReport } from "./pool";

interface ThreadExports {
  __stack_pointer: WebAssembly.Global;
  tk_worker(index: number, round: number): number;
  tk_worker_failed(round: number): number;
}

let kernels: ThreadExports | null = null;

function report(words: ThreadReport): void {
  postMessage(words);
}

async function prepare(module: WebAssembly.Module, memory: WebAssembly.Memory, stack: number) {
  const instance = await WebAssembly.instantiate(module, { env: { memory } });
  kernels = instance.exports as unknown as ThreadExports;
  kernels.__stack_pointer.value = stack;
  report("ready");
}

function enter(index: number, round: number): void {
  if (!kernels) throw new Error("a thread was told to work before it was ready");
  report("entering");
  try {
    kernels.tk_worker(index, round);
  } catch (error) {
    // The others must not wait for this one.
    kernels.tk_worker_failed(round);
    throw error;
  }
}

addEventListener("message", ({ data }: MessageEvent<ThreadOrder>) => {
  if (data.order === "prepare") void prepare(data.module, data.memory, data.stack);
  else enter(data.index, data.round);
});
