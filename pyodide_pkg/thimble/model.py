"""A loaded model: its weights in kernel memory, its configuration, its tokenizer."""

from __future__ import annotations

import functools
from array import array
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from .errors import OptionError, ThimbleError
from .gguf import GGUFHeader
from .kernel import Kernel
from .model_config import ModelConfig
from .tokenizer import Tokenizer
from .weights import Weights

if TYPE_CHECKING:
    from .adapter import Adapter, AdapterFile, Source
    from .chat import ChatTemplate
    from .lens.cache import Cache
    from .lens.hooked import HookedModel
    from .lens.hooks import FwdHooks, HookFunction
    from .lens.sites import Filter, Names
    from .session import Session


class Model:
    """A model that can be asked. `thimble.load` and `ModelLoader` make one."""

    _adapter: Adapter | None = None
    _changes = 0
    _own: tuple[tuple[Filter, HookFunction], ...] = ()

    def __init__(
        self, config: ModelConfig, header: GGUFHeader, tokenizer: Tokenizer, weights: Weights
    ) -> None:
        self.config = config
        self.metadata: dict[str, Any] = header.metadata
        self.tensors = header.tensors
        self.tokenizer = tokenizer
        self.weights = weights
        self.n_params = sum(t.n_elements for t in header.tensors)
        self.name = config.name
        self._closed = False

    @property
    def kernel(self) -> Kernel:
        return self.weights.kernel

    @property
    def nbytes(self) -> int:
        """Bytes of kernel memory that the weights take."""
        return self.weights.nbytes

    @functools.cached_property
    def chat_template(self) -> ChatTemplate | None:
        """The file's chat template, where it has one."""
        source = self.metadata.get("tokenizer.chat_template")
        if not isinstance(source, str):
            return None
        from .chat import ChatTemplate  # Jinja2 is heavy, and most models are not asked to chat

        tok = self.tokenizer
        return ChatTemplate(
            source,
            bos_token="" if tok.bos_id is None else tok.token_text(tok.bos_id),
            eos_token="" if tok.eos_id is None else tok.token_text(tok.eos_id),
        )

    def embed(self, text: str) -> array[float]:
        """A text as a vector of length 1: see `embedding.py`, which takes many at once."""
        from .embedding import embed

        return embed(self, [text])[0]

    @property
    def adapter(self) -> Adapter | None:
        """What changes the model, where something does."""
        return None if self._adapter is None or self._adapter.closed else self._adapter

    def adapt(self, source: Source | AdapterFile, strength: float = 1.0) -> Adapter:
        """Put an adapter on, from a file's path, its bytes or what `read_adapter` gave; one that
        was on before is taken off. Open sessions follow: see `adapter.py`.

        Raises FormatError for a file that is none, or is for another model, UnsupportedError for
        what cannot be adapted here, NumericError; the model is then as it was.
        """
        from .adapter import Adapter, AdapterFile, read_adapter

        if self.closed:
            raise ThimbleError(f"model {self.name!r} is closed")
        file = source if isinstance(source, AdapterFile) else read_adapter(source)
        made = Adapter(self, file, strength)
        if self._adapter is not None:
            self._adapter.close()
        self._adapter = made
        made.put_on()
        return made

    @property
    def fwd_hooks(self) -> FwdHooks:
        """Hooks that stand on the model itself, in every pass of every session of it; open sessions
        follow a change. Beside the model as it is, `hooked` gives one that has them."""
        return self._own

    @fwd_hooks.setter
    def fwd_hooks(self, hooks: FwdHooks) -> None:
        from .lens.hooked import checked

        self._own = checked(self, hooks)
        self.changed()

    @property
    def revision(self) -> int:
        """Counts what changed the model: keys and values from before a change are no good."""
        return self._changes

    def changed(self) -> None:
        """Count a change; sessions then compute their tokens again."""
        self._changes += 1

    def session(self, n_ctx: int | None = None) -> Session:
        """An empty session of at most `n_ctx` tokens (default: what the model was trained for)."""
        if self.closed:
            raise ThimbleError(f"model {self.name!r} is closed")
        limit = self.config.n_ctx
        if n_ctx is None:
            n_ctx = limit
        if not isinstance(n_ctx, int) or isinstance(n_ctx, bool) or not 1 <= n_ctx <= limit:
            raise OptionError(f"n_ctx is {n_ctx!r}; it must be a whole number from 1 to {limit}")
        return self._session(n_ctx)

    def fits(self, ids: Sequence[int], most: int) -> int:
        """How many ids of a text are read where at most `most` tokens are: for evaluation."""
        return min(len(ids), most)

    def _session(self, n_ctx: int) -> Session:
        from .session import Session

        return Session(self, n_ctx)

    def run_with_cache(
        self, tokens: str | Sequence[int], names: Names = None, **options: Any
    ) -> tuple[Any, Cache]:
        """Logits [pos, d_vocab] and every value inside of a pass: see `lens/run.py`."""
        from .lens.run import run_with_cache

        return run_with_cache(self, tokens, names, **options)

    def run_with_hooks(
        self, tokens: str | Sequence[int], fwd_hooks: FwdHooks = (), **options: Any
    ) -> Any:
        """Logits [pos, d_vocab] of a pass that functions change on its way: see `lens/run.py`."""
        from .lens.run import run_with_hooks

        return run_with_hooks(self, tokens, fwd_hooks, **options)

    def hooked(self, fwd_hooks: FwdHooks = (), *, alone: bool = False) -> HookedModel:
        """The same weights with hooks that stand, beside those of this model or `alone`: see
        `lens/hooked.py`."""
        from .lens.hooked import HookedModel

        return HookedModel(self, fwd_hooks, alone=alone)

    def close(self) -> None:
        """Give the weights' memory back. Sessions of this model can no longer be used."""
        if self._adapter is not None:
            self._adapter.close()
        self._closed = True
        self.weights.close()

    @property
    def closed(self) -> bool:
        return self._closed
