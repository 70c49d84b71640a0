"""What is answered at which address below /v1, to whom, and with which errors.

Browsers send requests of any page to any address, and names of others may lead here. So a body must
say that it is JSON, which a page of elsewhere may not; no answer allows other origins; and where
the server listens on this machine only, only its names are answered for.
"""

from __future__ import annotations

import base64
import contextlib
import hmac
import json
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from ...chatting import answer as answered
from ...embedding import embed
from ...errors import ContextError, OptionError, ThimbleError, UnsupportedError
from ...json_text import parse_json
from ..hosts import Hosts
from . import request as asked
from . import responses
from .answer import (
    chat_logprobs,
    completion_logprobs,
    delta,
    head,
    usage,
    whole_chat,
    whole_completion,
)
from .runner import BusyError, NoModelError, Place, Runner

MOST_BODY = 4 << 20
"""Bytes of a request."""
NO_STORE = {"Cache-Control": "no-store"}


class ApiError(ThimbleError):
    """What is wrong with a request before anybody reads it."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.code = code


def failure(error: Exception) -> tuple[int, dict[str, Any]]:
    """An error's status and body, in OpenAI's shape."""
    status, code = 500, "server_error"
    if isinstance(error, ApiError):
        status, code = error.status, error.code
    elif isinstance(error, NoModelError):
        status, code = 404, "model_not_found"
    elif isinstance(error, BusyError):
        status, code = 429, "too_many_requests"
    elif isinstance(error, ContextError):
        status, code = 400, "context_length_exceeded"
    elif isinstance(error, OptionError):
        status, code = 400, "invalid_value"
    elif isinstance(error, UnsupportedError):
        status, code = 400, "unsupported"
    kind = "server_error" if status >= 500 else "invalid_request_error"
    words = str(error) if isinstance(error, ThimbleError) else "something went wrong here"
    return status, {"error": {"message": words, "type": kind, "param": None, "code": code}}


class Api:
    """The routes. `key` is what requests must bring, if anything; `hosts` are the names that they
    may use."""

    def __init__(self, models: Mapping[str, Path], *, key: str = "", hosts: Hosts) -> None:
        self._runner = Runner(models)
        self._key = key
        self._hosts = hosts
        routes = [
            Route("/v1/models", self._guarded(self._models), methods=["GET"]),
            Route("/v1/models/{name:path}", self._guarded(self._model), methods=["GET"]),
            Route("/v1/chat/completions", self._guarded(self._chat), methods=["POST"]),
            Route("/v1/responses", self._guarded(self._responses), methods=["POST"]),
            Route("/v1/completions", self._guarded(self._completions), methods=["POST"]),
            Route("/v1/embeddings", self._guarded(self._embeddings), methods=["POST"]),
            Route("/v1/{rest:path}", self._guarded(self._nothing)),
        ]
        self.app = Starlette(routes=routes)

    def _guarded(self, handler: Callable[[Request], Any]) -> Callable[[Request], Any]:
        async def guarded(request: Request) -> Response:
            try:
                self._check(request)
                found: Response = await handler(request)
            except (ThimbleError, ClientDisconnect) as error:
                status, body = failure(error)
                return JSONResponse(body, status, NO_STORE)
            return found

        return guarded

    def _check(self, request: Request) -> None:
        if not self._hosts.allow(request.scope["headers"]):
            raise ApiError(421, "wrong_host", "this server does not answer for that host")
        given = request.headers.get("authorization", "").removeprefix("Bearer ")
        if self._key and not hmac.compare_digest(given.encode(), self._key.encode()):
            raise ApiError(401, "invalid_api_key", "the API key is missing or wrong")

    async def _nothing(self, request: Request) -> Response:
        raise ApiError(404, "not_found", f"there is no {request.method} {request.url.path:.100}")

    def _listing(self, name: str) -> dict[str, Any]:
        return {"id": name, "object": "model", "created": 0, "owned_by": "thimble"}

    async def _models(self, request: Request) -> Response:
        data = [self._listing(name) for name in self._runner.paths]
        return JSONResponse({"object": "list", "data": data}, headers=NO_STORE)

    async def _model(self, request: Request) -> Response:
        name, _ = self._runner.place(request.path_params["name"])
        return JSONResponse(self._listing(name), headers=NO_STORE)

    async def _chat(self, request: Request) -> Response:
        body = await read_json(request)
        name, place = self._runner.place(body.get("model"))

        async def chunks() -> AsyncIterator[dict[str, Any]]:
            async with place.turn():
                async for chunk in chat_chunks(body, name, place):
                    yield chunk

        return await answer(request, body, chunks(), whole_chat)

    async def _responses(self, request: Request) -> Response:
        body = await read_json(request)
        chat = responses.chat_request(body)
        name, place = self._runner.place(body.get("model"))

        async def events() -> AsyncIterator[dict[str, Any]]:
            async with place.turn():
                asked.chat(chat, place.model)  # what is wrong is told before anything else
                async for one in responses.events(body, chat_chunks(chat, name, place)):
                    yield one

        return await answer(request, body, events(), responses.whole)

    async def _completions(self, request: Request) -> Response:
        body = await read_json(request)
        name, place = self._runner.place(body.get("model"))

        async def chunks() -> AsyncIterator[dict[str, Any]]:
            async with place.turn():
                async for chunk in completion_chunks(body, name, place):
                    yield chunk

        return await answer(request, body, chunks(), whole_completion)

    async def _embeddings(self, request: Request) -> Response:
        body = await read_json(request)
        texts, packed = asked.texts_to_embed(body)
        name, place = self._runner.place(body.get("model"))
        async with place.turn():
            model = place.model
            wanted = body.get("dimensions")
            if wanted is not None and wanted != model.config.dim:
                raise OptionError(
                    f"dimensions is {wanted!r:.60}; the vectors of {name} have {model.config.dim}"
                )
            vectors = await place.run(lambda: embed(model, texts))
        data = [
            {
                "object": "embedding",
                "index": index,
                "embedding": base64.b64encode(vector).decode() if packed else [*vector],
            }
            for index, vector in enumerate(vectors)
        ]
        count = sum(len(model.tokenizer.encode(text)) for text in texts)
        told = {"prompt_tokens": count, "total_tokens": count}
        body = {"object": "list", "data": data, "model": name, "usage": told}
        return JSONResponse(body, headers=NO_STORE)


async def read_json(request: Request) -> dict[str, Any]:
    """A request's body: JSON of at most `MOST_BODY` bytes."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/json":
        raise ApiError(415, "unsupported_media_type", "the content type must be application/json")
    data = bytearray()
    async for chunk in request.stream():
        data += chunk
        if len(data) > MOST_BODY:
            raise ApiError(413, "too_large", f"a request has at most {MOST_BODY:,} bytes")
    body = parse_json(bytes(data), "the request", OptionError)
    if not isinstance(body, dict):
        raise OptionError(f"a request is an object, not {json.dumps(body):.60}")
    return body


async def answer(
    request: Request,
    body: Mapping[str, Any],
    chunks: AsyncIterator[dict[str, Any]],
    whole: Callable[[AsyncIterator[dict[str, Any]]], Any],
) -> Response:
    """A stream of events, or one object; whoever leaves ends what is written for them."""
    if body.get("stream") is not True:
        return JSONResponse(await whole(_while_there(request, chunks)), headers=NO_STORE)
    first = await anext(chunks, None)  # what is wrong is told by a status, before the stream begins

    async def events() -> AsyncIterator[str]:
        async with contextlib.aclosing(chunks):  # type: ignore[type-var]
            try:
                if first is not None:
                    yield event(first)
                async for chunk in chunks:
                    yield event(chunk)
            except ThimbleError as error:
                yield event(failure(error)[1])
            yield "data: [DONE]\n\n"

    return StreamingResponse(events(), headers=NO_STORE, media_type="text/event-stream")


def event(value: Mapping[str, Any]) -> str:
    kind = value.get("type", "")
    named = f"event: {kind}\n" if kind.startswith("response.") else ""
    return f"{named}data: {json.dumps(value, ensure_ascii=False)}\n\n"


async def _while_there(
    request: Request, chunks: AsyncIterator[dict[str, Any]]
) -> AsyncIterator[dict[str, Any]]:
    async with contextlib.aclosing(chunks):  # type: ignore[type-var]
        async for chunk in chunks:
            if await request.is_disconnected():
                raise ClientDisconnect
            yield chunk


async def chat_chunks(
    body: Mapping[str, Any], name: str, place: Place
) -> AsyncIterator[dict[str, Any]]:
    """A conversation's answers, a chunk a token."""
    messages, chat, wanted = asked.chat(body, place.model)
    same = head("chat.completion.chunk", name)
    tokenizer = place.model.tokenizer
    without = {"usage": None} if wanted.usage else {}
    prompt, count = len(chat.ids(messages)), 0
    for index in range(wanted.n):
        params = replace(wanted.params, seed=(wanted.params.seed + index) % 2**32)

        def begin(params: Any = params) -> Iterator[Any]:
            return answered(place.session, messages, params, chat)

        first, reason = True, None
        async for chunk in place.each(begin):
            count += 1
            reason = chunk.finish_reason
            told = {"role": "assistant", **delta(chunk)} if first else delta(chunk)
            first = False
            logprobs = chat_logprobs(tokenizer, chunk.token) if wanted.logprobs else None
            choice = {"index": index, "delta": told, "logprobs": logprobs, "finish_reason": reason}
            yield {**same, "choices": [choice], **without}
        if reason is None:  # no token was asked for
            told = {"role": "assistant", "content": ""}
            choice = {"index": index, "delta": told, "logprobs": None, "finish_reason": "length"}
            yield {**same, "choices": [choice], **without}
    if wanted.usage or not wanted.stream:
        yield {**same, "choices": [], "usage": usage(prompt, count)}


async def completion_chunks(
    body: Mapping[str, Any], name: str, place: Place
) -> AsyncIterator[dict[str, Any]]:
    """Texts that go on, a chunk a token."""
    prompts, wanted = asked.completion(body)
    same = head("text_completion", name)
    tokenizer = place.model.tokenizer
    read, count = 0, 0
    for at, prompt in enumerate(prompts):
        ids = tokenizer.encode(prompt, parse_special=body.get("parse_special") is True)
        read += len(ids)
        for again in range(wanted.n):
            index = at * wanted.n + again
            params = replace(wanted.params, seed=(wanted.params.seed + again) % 2**32)

            def begin(params: Any = params, ids: Any = ids) -> Iterator[Any]:
                place.session.rollback(0)
                return place.session.generate(ids, params)

            offset, reason = 0, None
            async for chunk in place.each(begin):
                count += 1
                reason = chunk.finish_reason
                told = completion_logprobs(tokenizer, chunk, offset) if wanted.logprobs else None
                offset += len(chunk.text)
                choice = {"index": index, "text": chunk.text, "logprobs": told}
                yield {**same, "choices": [{**choice, "finish_reason": reason}]}
            if reason is None:
                choice = {"index": index, "text": "", "logprobs": None}
                yield {**same, "choices": [{**choice, "finish_reason": "length"}]}
    if wanted.usage or not wanted.stream:
        yield {**same, "choices": [], "usage": usage(read, count)}


class Beside:
    """The routes below /v1, and another application for everything else."""

    def __init__(self, app: ASGIApp, api: Api) -> None:
        self._app = app
        self._api = api

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = scope.get("path", "").removeprefix(scope.get("root_path", ""))
        if scope["type"] == "http" and path.startswith("/v1/"):
            await self._api.app(scope, receive, send)
        else:
            await self._app(scope, receive, send)
