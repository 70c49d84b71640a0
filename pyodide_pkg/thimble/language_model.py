"""What can be asked which token comes next: one model, or several that answer as one.

Everything that writes, scores, chats or chooses asks a `LanguageModel` for a session and needs to
know no more of it. `Model` is one with weights of its own; `Ensemble`, `ByteMixture` and
`Speculative` are made of others.
"""

from __future__ import annotations

import functools
from abc import ABC, abstractmethod
from array import array
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from .errors import OptionError, ThimbleError, UnsupportedError
from .gguf import TensorInfo
from .kernel import Kernel
from .model_config import ModelConfig
from .state import checked_kv_type
from .tokenizer import Tokenizer
from .weights import Weights

if TYPE_CHECKING:
    from .chat import ChatTemplate
    from .lens.hooks import FwdHooks, Hooks
    from .session import Session

Revision = tuple[Any, ...]
"""Compared, and nothing else."""


class LanguageModel(ABC):
    """A distribution over the next token, and the tokenizer that goes with it."""

    def __init__(
        self,
        config: ModelConfig,
        tokenizer: Tokenizer,
        *,
        name: str,
        n_params: int,
        metadata: dict[str, Any] | None = None,
        tensors: Sequence[TensorInfo] = (),
    ) -> None:
        self.config = config
        self.tokenizer = tokenizer
        self.name = name
        self.n_params = n_params
        """Weights, all models' together."""
        self.metadata = {} if metadata is None else metadata
        """Of the file that it came from; empty where it is made of several."""
        self.tensors = tensors
        self._closed = False
        self._kv_type = "f32"

    def __repr__(self) -> str:
        what = f"{self.n_params:,} parameters, context of {self.config.n_ctx:,} tokens"
        return f"<{type(self).__name__} {self.name!r}: {what}{', closed' * self.closed}>"

    @property
    @abstractmethod
    def kernel(self) -> Kernel:
        """Where it is computed."""

    @property
    @abstractmethod
    def nbytes(self) -> int:
        """Bytes of kernel memory that the weights take."""

    @property
    def weights(self) -> Weights:
        """Its own weights. Raises UnsupportedError where it is made of other models."""
        raise UnsupportedError(
            f"{self.name!r} has no insides of its own; look into one of its members"
        )

    @property
    @abstractmethod
    def revision(self) -> Revision:
        """Names the state that changes leave the model in: keys and values that were computed at
        another one are no good."""

    @abstractmethod
    def _session(self, n_ctx: int, kv_type: str | None = None) -> Session:
        """An empty session of at most `n_ctx` tokens, which is checked; it keeps keys and values as
        `kv_type` says, or as the model does."""

    @abstractmethod
    def close(self) -> None:
        """End it. Its sessions can no longer be used."""

    @property
    def closed(self) -> bool:
        return self._closed

    @property
    def kv_type(self) -> str:
        """As what sessions keep keys and values unless told otherwise: "f32", "f16" or "q8_0"
        (`state.KV_TYPES`). What is made of several models leaves it to them."""
        return self._kv_type

    @kv_type.setter
    def kv_type(self, kv_type: str) -> None:
        self._kv_type = checked_kv_type(kv_type)

    @property
    def fwd_hooks(self) -> FwdHooks:
        """Hooks that stand on the model itself; see `Model.fwd_hooks`."""
        return ()

    @fwd_hooks.setter
    def fwd_hooks(self, hooks: FwdHooks) -> None:
        raise UnsupportedError(f"{self.name!r} takes no hooks; put them on one of its members")

    @property
    def pass_hooks(self) -> Hooks | None:
        """The standing hooks as a pass wants them; None where there are none."""
        return None

    def session(self, n_ctx: int | None = None, *, kv_type: str | None = None) -> Session:
        """An empty session of at most `n_ctx` tokens (default: what the model was trained for),
        which keeps keys and values as `kv_type` (default: what the model's says)."""
        if self.closed:
            raise ThimbleError(f"model {self.name!r} is closed")
        limit = self.config.n_ctx
        if not self.config.features.causal:
            raise UnsupportedError(
                f"model {self.name!r} is an encoder: it gives vectors (embed), and writes no text"
            )
        if n_ctx is None:
            n_ctx = limit
        if not isinstance(n_ctx, int) or isinstance(n_ctx, bool) or not 1 <= n_ctx <= limit:
            raise OptionError(f"n_ctx is {n_ctx!r}; it must be a whole number from 1 to {limit}")
        return self._session(n_ctx, None if kv_type is None else checked_kv_type(kv_type))

    def fits(self, ids: Sequence[int], most: int) -> int:
        """How many ids of a text are read where at most `most` tokens are: for evaluation."""
        return min(len(ids), most)

    def embed(self, text: str) -> array[float]:
        """A text as a vector of length 1: see `embedding.py`, which takes many at once."""
        from .embedding import embed

        return embed(self, [text])[0]

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
