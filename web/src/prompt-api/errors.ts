/** What goes wrong, under the names that the Prompt API has for it. */

interface Quota {
  readonly requested: number;
  readonly quota: number;
}

type QuotaError = new (message: string, quota: Quota) => DOMException & Quota;

/** `QuotaExceededError` where the browser has no such class yet. */
class OwnQuotaExceededError extends DOMException {
  readonly requested: number;
  readonly quota: number;

  constructor(message: string, { requested, quota }: Quota) {
    super(message, "QuotaExceededError");
    this.requested = requested;
    this.quota = quota;
  }
}

export function quotaExceeded(message: string, quota: Quota): DOMException & Quota {
  const { QuotaExceededError = OwnQuotaExceededError } = globalThis as { QuotaExceededError?: QuotaError };
  return new QuotaExceededError(message, quota);
}

const NAMES: Readonly<Record<string, string>> = {
  OptionError: "NotSupportedError", UnsupportedError: "NotSupportedError", LoadError: "NetworkError",
  MemoryLimitError: "OperationError", StartError: "OperationError", FormatError: "OperationError",
};

/** An error of Thimble's as a DOMException that says the same; others stay. */
export function domException(error: unknown): unknown {
  const { name = "", message = "" } = error instanceof Error ? error : {};
  if (error instanceof DOMException || error instanceof TypeError || error instanceof RangeError) return error;
  return Object.assign(new DOMException(message || String(error), NAMES[name] ?? "UnknownError"), { cause: error });
}
