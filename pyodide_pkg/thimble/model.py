"""A loaded model: its weights in kernel memory, its configuration, its tokenizer."""

from __future__ import annotations

import functools
import struct
from array import array
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from .errors import MemoryLimitError, OptionError, ThimbleError
from .families import ModelConfig
from .gguf import GGUFHeader, TensorInfo
from .kernel import SLOTS, Kernel
from .tokenizer import Tokenizer

if TYPE_CHECKING:
    from .adapter import Adapter, AdapterFile, Source
    from .chat import ChatTemplate
    from .lens.cache import Cache
    from .lens.hooked import HookedModel
    from .lens.hooks import FwdHooks, HookFunction
    from .lens.sites import Filter, Names
    from .session import Session


class Weights:
    """The kernel's model and its tensors, freed together."""

    def __init__(self, kernel: Kernel) -> None:
        self.kernel = kernel
        self.address = 0
        self.nbytes = 0
        self._tensors: dict[str, int] = {}

    def begin(self, config: ModelConfig) -> None:
        """Make the kernel's model; the tensors follow with `pack`."""
        kernel = self.kernel
        ints = array("i", [
            config.n_layers, config.dim, config.n_heads, config.n_kv_heads, config.head_dim,
            config.hidden_dim, config.n_vocab, config.rope_dim, int(config.rope_interleaved),
        ]).tobytes()  # fmt: skip
        floats = struct.pack(
            "<4d", config.norm_eps, config.head_dim**-0.5, config.rope_base,
            config.rope_scale_linear,
        )  # fmt: skip
        at = kernel.alloc(len(floats) + len(ints), "the model")
        kernel.write(at, floats + ints)
        self.address = kernel.call("model_new", at + len(floats), at)
        kernel.free(at)
        if not self.address:
            raise MemoryLimitError("no memory for the model's description")

    def pack(self, tensor: TensorInfo, first: int, rows: int, source: int) -> int:
        """Put rows that lie at `source` in the file's encoding into the tensor. Returns 0, or 1 +
        the index, from row `first` on, of a value that is not finite."""
        kernel = self.kernel
        matrix = len(tensor.shape) > 1
        address = self._tensors.get(tensor.name) or self._new(tensor, matrix=matrix)
        if matrix:
            return kernel.call("pack_rows", address, first, rows, source)
        bad = kernel.call("vector_set", address, tensor.type.ggml_id, source)
        if not bad and tensor.name == "rope_freqs.weight":
            kernel.call("model_rope_factors", self.address, kernel.call("vector_data", address))
        return bad

    def _new(self, tensor: TensorInfo, *, matrix: bool) -> int:
        kernel, cols = self.kernel, tensor.shape[-1]
        if matrix:
            rows = tensor.n_elements // cols
            address = kernel.call("tensor_new", tensor.type.ggml_id, rows, cols)
        else:
            address = kernel.call("vector_new", cols)
        if not address:
            raise MemoryLimitError(
                f"no memory for tensor {tensor.name!r}: about {tensor.nbytes:,} bytes are needed "
                f"beside the {self.nbytes:,} that are loaded"
            )
        self._tensors[tensor.name] = address
        self.nbytes += kernel.call("tensor_bytes", address)
        layer, slot = _place(tensor.name)
        if slot is not None:
            kernel.call("model_set", self.address, slot, layer, address)
        return address

    def row(self, name: str, index: int, n: int) -> array[float]:
        """Row `index` of a matrix, `n` floats."""
        kernel = self.kernel
        at = kernel.alloc(4 * n, "a row")
        kernel.call("tensor_row", self._tensors[name], index, at)
        data = array("f", kernel.read(at, 4 * n))
        kernel.free(at)
        return data

    def tensor(self, name: str) -> int:
        """Where a tensor is."""
        return self._tensors[name]

    def close(self) -> None:
        for address in self._tensors.values():
            self.kernel.call("tensor_free", address)
        self._tensors.clear()
        address, self.address = self.address, 0
        self.kernel.call("model_free", address)

    def __del__(self) -> None:
        if getattr(self, "address", 0):
            self.close()


def _place(name: str) -> tuple[int, int | None]:
    """The layer and slot of a tensor; no slot for what is used otherwise."""
    if name.startswith("blk."):
        _, layer, rest = name.split(".", 2)
        return int(layer), SLOTS.get(rest)
    return 0, SLOTS.get(name)


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
