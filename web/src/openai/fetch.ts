/**
 * OpenAI's routes as a `fetch`, for clients that let one be given: the npm package `openai`, the AI
 * SDK, LangChain. They believe in a server; nothing leaves the page.
 *
 *     new OpenAI({ apiKey: "none", baseURL: "https://thimble.invalid/v1", fetch: client.fetch })
 */

import { ThimbleError } from "../api/errors";
import type { RequestOptions } from "./types";

/** What the routes ask of the client. */
export interface Asked {
  chat(request: object, options: RequestOptions): Promise<object | AsyncIterable<object>>;
  complete(request: object, options: RequestOptions): Promise<object | AsyncIterable<object>>;
  respond(request: object, options: RequestOptions): Promise<object | AsyncIterable<object>>;
  embed(request: object, options: RequestOptions): Promise<object>;
  models(): Promise<{ readonly data: readonly { readonly id: string }[] }>;
}

const ROUTES = {
  "/chat/completions": "chat", "/completions": "complete", "/responses": "respond", "/embeddings": "embed",
} as const;

/** The status and code that OpenAI's clients know an error by. */
const STATUS: Readonly<Record<string, readonly [status: number, code: string]>> = {
  OptionError: [400, "invalid_value"], ContextError: [400, "context_length_exceeded"],
  UnsupportedError: [400, "unsupported"],
};

/** A `fetch` that these answer, whatever the host. */
export function fetchOf(asked: Asked): typeof fetch {
  return async (input, init) => {
    const request = new Request(input instanceof Request ? input : String(input), init);
    try {
      return await answered(asked, request);
    } catch (error) {
      if (request.signal.aborted) throw request.signal.reason;
      return failed(error);
    }
  };
}

async function answered(asked: Asked, request: Request): Promise<Response> {
  const path = new URL(request.url).pathname;
  const [, name] = /\/models(?:\/(.+))?$/.exec(path) ?? [];
  if (request.method === "GET" && /\/models(\/|$)/.test(path)) return modelOf(asked, name);
  const route = Object.entries(ROUTES).find(([end]) => path.endsWith(end) && (end !== "/completions" || !path.endsWith("/chat/completions")));
  if (!route || request.method !== "POST") {
    return failed(new ThimbleError("OptionError", `there is no ${request.method} ${path}`), 404, "not_found");
  }
  const answer = await asked[route[1]]((await request.json()) as object, { signal: request.signal });
  return isStream(answer) ? streamed(answer) : Response.json(answer);
}

/** All models, or the one of this name. */
async function modelOf(asked: Asked, name: string | undefined): Promise<Response> {
  const listed = await asked.models();
  if (name === undefined) return Response.json({ object: "list", data: listed.data });
  const model = listed.data.find(({ id }) => id === decodeURIComponent(name));
  return model ? Response.json(model) : failed(new ThimbleError("OptionError", `there is no model ${name}`), 404, "model_not_found");
}

function isStream(answer: object): answer is AsyncIterable<object> {
  return Symbol.asyncIterator in answer;
}

/** Chunks as server-sent events; a client that leaves ends the answer. */
function streamed(chunks: AsyncIterable<object>): Response {
  const items = chunks[Symbol.asyncIterator]();
  const utf8 = new TextEncoder();
  const event = (value: object): Uint8Array => {
    const { type } = value as { type?: unknown };
    const named = typeof type === "string" && type.startsWith("response.") ? `event: ${type}\n` : "";
    return utf8.encode(`${named}data: ${JSON.stringify(value)}\n\n`);
  };
  const body = new ReadableStream<Uint8Array>({
    async pull(to): Promise<void> {
      try {
        const { done, value } = await items.next();
        if (!done) return to.enqueue(event(value));
        to.enqueue(utf8.encode("data: [DONE]\n\n"));
        to.close();
      } catch (error) {
        to.error(error);
      }
    },
    cancel: async () => void (await items.return?.()),
  });
  return new Response(body, { headers: { "content-type": "text/event-stream" } });
}

function failed(error: unknown, ...known: [] | [status: number, code: string]): Response {
  const { name = "", message = String(error) } = error instanceof Error ? error : {};
  const [status, code] = known.length > 0 ? known : (STATUS[name] ?? [500, "server_error"]);
  const type = (status ?? 500) >= 500 ? "server_error" : "invalid_request_error";
  return Response.json({ error: { message, type, param: null, code } }, { status: status ?? 500 });
}
