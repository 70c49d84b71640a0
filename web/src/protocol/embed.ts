/** What the worker answers about texts as vectors. */

export interface EmbedEngine {
  /** The texts' vectors, float32 numbers one behind the other, in base64. */
  embedTexts(session: number, texts: readonly string[]): { readonly numbers: string };
}
