/** What can go wrong, as the API tells it. */

/**
 * An error of Thimble's. `name` says which: "OptionError" (an unknown option or a value out of its
 * range), "ContextError" (more tokens than the context holds), "FormatError" (a model file that is
 * truncated or lies), "UnsupportedError", "MemoryLimitError", "NumericError" (a NaN arose),
 * "LoadError" (a file did not come), "StartError" (Python did not start), "CrashError" (the engine
 * died; the next `create` starts a new one).
 */
export class ThimbleError extends Error {
  constructor(name: string, message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = name;
  }
}

/** An error from the worker, whose class did not survive the crossing. */
export function revive(error: unknown): Error {
  if (error instanceof ThimbleError || error instanceof DOMException) return error;
  if (error instanceof Error) return new ThimbleError(error.name, error.message);
  return new ThimbleError("InternalError", String(error));
}
