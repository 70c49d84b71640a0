/**
 * Models of this machine as a provider of the Vercel AI SDK:
 *
 *     const { text } = await generateText({ model: createThimble()("story"), prompt: "Once" });
 *
 * It wants the package `@ai-sdk/openai-compatible`.
 */

import { createOpenAICompatible } from "@ai-sdk/openai-compatible";
import type { OpenAICompatibleProvider } from "@ai-sdk/openai-compatible";
import { OpenAI } from "thimble-lm/openai";

export function createThimble(client: OpenAI = new OpenAI()): OpenAICompatibleProvider {
  return createOpenAICompatible({
    name: "thimble",
    baseURL: "https://thimble.invalid/v1", // nobody's: the client answers
    fetch: client.fetch,
    includeUsage: true,
    supportsStructuredOutputs: true,
  });
}
