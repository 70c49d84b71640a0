/** What the worker answers about texts as vectors. */

export interface EmbedService {
  /** The texts' vectors, float32 numbers one behind the other, in base64. */
  texts(session: number, texts: readonly string[]): { readonly numbers: string };
}
