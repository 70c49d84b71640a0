"""Tokens, their keys and values in kernel memory, and text that grows.

A session computes lazily: tokens that were chosen but whose keys and values nobody has needed yet
are computed together with the next call. So are all of them where the model has changed since: an
adapter was put on it, or has another strength, or hooks stand on it that did not (`lens/`).
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterator, Mapping, Sequence
from os import PathLike
from typing import TYPE_CHECKING, Any

from .deprecated import warn
from .errors import ContextError, HookError, NumericError, OptionError, ThimbleError
from .kernel import BATCH, Scratch
from .sampling import NOTHING_LEFT, Choice, Sampler, SamplingParams, read_choice
from .state import FIRST_POSITIONS, State, failure

if TYPE_CHECKING:
    from .chatting import ChatChunk
    from .custom_sampler import CustomSampler
    from .generation import Forced, Generation
    from .language_model import LanguageModel

SHOWN = 20
"""Of how many tokens a session's repr has the text."""


class Session:
    """One sequence over a model. `Model.session` makes one."""

    def __init__(self, model: LanguageModel, n_ctx: int, kv_type: str | None = None) -> None:
        self.model = model
        self.n_ctx = n_ctx
        self.kv_type = kv_type or model.kv_type
        """As what keys and values are kept."""
        self._kernel = model.kernel
        self._tokens: list[int] = []
        self._computed = 0
        self._revision = model.revision
        self._logits_at = -1
        self._state: State | None = None
        self._address, self._capacity = 0, 0  # the state's, which are asked for at each token
        self._row = (model.config.n_vocab + 3) & ~3
        self._logits = Scratch(self._kernel, 4 * self._row, "logits")
        self._ids = Scratch(self._kernel, 4 * BATCH, "token ids")
        self._id_slots = self._kernel.int32s(self._ids.address, BATCH)
        self._grow(min(FIRST_POSITIONS, n_ctx))

    @property
    def tokens(self) -> tuple[int, ...]:
        """The ids of the sequence."""
        return tuple(self._tokens)

    @property
    def runs_in_kernel(self) -> bool:
        """Whether the kernel computes this sequence by itself: one model, without hooks."""
        return not self.model.fwd_hooks

    def __len__(self) -> int:
        return len(self._tokens)

    def __repr__(self) -> str:
        last = self.model.tokenizer.decode(self._tokens[-SHOWN:])
        text = "..." * (len(self) > SHOWN) + last
        of = f"of {self.model.name!r}: {len(self):,} of {self.n_ctx:,} tokens"
        return f"<{type(self).__name__} {of}{f', {text!r}' if self else ''}>"

    def append(
        self, ids: Sequence[int], *, progress: Callable[[int, int], None] | None = None
    ) -> None:
        """Put ids at the end and compute them, in batches; `progress(done, total)` after each.

        Raises ContextError where they do not fit, OptionError for an id that the vocabulary does
        not have; the session is then as before.
        """
        self._check(ids)
        self._tokens.extend(ids)
        start = self._computed
        total = len(self._tokens) - start
        while self._computed < len(self._tokens):
            self._compute(min(len(self._tokens), self._computed + BATCH))
            if progress:
                progress(self._computed - start, total)

    def logits(self) -> array[float]:
        """The logits of what comes next: n_vocab float32 numbers, copied."""
        self._ready()
        return self._logits.floats(self.model.config.n_vocab)

    def rollback(self, n: int) -> None:
        """Keep the first n tokens. What is kept of them is not computed again, unless a layer has
        let go of some of it: then they are computed when they are next needed."""
        if not isinstance(n, int) or not 0 <= n <= len(self._tokens):
            raise OptionError(f"cannot roll back to {n!r}: there are {len(self._tokens)} tokens")
        self._invalidate_if_stale()
        del self._tokens[n:]
        if self._computed > n:
            self._computed = self._truncate_cache(n)
        if self._logits_at > n:
            self._logits_at = -1

    def fork(self, n: int | None = None) -> Session:
        """An independent copy, of the first n tokens: same keys and values, computed once."""
        self._invalidate_if_stale()
        kept = len(self._tokens) if n is None else n
        if not 0 <= kept <= len(self._tokens):
            raise OptionError(f"cannot copy {n!r} tokens: there are {len(self._tokens)}")
        copy = type(self)(self.model, self.n_ctx, self.kv_type)
        copy._tokens = self._tokens[:kept]
        copy._computed = copy._copy_cache(self, min(self._computed, kept))
        copy._grow(kept)
        if self._logits_at == kept:
            self._kernel.call("copy", copy._logits.address, self._logits.address, 4 * self._row)
            copy._logits_at = self._logits_at
        return copy

    def score(self, ids: Sequence[int], *, top: int = 0) -> list[Choice]:
        """Append ids and say how probable the model found each of them where it stood.

        The first is left out where the session was empty: nothing came before it.
        """
        self._check(ids)
        choices: list[Choice] = []
        if self._tokens and ids:
            self._ready()
            choices += self._describe(self._logits.address, [ids[0]], top)
        rows = Scratch(self._kernel, 4 * self._row * BATCH, "scoring")
        try:
            for at in range(0, len(ids), BATCH):
                part = list(ids[at : at + BATCH])
                self._forward(part, 1, rows.address)
                self._tokens.extend(part)  # only now: a batch that failed is not in the cache
                self._computed = len(self._tokens)
                following = list(ids[at + 1 : at + 1 + len(part)])
                choices += self._describe(rows.address, following, top)
                last = rows.address + 4 * self._row * (len(part) - 1)
                self._kernel.call("copy", self._logits.address, last, 4 * self._row)
                self._logits_at = len(self._tokens)
        finally:
            rows.close()
        return choices

    def sample(self, sampler: Sampler) -> Choice:
        """Choose the next token; it is not appended."""
        self._prepare_logits()
        sampler.prepare(self._tokens)
        self._draw(self._tokens[self._computed :], sampler)
        self._computed = self._logits_at = len(self._tokens)
        return sampler.choice()

    def token_logprob(self, token: int, *, top: int = 0) -> Choice:
        """How probable the model finds a token that may come next; it is not appended."""
        self._check([token], append=False)
        self._ready()
        return self._describe(self._logits.address, [token], top)[0]

    def weigh(self, token: int, *, top: int = 0) -> Choice:
        """The old name of `token_logprob`."""
        warn("Session.weigh", "token_logprob")
        return self.token_logprob(token, top=top)

    def add_hidden(self, count: int, sums: int) -> int:
        """Add the last hidden states of the `count` tokens that were appended last, BATCH at most,
        to the doubles at an address; not 0 where one is not finite."""
        return self._kernel.call("hidden_sum", self._live(), count, sums)

    def embed(self, text: str) -> array[float]:
        """A text's vector, by this session's model: see `embedding.py`. The session stays."""
        return self.model.embed(text)

    def accept(self, token: int) -> None:
        """Append one token without computing it yet."""
        self._check([token])
        self._tokens.append(token)

    def generate(
        self,
        prompt: str | Sequence[int] = "",
        params: SamplingParams | None = None,
        *,
        sampler: CustomSampler | None = None,
        constraint_start: int | None = None,
        shown: frozenset[int] = frozenset(),
        forced: Forced | None = None,
        shape_from: int | None = None,
    ) -> Generation:
        """Append the prompt and write on: see `generation.generate`. `shape_from` is the old name
        of `constraint_start`."""
        from .generation import generate

        if shape_from is not None:
            warn("shape_from", "constraint_start")
            constraint_start = shape_from
        params = params or SamplingParams()
        return generate(
            self, prompt, params, custom=sampler, constraint_start=constraint_start, shown=shown,
            forced=forced,
        )  # fmt: skip

    def chat(
        self,
        messages: Sequence[Mapping[str, Any]],
        params: SamplingParams | None = None,
        **options: Any,
    ) -> Iterator[ChatChunk]:
        """The assistant's next turn after `messages`, of which the session keeps what it has. The
        options (`tools`, `tool_choice`, `enable_thinking`) are those of `chatting.Chat`; a chunk
        has `content`, and `parts` that tell words, thoughts and calls apart."""
        from .chatting import Chat, answer

        params = params or SamplingParams()
        chat = Chat(self.model, constrained=params.grammar is not None, **options)
        return answer(self, messages, params, chat)

    def save(self, path: str | PathLike[str]) -> None:
        """Write the session to a file, whole or not at all: `model.load_session(path)` goes on from
        it without computing anything anew, with the same bits. Raises UnsupportedError where the
        model is made of others, or has an adapter or hooks on it."""
        from .session_file import save

        save(self, path)

    # What session_file.py does with a session.

    @property
    def address(self) -> int:
        """The kernel's session. Raises ThimbleError where it is closed."""
        return self._live()

    def settled(self) -> int:
        """How many tokens' keys and values are kept, and those of this model as it is."""
        self._invalidate_if_stale()
        return self._computed

    def make_room(self, positions: int) -> None:
        """See to it that there is a place for so many positions."""
        self._grow(positions)

    def restored(self, tokens: list[int], computed: int) -> None:
        """Told that keys and values of the first `computed` of these tokens are in place."""
        self._tokens, self._computed, self._logits_at = tokens, computed, -1
        self._grow(len(tokens))
        assert self._state
        self._capacity = self._state.capacity

    def close(self) -> None:
        """Give the memory back."""
        self._free()
        self._logits.close()
        self._ids.close()

    def __del__(self) -> None:
        if getattr(self, "_address", 0):
            self.close()

    def _live(self) -> int:
        if not self._address:
            raise ThimbleError("the session is closed")
        if self.model.closed:
            raise ThimbleError(f"model {self.model.name!r} is closed")
        return self._address

    def _invalidate_if_stale(self) -> None:
        """Drop what was computed, where the model has changed since: it is computed again when it
        is needed."""
        self._live()
        if self._revision != self.model.revision:
            self._revision = self.model.revision
            self._start_over()

    def _start_over(self) -> None:
        self._computed, self._logits_at = self._truncate_cache(0), -1

    def _check(self, ids: Sequence[int], *, append: bool = True) -> None:
        self._invalidate_if_stale()
        n_vocab = self.model.config.n_vocab
        for token in ids:
            if not isinstance(token, int) or not 0 <= token < n_vocab:
                raise OptionError(f"token id {token!r} is not in the vocabulary of {n_vocab}")
        if not append:
            return
        wanted = len(self._tokens) + len(ids)
        if wanted > self.n_ctx:
            raise ContextError(
                f"the text has {wanted:,} tokens and the context holds {self.n_ctx:,}; "
                f"shorten it by {wanted - self.n_ctx:,}"
            )
        self._grow(wanted)

    def _grow(self, wanted: int) -> None:
        """See to it that there is a place for `wanted` positions."""
        if wanted <= self._capacity:
            return
        if self._state is None:
            self._state = State(self.model, wanted, kv_type=self.kv_type)
            self._address = self._state.address
        self._state.reserve(wanted)
        self._capacity = self._state.capacity

    def _compute(self, end: int) -> None:
        """Compute tokens up to position `end`, at most BATCH of them."""
        start, last = self._computed, end == len(self._tokens)
        part = self._tokens[start:end]
        try:
            self._forward(part, 0 if last else -1, self._logits.address)
        except (NumericError, HookError):
            del self._tokens[start:]
            self._computed = self._truncate_cache(start)
            raise
        self._computed = end
        if last:
            self._logits_at = end

    def _prepare_logits(self) -> None:
        """See to it that the pending tokens, computed, leave the right logits."""
        self._invalidate_if_stale()
        if not self._tokens:
            raise ContextError("there is no token yet: nothing can be asked of an empty session")
        if self._computed == len(self._tokens) != self._logits_at:
            self._computed = self._truncate_cache(self._computed - 1)
        while len(self._tokens) - self._computed > BATCH:
            self._compute(self._computed + BATCH)

    def _ready(self) -> None:
        self._prepare_logits()
        if self._computed < len(self._tokens):
            self._compute(len(self._tokens))

    # What an ensemble does with each of its members: see ensemble.py.

    def _forward(self, ids: Sequence[int], which: int, logits: int) -> None:
        """Compute ids at the cache's end; which positions leave logits says `tk_forward`."""
        hooks = self.model.pass_hooks
        if hooks is not None:
            from .lens.standing import forward  # who changes nothing does not pay for it

            forward(self, hooks, ids, which, logits)
            return
        self._run("forward", ids, which, logits)

    def _draw(self, pending: Sequence[int], sampler: Sampler) -> None:
        """Compute the pending ids, and let the kernel choose what comes after them."""
        if self.model.fwd_hooks:
            self._draw_apart(pending, sampler)
            return
        status = self._run("step", pending, self._logits.address, *sampler.addresses, checked=False)
        if status < 0:
            self._computed = self._logits_at = len(self._tokens)  # nothing was left to choose from
            raise NumericError(NOTHING_LEFT)
        self._finite(status)

    def _draw_apart(self, pending: Sequence[int], sampler: Sampler) -> None:
        """The same in two calls: where the kernel cannot compute the ids by itself."""
        if pending:
            self._forward(pending, 0, self._logits.address)
        count = self.model.config.n_vocab
        if self._kernel.call("sample", self._logits.address, count, *sampler.addresses):
            raise NumericError(NOTHING_LEFT)

    def _truncate_cache(self, n: int) -> int:
        """Keep n positions of what is kept, or as many as can be; return how many."""
        self._live()
        assert self._state
        kept = self._state.truncate(n)
        self._capacity = self._state.capacity
        return kept

    def _copy_cache(self, other: Session, n: int) -> int:
        """Take over the first n positions of what another session keeps; return how many."""
        assert self._state and other._state
        kept = self._state.copy_from(other._state, n)
        self.kv_type = self._state.kv_type
        self._capacity = self._state.capacity
        return kept

    def _free(self) -> None:
        self._address = self._capacity = 0
        if self._state:
            self._state.close()

    def _run(self, name: str, ids: Sequence[int], *args: int, checked: bool = True) -> int:
        session, count = self._live(), len(ids)
        self._id_slots[:count] = list(ids)
        status = self._kernel.call(name, session, self._ids.address, count, *args)
        if checked:
            self._finite(status)
        return status

    def _finite(self, status: int) -> None:
        if status:
            raise failure(self.model.name, self.model.config.n_layers, status)

    def _describe(self, rows: int, ids: Sequence[int], top: int) -> list[Choice]:
        if not ids:
            return []
        kernel, n_vocab, size = self._kernel, self.model.config.n_vocab, self._choice_bytes
        scratch = Scratch(kernel, kernel.call("sample_scratch", n_vocab), "scoring")
        out = Scratch(kernel, size * len(ids), "scoring")
        self._ids.write(array("i", ids).tobytes())
        args = (self._ids.address, top, scratch.address, out.address)
        bad = kernel.call("describe", rows, n_vocab, len(ids), *args)
        if bad:
            raise NumericError(f"the logits before token {ids[-1 - bad]} hold a NaN")
        choices = [read_choice(kernel, out.address + i * size) for i in range(len(ids))]
        scratch.close()
        out.close()
        return choices

    @property
    def _choice_bytes(self) -> int:
        return self._kernel.call("choice_bytes")
