/**
 * Models of this machine for LangChain.js:
 *
 *     const answer = await chatThimble({ model: "story" }).invoke("Once upon a time");
 *
 * It wants the packages `@langchain/openai` and `@langchain/core`.
 */

import { ChatOpenAI, OpenAIEmbeddings } from "@langchain/openai";
import type { ChatOpenAIFields, OpenAIEmbeddingsParams } from "@langchain/openai";
import { OpenAI } from "thimble-lm/openai";

/** What has LangChain ask this client and no server. */
function asked(client: OpenAI): Pick<ChatOpenAIFields, "apiKey" | "configuration"> {
  const baseURL = "https://thimble.invalid/v1";
  return { apiKey: "none", configuration: { baseURL, fetch: client.fetch, dangerouslyAllowBrowser: true } };
}

/** A chat model; the fields are those of `ChatOpenAI`. */
export function chatThimble(fields: ChatOpenAIFields, client: OpenAI = new OpenAI()): ChatOpenAI {
  return new ChatOpenAI({ maxRetries: 0, useResponsesApi: false, ...fields, ...asked(client) });
}

/** Vectors of texts. */
export function thimbleEmbeddings(
  fields: Partial<OpenAIEmbeddingsParams>, client: OpenAI = new OpenAI(),
): OpenAIEmbeddings {
  return new OpenAIEmbeddings({ maxRetries: 0, encodingFormat: "float", ...fields, ...asked(client) });
}
