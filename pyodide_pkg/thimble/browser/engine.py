"""What the worker calls.

Models and sessions are numbers here, arguments are numbers, texts and buffers, and every answer is
one JSON text, because those cross between JavaScript and Python without proxies. Bytes in an answer
are sent beside it. It imports nothing of Pyodide's, so it is tested natively. It does not know what
a page looks like.

What only some visitors use is in a service, a module beside this one that is imported when it is
first asked: the method "step.step" is `step` of the class `Service` in `step.py`.
"""

from __future__ import annotations

import hashlib
import importlib
import itertools
import json
import time
import traceback
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

from .. import Model, ModelLoader, Session, TokenChunk
from ..errors import (
    ContextError,
    FormatError,
    MemoryLimitError,
    OptionError,
    StoppedError,
    ThimbleError,
    UnsupportedError,
)
from ..generation import Generation, prompt_ids
from ..kernel import choose_variant
from ..model_config import architecture_of
from ..sampling import SamplingParams
from ..state import usual_kv_type
from .batches import numbers_of, texts_of
from .interrupts import interruptible
from .options import asked, parses_special, sampling
from .pool import POOL_FROM, JsBuffer, JsPool, PoolKernel, bytes_of

if TYPE_CHECKING:
    from ..chatting import Answering
    from ..custom_sampler import CustomSampler

PROMPT_STEP = 32
"""Prompt tokens between two looks at the clock, so that Stop is prompt on long prompts too."""


@dataclass(slots=True)
class Load:
    """A model on its way in."""

    name: str
    loader: ModelLoader
    sha256: str | None
    brought: bool
    """Whether as what keys and values are kept depends on their size."""
    encoders: bool
    """Whether one is of use."""
    digest: Any = field(default_factory=hashlib.sha256)


@dataclass(slots=True)
class Run:
    """A generation under way: first its prompt is read, then its chunks are drawn."""

    prompt: list[int]
    params: SamplingParams
    detailed: bool
    began: float
    """When it was asked for, by `time.perf_counter`."""
    constraint_start: int | None = None
    """The place where the grammar's text begins, if that is not where this one does."""
    answering: Answering | None = None
    """What takes the answer apart, in a conversation where it may be more than words."""
    chunks: Generation | None = None
    failure: ThimbleError | None = None
    """What ended it, to be told once the chunks before it have been."""
    times: list[int] = field(default_factory=list)
    """Microseconds from the beginning to each token that is not told yet."""
    told: set[int] = field(default_factory=set)
    """Tokens whose own texts the page has."""


class TokenRecord(NamedTuple):
    """A chunk of a generation, and how it came about."""

    chunk: TokenChunk
    params: SamplingParams
    custom: bool
    """Whether a sampler of the visitor's own chose it."""
    constraint_start: int | None
    """Where the grammar's text begins, if it has one."""
    mu: tuple[float, float] | None
    """Mirostat's state before and after it, where it is on."""


@dataclass(slots=True)
class SessionEntry:
    """A session of the page."""

    model: Model
    text: Session | None
    """None where the model is an encoder, which has no text to write on."""
    defaults: dict[str, Any]
    run: Run | None = None
    sampler: CustomSampler | None = None
    """Chooses the tokens of every generation that starts from now on, instead of the kernel."""
    records: list[TokenRecord] = field(default_factory=list)
    """The chunks at the session's end, until somebody takes them up (`step.py`)."""
    extras: dict[str, Any] = field(default_factory=dict)
    """What services keep with the session, by their names; it goes when the session does."""

    @property
    def session(self) -> Session:
        """The text. Raises UnsupportedError where the model is an encoder."""
        return self.model.session() if self.text is None else self.text


class Engine:
    """Everything that the worker may ask for, through `call`."""

    def __init__(
        self,
        kernels: str = "base",
        send: Callable[[bytes], object] | None = None,
        stopped: Callable[[int], bool] | None = None,
    ) -> None:
        """`send` is told the bytes of an answer before the answer is given; without it they are in
        `sent` until the next call. `stopped` says whether a session's generation is to stop: it is
        asked in the midst of work at a constraint, while the worker hears no message."""
        choose_variant(kernels)
        self.sent: list[bytes] = []
        self._send = send or self.sent.append
        self._stopped = stopped
        self._count = 0
        self._loads: dict[int, Load] = {}
        self.loaded: dict[str, Model] = {}
        """The models in memory, by name."""
        self.digests: dict[str, str] = {}
        """SHA-256 of their files."""
        self._services: dict[str, Any] = {}
        self._sessions: dict[int, SessionEntry] = {}
        self._ids = itertools.count(1)
        self.pool: PoolKernel | None = None
        """Kernels with threads, where the page may have them and something asked for them."""
        self._methods: dict[str, Callable[..., Any]] = {
            method.__name__: method
            for method in (
                self.use_pool, self.begin_load, self.feed, self.finish, self.cancel_load,
                self.drop, self.models, self.open, self.clone, self.destroy, self.tokenize,
                self.start, self.run, self.stop, self.logits_hash,
            )
        }  # fmt: skip

    def call(self, method: str, *arguments: Any) -> str:
        """Call a method; the answer is `{"value": ...}` or `{"error": [kind, message]}`. It has
        `{"$bytes": n}` in place of bytes: they were the n-th that this call sent, from 0."""
        self.sent.clear()
        self._count = 0
        try:
            with self._visitors_code():
                value = self._method(method)(*arguments)
                return json.dumps({"value": value}, default=self._sending)
        except KeyboardInterrupt:
            return _error("Interrupted", "it was interrupted")
        except ThimbleError as error:
            return _error(type(error).__name__, str(error))
        except MemoryError:
            return _error(MemoryLimitError.__name__, "the browser gives this page no more memory")
        except Exception as error:  # an error of ours: the page must live to show it
            where = traceback.extract_tb(error.__traceback__)[-1]
            words = f"{type(error).__name__}: {error} ({where.name}, line {where.lineno})"
            return _error("InternalError", words)

    def _sending(self, value: object) -> dict[str, int]:
        if not isinstance(value, bytes):
            raise TypeError(f"an answer cannot have {value!r} in it")
        self._send(value)
        self._count += 1
        return {"$bytes": self._count - 1}

    def _visitors_code(self) -> AbstractContextManager[object]:
        """Samplers of a visitor's own can be interrupted, and nothing else."""
        if all(opened.sampler is None for opened in self._sessions.values()):
            return nullcontext()
        return interruptible()

    def _method(self, name: str) -> Callable[..., Any]:
        """A method of the engine, or "SERVICE.METHOD" of a service."""
        if "." not in name:
            return self._methods[name]
        service, _, method = name.partition(".")
        if service not in self._services:
            module = importlib.import_module(f".{service}", __package__)
            self._services[service] = module.Service(self)
        found: Callable[..., Any] = getattr(self._services[service], method)
        return found

    # Models

    def use_pool(self, pool: JsPool) -> None:
        """Let large models from now on live in a memory that threads share."""
        self.pool = PoolKernel(pool)

    def begin_load(
        self,
        name: str,
        total_bytes: int | None,
        sha256: str | None,
        kv_type: str | None = "f32",
        encoders: bool = False,
    ) -> int:
        """Get ready for the bytes of a model, whose sessions keep keys and values as `kv_type`
        unless told otherwise; without one as `usual_kv_type` says. `encoders`: whether one that
        gives vectors, and writes nothing, is of use."""
        load = next(self._ids)
        kernel = self.pool if (total_bytes or 0) >= POOL_FROM else None
        loader = ModelLoader(total_bytes, kernel=kernel, kv_type=kv_type or "f32")
        self._loads[load] = Load(name, loader, sha256, kv_type is None, encoders)
        return load

    def feed(self, load: int, chunk: JsBuffer | bytes) -> None:
        """Take the next bytes of a model's file."""
        data = bytes_of(chunk)
        entry = self._loads[load]
        entry.digest.update(data)
        entry.loader.feed(data)
        header = entry.loader.header
        if header is not None and not entry.encoders and not architecture_of(header).causal:
            self.cancel_load(load)  # before all of it comes: every panel of the page writes
            raise UnsupportedError(
                f"model {entry.name!r} is an encoder: it gives vectors (thimble embed), and "
                "writes no text"
            )

    def finish(self, load: int) -> dict[str, Any]:
        """The whole file has come: the model is there."""
        entry = self._loads.pop(load)
        model = entry.loader.finish()
        came = entry.digest.hexdigest()
        if entry.sha256 is not None and came != entry.sha256:
            model.close()
            raise FormatError(
                f"the file of model {entry.name!r} was damaged on its way: "
                f"its SHA-256 is {came}, not {entry.sha256}"
            )
        if entry.brought:
            model.kv_type = usual_kv_type(model.kernel, model.config)
        self.loaded[entry.name] = model
        self.digests[entry.name] = came
        return _describe(entry.name, model)

    def cancel_load(self, load: int) -> None:
        """Forget a model that was on its way in."""
        entry = self._loads.pop(load, None)
        if entry is not None:
            entry.loader.close()

    def drop(self, name: str) -> None:
        """Free a model that no session uses."""
        model = self.loaded.get(name)
        if model is not None and all(one.model is not model for one in self._sessions.values()):
            self.loaded.pop(name).close()

    def models(self) -> list[dict[str, Any]]:
        """The models in memory."""
        return [_describe(name, model) for name, model in self.loaded.items()]

    # Sessions

    def open(self, model: str, defaults: str) -> int:
        """A new session on a model in memory; beside sampling options `kv_type` may say as what it
        keeps keys and values."""
        options = asked(defaults)
        kv_type = options.pop("kv_type", None)
        sampling(options)
        if model not in self.loaded:
            raise OptionError(f"no model {model!r} in memory; there are {sorted(self.loaded)}")
        loaded = self.loaded[model]
        text = loaded.session(kv_type=kv_type) if loaded.config.features.causal else None
        return self._keep(SessionEntry(loaded, text, options))

    def clone(self, session: int) -> int:
        """An independent copy of a session, its tokens and its defaults."""
        opened = self.opened(session)
        text = None if opened.text is None else opened.text.fork()
        copy = SessionEntry(opened.model, text, dict(opened.defaults))
        copy.sampler = opened.sampler
        return self._keep(copy)

    def destroy(self, session: int) -> None:
        """Free a session."""
        opened = self._sessions.pop(session, None)
        if opened is not None:
            opened.run = None
            if opened.text is not None:
                opened.text.close()

    def tokenize(self, session: int, text: str) -> list[int]:
        """A text's token ids, without the marks of beginning and end."""
        return self.opened(session).model.tokenizer.encode(text, add_special=False)

    def _keep(self, opened: SessionEntry) -> int:
        number = next(self._ids)
        self._sessions[number] = opened
        return number

    def opened(self, session: int) -> SessionEntry:
        """The session of this number; OptionError where there is none."""
        if session not in self._sessions:
            raise OptionError(f"there is no session {session}; it was destroyed or never made")
        return self._sessions[session]

    # Generation

    def start(self, session: int, prompt: str, options: str) -> dict[str, Any]:
        """Begin to generate; `run` does the work.

        `prompt` counts the text's tokens, those that are kept before it included; `reused` these.
        """
        began = time.perf_counter()
        opened = self.opened(session)
        merged = {**opened.defaults, **asked(options)}
        with self._stoppable(session, merged.get("grammar")):
            params, detailed = sampling(merged)
        keep = bool(merged.get("continue", False))
        n_cached = len(opened.session) if keep else 0
        ids = prompt_ids(
            opened.model, prompt, first=n_cached == 0, parse_special=parses_special(merged)
        )
        n_ctx = opened.session.n_ctx
        if n_cached + len(ids) >= n_ctx:
            raise ContextError(
                f"the text has {n_cached + len(ids):,} tokens and this model's context holds "
                f"{n_ctx:,}, what it writes included: shorten it"
            )
        constraint_start = None
        if params.grammar is not None:
            from .constraint import begins  # who has no grammar does not wait for it

            with self._stoppable(session, params.grammar):
                constraint_start = begins(
                    opened, params.grammar, n_cached + len(ids), resumed=keep and not ids
                )
        if not keep:
            opened.session.rollback(0)
        if not keep or ids:
            opened.records = []
        opened.run = Run(ids, params, detailed, began, constraint_start)
        return {"prompt": n_cached + len(ids), "reused": n_cached}

    def run(self, session: int, milliseconds: float) -> dict[str, Any]:
        """Work for about so long, for one token at least once the prompt is read."""
        opened = self.opened(session)
        if opened.run is None:
            raise OptionError(f"session {session} has nothing to run: start it first")
        until = time.perf_counter() + milliseconds / 1000
        run = opened.run
        try:
            with self._stoppable(session, run.params.grammar):
                chunks, reason = self._advance(opened, run, until)
        except BaseException:
            opened.run = None
            raise
        if reason is not None:
            opened.run = None
        batch: dict[str, Any] = {
            "count": len(chunks),
            "context": len(opened.session),
            "finish_reason": reason,
        }
        if run.answering is not None:
            batch["parts"], batch["finish_reason"] = run.answering.parts(chunks, reason)
        if run.detailed:
            batch["tokens"] = [chunk.text for chunk in chunks]
            batch["numbers"] = numbers_of(chunks, run.times)
            batch["texts"], batch["bytes"] = texts_of(opened.model, run.told, chunks)
            run.times = []
        else:
            batch["text"] = "".join(chunk.text for chunk in chunks)
        return batch

    def _advance(
        self, opened: SessionEntry, run: Run, until: float
    ) -> tuple[list[TokenChunk], str | None]:
        # The last prompt tokens go to `generate`, which wants something to begin with.
        while len(run.prompt) > PROMPT_STEP:
            opened.session.append(run.prompt[:PROMPT_STEP])
            del run.prompt[:PROMPT_STEP]
            if time.perf_counter() >= until:
                return [], None
        if run.chunks is None:
            run.chunks = opened.session.generate(
                run.prompt,
                run.params,
                sampler=opened.sampler,
                constraint_start=run.constraint_start,
                shown=run.answering.shown if run.answering else frozenset(),
                forced=run.answering.forced if run.answering else None,
            )
        if run.failure is not None:
            raise run.failure
        chunks: list[TokenChunk] = []
        try:
            for chunk in run.chunks:
                chunks.append(chunk)
                now = time.perf_counter()
                run.times.append(int(1e6 * (now - run.began)))
                custom = opened.sampler is not None
                opened.records.append(
                    TokenRecord(chunk, run.params, custom, run.constraint_start, run.chunks.mu)
                )
                if chunk.finish_reason is not None or now >= until:
                    return chunks, chunk.finish_reason
        except ThimbleError as error:
            if not chunks:
                raise
            run.failure = error  # the session has these chunks: the page must have them too
            return chunks, None
        return chunks, "length"  # nothing was asked for

    def stop(self, session: int) -> int:
        """End a generation; the tokens so far stay: how many there are."""
        opened = self.opened(session)
        opened.run = None
        return len(opened.session)

    def _stoppable(self, session: int, grammar: object) -> AbstractContextManager[object]:
        """Let the work at a session's constraint be stopped from outside."""
        stopped = self._stopped
        if grammar is None or stopped is None:
            return nullcontext()
        from ..constrain.effort import watched  # who has no grammar does not wait for it

        def look() -> None:
            if stopped(session):
                raise StoppedError("it was stopped")

        return watched(look)

    def logits_hash(self, session: int, tokens: str) -> str:
        """SHA-256 over the logits at every position of a JSON list of tokens: the bit promise."""
        twin = self.opened(session).session.fork()
        try:
            twin.rollback(0)
            digest = hashlib.sha256()
            for token in asked(tokens):
                twin.append([token])
                digest.update(twin.logits().tobytes())
            return digest.hexdigest()
        finally:
            twin.close()


def _error(kind: str, message: str) -> str:
    return json.dumps({"error": [kind, message]})


def _describe(name: str, model: Model) -> dict[str, Any]:
    config = model.config
    return {
        "name": name,
        "parameters": model.n_params,
        "bytes": model.nbytes,
        "architecture": config.architecture,
        "layers": config.n_layers,
        "dim": config.dim,
        "vocabulary": config.n_vocab,
        "contextWindow": config.n_ctx,
        "threads": model.kernel.call("threads_alive"),
    }
