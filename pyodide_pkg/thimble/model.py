"""A loaded model: its weights in kernel memory, its configuration, its tokenizer."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from .errors import OptionError, ThimbleError
from .gguf import GGUFHeader
from .kernel import Kernel
from .language_model import LanguageModel, Revision
from .model_config import ModelConfig
from .tokenizer import Tokenizer
from .weights import Weights

if TYPE_CHECKING:
    from .adapter import Adapter, AdapterFile, Source
    from .lens.cache import Cache
    from .lens.hooks import FwdHooks, HookFunction, Hooks
    from .lens.sites import Filter, Names
    from .session import Session


class Model(LanguageModel):
    """A model with weights, which can be looked into. `thimble.load` and `ModelLoader` make one."""

    def __init__(
        self, config: ModelConfig, header: GGUFHeader, tokenizer: Tokenizer, weights: Weights
    ) -> None:
        super().__init__(
            config,
            tokenizer,
            name=config.name,
            n_params=sum(t.n_elements for t in header.tensors),
            metadata=header.metadata,
            tensors=header.tensors,
        )
        self.header = header
        self._weights = weights
        self._adapter: Adapter | None = None
        self._adapters: list[Adapter] = []
        self._changes = 0
        self._own_hooks: tuple[tuple[Filter, HookFunction], ...] = ()
        self._pass_hooks: tuple[Revision, Hooks] | None = None

    @property
    def weights(self) -> Weights:
        return self._weights

    @property
    def kernel(self) -> Kernel:
        return self._weights.kernel

    @property
    def nbytes(self) -> int:
        """Bytes of kernel memory that the weights take."""
        return self.weights.nbytes

    @property
    def adapter(self) -> Adapter | None:
        """What is on the model, where something is."""
        return self._adapter

    def adapt(self, source: Source | AdapterFile, strength: float = 1.0) -> Adapter:
        """Put an adapter on, from a file's path, its bytes or what `read_adapter` gave; one that
        was on before is closed. Open sessions follow: see `adapter.py`.

        Raises FormatError for a file that is none, or is for another model, UnsupportedError for
        what cannot be adapted here, NumericError; the model is then as it was.
        """
        made, before = self.prepare_adapter(source, strength), self._adapter
        if before is not None:
            before.close()
        self.wear(made)
        return made

    def prepare_adapter(self, source: Source | AdapterFile, strength: float = 1.0) -> Adapter:
        """The same without putting it on: several are in memory at once, and `put_on`, `take_off`
        and `on` switch between them in microseconds. Raises as `adapt` does."""
        from .adapter import Adapter, AdapterFile, read_adapter

        if self.closed:
            raise ThimbleError(f"model {self.name!r} is closed")
        file = source if isinstance(source, AdapterFile) else read_adapter(source)
        made = Adapter(self, file, strength)
        self._adapters = [*(one for one in self._adapters if not one.closed), made]
        return made

    def wear(self, adapter: Adapter | None) -> None:
        """Have this adapter on, which was prepared for this model, or none."""
        if adapter is not None and adapter not in self._adapters:
            raise OptionError(f"the adapter {adapter.title!r} was prepared for another model")
        if adapter is not None and adapter.closed:
            raise ThimbleError(f"the adapter {adapter.title!r} is closed")
        if adapter is self._adapter:
            return
        if self._adapter is not None:
            self._adapter.bind(False)
        if adapter is not None:
            adapter.bind(True)
        self._adapter = adapter

    @property
    def fwd_hooks(self) -> FwdHooks:
        """Hooks that stand on the model itself, in every pass of every session of it; open sessions
        follow a change. Beside the model as it is, `hooked` gives one that has them."""
        return self._own_hooks

    @fwd_hooks.setter
    def fwd_hooks(self, hooks: FwdHooks) -> None:
        self._stand(hooks)

    def _stand(self, hooks: FwdHooks) -> None:
        """Let hooks stand; OptionError for those that do not fit."""
        from .lens.hooks import Hooks

        own = tuple(hooks)
        Hooks(self.config, own)
        self._own_hooks = own
        self.changed()

    @property
    def pass_hooks(self) -> Hooks | None:
        """`fwd_hooks` as a pass wants them, made once for each change; None without any."""
        if not self.fwd_hooks:
            return None
        if self._pass_hooks is None or self._pass_hooks[0] != self.revision:
            from .lens.hooks import Hooks

            self._pass_hooks = self.revision, Hooks(self.config, self.fwd_hooks)
        return self._pass_hooks[1]

    @property
    def revision(self) -> Revision:
        """The hooks' changes so far, and what is on the model."""
        return self._changes, self._adapter.revision if self._adapter is not None else 0

    def changed(self) -> None:
        """Count a change of the hooks; sessions then compute their tokens again."""
        self._changes += 1

    def _session(self, n_ctx: int, kv_type: str | None = None) -> Session:
        from .session import Session

        return Session(self, n_ctx, kv_type)

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

    def gradients(
        self, tokens: str | Sequence[int], names: Names = None, **options: Any
    ) -> tuple[float, Cache]:
        """A text's loss, and its gradients of values inside: see `lens/gradients.py`."""
        from .lens.gradients import gradients

        return gradients(self, tokens, names, **options)

    def load_session(self, path: str | os.PathLike[str]) -> Session:
        """The session that `Session.save` wrote to a file, of this model's very weights; nothing is
        computed anew. Raises FormatError where the file is damaged, OptionError where it is of
        another model, UnsupportedError where an adapter or hooks are on this one."""
        from .session_file import load

        return load(self, path)

    def hooked(self, fwd_hooks: FwdHooks = (), *, alone: bool = False) -> HookedModel:
        """The same weights with hooks that stand, beside those of this model or `alone`."""
        return HookedModel(self, fwd_hooks, alone=alone)

    def close(self) -> None:
        """Give the weights' memory back. Sessions of this model can no longer be used."""
        for adapter in self._adapters:
            adapter.close()
        self._closed = True
        self.weights.close()


class HookedModel(Model):
    """Another model's weights with hooks of its own; they are called in every pass of every session
    of it. `Model.hooked` makes one.

        quiet = model.hooked(ablate_heads([(2, 3)]))
        for chunk in quiet.session().generate("Once upon a time"): ...
        thimble.evaluate_text(quiet, stories)

    In a session the value that a hook sees begins where the computed part of the text ends: one
    token while text is written, `hook.past` tokens after its beginning. It can be a member of an
    ensemble.
    """

    def __init__(self, base: Model, fwd_hooks: FwdHooks = (), *, alone: bool = False) -> None:
        """`alone`: without the hooks of the model that it is made from."""
        super().__init__(base.config, base.header, base.tokenizer, base.weights)
        self.base = base
        self.kv_type = base.kv_type
        self._alone = alone
        self.fwd_hooks = fwd_hooks

    @property
    def fwd_hooks(self) -> FwdHooks:
        """All hooks, those of the model that it was made from first. Sessions that are open follow
        a change: they compute their tokens again."""
        return self._own_hooks if self._alone else (*self.base.fwd_hooks, *self._own_hooks)

    @fwd_hooks.setter
    def fwd_hooks(self, hooks: FwdHooks) -> None:
        self._stand(hooks)

    @property
    def adapter(self) -> Adapter | None:
        """What is on the weights; the model that this one was made from has them too."""
        return self.base.adapter

    def adapt(self, source: Source | AdapterFile, strength: float = 1.0) -> Adapter:
        """Put an adapter on the model that this one was made from."""
        return self.base.adapt(source, strength)

    def prepare_adapter(self, source: Source | AdapterFile, strength: float = 1.0) -> Adapter:
        """An adapter in the memory of the model that this one was made from."""
        return self.base.prepare_adapter(source, strength)

    def wear(self, adapter: Adapter | None) -> None:
        """Have this adapter on the model that this one was made from."""
        self.base.wear(adapter)

    @property
    def revision(self) -> Revision:
        return self.base.revision, self._changes

    @property
    def closed(self) -> bool:
        return self._closed or self.base.closed

    def close(self) -> None:
        """End it; the model that it was made from lives on."""
        self._closed = True
