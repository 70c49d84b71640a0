/** As much of Node as the tests use. */

declare const process: { readonly env: Readonly<Record<string, string | undefined>> };

declare module "node:test" {
  export default function test(name: string, body: () => void | Promise<void>): void;
}

declare module "node:assert/strict" {
  interface Assert {
    equal(found: unknown, wanted: unknown, words?: string): void;
    deepEqual(found: unknown, wanted: unknown): void;
    ok(found: unknown, words?: string): asserts found;
    match(found: string, wanted: RegExp): void;
    fail(words: string): never;
    throws(body: () => unknown, wanted: RegExp | { readonly name: string; readonly message?: RegExp } | ((error: Error) => boolean)): void;
    rejects(body: Promise<unknown>, wanted: RegExp): Promise<void>;
  }
  const assert: Assert;
  export default assert;
}
