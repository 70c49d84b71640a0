"""Fine-tuning: a run that begins from a model, with all its weights or adapters of low rank.

    base = Base(Path("story.gguf").read_bytes())
    trainer = FineTuner(base.recipe({"lora_rank": 8}), text, base=base)
    while not trainer.done:
        trainer.step()
    adapter = trainer.export()          # a GGUF file, for `model.adapt` and for llama.cpp

It is the trainer of `trainer.py` with other first weights, the model's tokenizer and, with
`lora_rank`, another network; so recipe, text and base decide every bit. Which network, the base
decides: the trainer's own computes what a small llama with tied embeddings does, with weights as
float32 (`low_rank.py`); adapters of all others learn through the model's plan, over weights as they
are (`plan_network.py`).
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any

from .. import backward, grids
from ..adapter import FUSED, MATRICES, adapter_file
from ..errors import MemoryLimitError, NumericError, OptionError, UnsupportedError
from ..gguf import TensorInfo, read_header
from ..gguf_lists import plain
from ..kernel import Bytes, Kernel
from ..model_config import ModelConfig, config_from_header
from .low_rank import LowRankNetwork, adapted
from .model_file import model_file
from .network import WEIGHTS, Network, tensors
from .plan_network import PlanNetwork, adaptable
from .receipt import low_rank_sha256, plan_sha256
from .recipe import BLOCK, BYTES, Recipe
from .trainer import Trainer

ROWS = 4
"""Rows of a micro-step, unless a recipe says otherwise."""
MOST_CONTEXT = 256
"""The same for tokens in a row, where the base was trained for more."""
MOST_FLOATS = 50_000_000
"""Weights of a base, at most, that are held as float32: with gradients and averages they take 16
bytes each where all of them learn."""
USUAL: dict[str, Any] = {
    "optimizer": "adamw", "adam_lr": 0.001, "adam_weight_decay": 0.0, "steps": 80,
    "warmup_steps": 4, "log_every": 5, "eval_every": 20, "eval_stories": 1000, "hash_every": 20,
}  # fmt: skip
"""What of a recipe is otherwise than in one that begins from nothing, unless it says so itself."""
LOW_RANK: dict[str, Any] = {"adam_lr": 0.008}
"""The same for adapters: they may move faster, since little can be forgotten."""
SHAPE = (
    "vocab_size",
    "dim",
    "n_layers",
    "n_heads",
    "n_kv_heads",
    "hidden",
    "rope_theta",
    "norm_eps",
)


class Base:
    """The model that a run begins from: the bytes of a GGUF file.

    Raises what `read_header` and `config_from_header` do, and UnsupportedError for a model that
    our kernels run and that cannot learn.
    """

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.sha256 = hashlib.sha256(data).hexdigest()
        header = read_header(data, file_size=len(data))
        self.metadata: dict[str, Any] = header.metadata
        self.config: ModelConfig = config_from_header(header)
        self._tensors: dict[str, TensorInfo] = {t.name: t for t in header.tensors}
        self.other = unlike(self.config, sum(t.n_elements for t in header.tensors))
        """What it has that the trainer's own network has not, in words; empty for nothing. Its
        adapters then learn through its plan."""
        backward.check(self.config, self.name)
        if not self.config.features.causal:
            raise UnsupportedError(
                f"model {self.name!r} is an encoder: it has no next tokens, which training teaches"
            )

    @property
    def name(self) -> str:
        return self.config.name or "a model"

    @property
    def tokenizer(self) -> dict[str, Any]:
        """The metadata of its tokenizer."""
        return plain({k: v for k, v in self.metadata.items() if k.startswith("tokenizer.")})

    def recipe(self, choices: dict[str, Any]) -> Recipe:
        """Make a recipe of a JSON object: the shape is the base's, and what is missing is as in
        `USUAL`. Raises OptionError for a shape of its own, or another base's hash."""
        c = self.config
        shape = dict(zip(SHAPE, (
            c.n_vocab, c.dim, c.n_layers, c.n_heads, c.n_kv_heads, c.hidden_dim, c.rope_base,
            c.norm_eps,
        ), strict=True))  # fmt: skip
        for name, value in (shape | {"size": 0}).items():
            if choices.get(name, value) != value:
                raise OptionError(
                    f"{name} is {choices[name]!r}, and the base model decides it: leave it out"
                )
        made = USUAL | (LOW_RANK if choices.get("lora_rank") else {})
        made |= {"title": f"{self.name}, fine-tuned", "context": min(c.n_ctx, MOST_CONTEXT)}
        license = self.metadata.get("general.license")
        made["license"] = license if isinstance(license, str) else ""
        made |= choices
        made |= {**shape, "size": 0.0, "base_sha256": choices.get("base_sha256") or self.sha256}
        _fill(made, "micro_tokens", ROWS, "context")
        _fill(made, "decay_steps", 1, "steps")
        _fill(made, "lora_alpha", 2.0, "lora_rank")
        if choices.get("lora_rank"):
            if not self._adaptable():
                raise UnsupportedError(
                    f"model {self.config.name!r} has no matrix that an adapter changes: they are "
                    f"{' '.join(MATRICES)} {FUSED}"
                )
            made.setdefault("lora_matrices", " ".join(self._adaptable()))
        recipe = Recipe.from_dict(made)
        self.check(recipe)
        return recipe

    def check(self, recipe: Recipe) -> None:
        """Raise OptionError where a recipe is for another base, or asks too much of this one."""
        if not recipe.base_sha256:
            raise OptionError("the recipe begins from nothing: leave the base model out")
        if recipe.base_sha256 != self.sha256:
            raise OptionError(
                f"the recipe begins from a model with SHA-256 {recipe.base_sha256}; this one has "
                f"{self.sha256}"
            )
        if recipe.context > self.config.n_ctx:
            raise OptionError(
                f"context is {recipe.context}; the base model was trained for {self.config.n_ctx}"
            )
        if self.other:
            self._check_other(recipe)

    def _check_other(self, recipe: Recipe) -> None:
        """Raise where a recipe asks for what is not learned through a plan."""
        if not recipe.lora_rank:
            raise UnsupportedError(
                f"model {self.config.name!r} {self.other}: not all of its weights can be trained "
                "here; with lora_rank an adapter is"
            )
        if recipe.dropout:
            raise OptionError(f"dropout is {recipe.dropout}; with this base model it must be 0")
        found = self._adaptable()
        for name in recipe.lora_matrices.split():
            if name not in found:
                raise OptionError(
                    f"lora_matrices has {name!r}, no matrix in the base model's file; "
                    f"it must be some of {' '.join(found)}"
                )

    def _adaptable(self) -> list[str]:
        return adaptable(self._tensors.values(), self.config)

    def write_into(self, network: Network, recipe: Recipe) -> None:
        """Give a network these weights; NumericError for one that is not finite."""
        at = 0
        for name, _ in tensors(recipe):
            tensor = self._tensors[name]
            network.write(WEIGHTS, self._floats(tensor, network.kernel), at)
            at += tensor.n_elements

    def _floats(self, tensor: TensorInfo, kernel: Kernel) -> bytes:
        """Return a tensor's values as float32."""
        raw = self.data[tensor.offset : tensor.offset + tensor.nbytes]
        source = kernel.alloc(tensor.nbytes, "the base model")
        vector = kernel.call("vector_new", tensor.n_elements)
        try:
            if not vector:
                raise MemoryLimitError(f"no memory for tensor {tensor.name!r}")
            kernel.write(source, raw)
            grids.ensure(kernel, (tensor.type,))
            bad = kernel.call("vector_set", vector, tensor.type.ggml_id, source)
            if bad:
                raise NumericError(f"tensor {tensor.name!r} holds a weight that is not finite")
            return kernel.read(kernel.call("vector_data", vector), 4 * tensor.n_elements)
        finally:
            kernel.call("tensor_free", vector)
            kernel.free(source)


def _fill(choices: dict[str, Any], name: str, times: float, of: str) -> None:
    """Let a choice that is missing follow another, if that is a number; else `Recipe` complains."""
    value = choices.get(of)
    if name not in choices and isinstance(value, int) and not isinstance(value, bool) and value:
        choices[name] = times * value


def unlike(c: ModelConfig, n_weights: int) -> str:
    """Return what a model has that the trainer's own network has not, in words."""
    reasons = {
        f"has {n_weights:,} weights, which would take {16 * n_weights / 1e9:.1f} GB, and at most "
        f"{MOST_FLOATS:,} are trained so": n_weights > MOST_FLOATS,
        f"is a {c.architecture}, and no llama": c.architecture != "llama",
        "has an output matrix of its own, not its token embedding": not c.tied_output,
        "has heads that are no equal shares of its width": c.n_heads * c.head_dim != c.dim,
        "turns a part of each head only": c.rope_dim != c.head_dim,
        "scales its positions": c.rope_scale_linear != 1.0 or c.rope_freqs,
        f"has widths that are no multiples of {BLOCK}": bool(c.dim % BLOCK or c.hidden_dim % BLOCK),
        "has heads whose width is no multiple of 4": bool(c.head_dim % 4),
        f"has a vocabulary of less than {BYTES}": c.n_vocab < BYTES,
    }
    return next((words for words, is_so in reasons.items() if is_so), "")


class BegunNetwork(Network):
    """A network all of whose weights are learned, from those on that `fill` gives it."""

    def __init__(self, recipe: Recipe, kernel: Kernel, fill: Callable[[Network], None]) -> None:
        super().__init__(recipe, kernel)
        self._fill = fill

    def start(self, seed: int, embedding_std: float) -> None:
        """Take the weights: there is nothing to draw."""
        self._fill(self)


class FineTuner(Trainer):
    """A run that begins from a model. Close it to give its memory back."""

    def __init__(
        self,
        recipe: Recipe,
        text: str,
        *,
        base: Base,
        heldout: str | None = None,
        kernel: Kernel | None = None,
        threads: int | None = None,
        tokenizer: dict[str, Any] | None = None,
    ) -> None:
        """Get ready: see `Trainer`. `tokenizer` is the base's, whatever is said."""
        base.check(recipe)
        self.base = base
        super().__init__(
            recipe, text, heldout=heldout, kernel=kernel, threads=threads, tokenizer=base.tokenizer
        )

    def _network(self) -> Network:
        if self.base.other or self.recipe.completion:
            return PlanNetwork(self.recipe, self.kernel, self.base.data)
        make = LowRankNetwork if self.recipe.lora_rank else BegunNetwork
        return make(self.recipe, self.kernel, self._begin)

    @property
    def n_parameters(self) -> int:
        network = self.network
        return network.n_learned if isinstance(network, PlanNetwork) else network.n_weights

    def _begin(self, network: Network) -> None:
        self.base.write_into(network, self.recipe)

    def export(self, type: str = "f32") -> bytes:
        """Return what was trained: the model, its matrices as `f32`, `q8_0` or `q4_0`; or an
        adapter, which is `f32` always."""
        r = self.recipe
        if not r.lora_rank:
            return self.whole(type)
        if type != "f32":
            raise OptionError(f"the type is {type!r}; an adapter is written as 'f32'")
        metadata = {
            "general.name": r.title,
            "general.license": r.license,
            "general.base_model.count": 1,
            "general.base_model.0.name": self.base.name,
        }
        pairs = self._pairs()
        architecture = self.base.config.architecture
        return adapter_file(
            pairs, alpha=r.lora_alpha, architecture=architecture, metadata=metadata
        ).to_bytes()

    def _pairs(self) -> dict[str, tuple[tuple[int, int, int], Bytes, Bytes]]:
        """A and B of each matrix that is adapted."""
        if isinstance(self.network, PlanNetwork):
            return self.network.pairs()
        r = self.recipe
        pairs: dict[str, tuple[tuple[int, int, int], Bytes, Bytes]] = {}
        numbers, at = memoryview(self.network.read(WEIGHTS)), 0
        for matrix in adapted(r):
            a, b = 4 * r.lora_rank * matrix.cols, 4 * r.lora_rank * matrix.rows
            pairs[matrix.name] = (
                (matrix.rows, matrix.cols, r.lora_rank), numbers[at : at + a],
                numbers[at + a : at + a + b],
            )  # fmt: skip
            at += a + b
        return pairs

    @property
    def through_plan(self) -> bool:
        """Whether an adapter learns on the model as it is loaded, which then writes itself."""
        return isinstance(self.network, PlanNetwork)

    def sample(
        self, prompt: str, n: int, *, temperature: float = 0.8, seed: int = 0, tuned: bool = True
    ) -> str:
        """Return what the model now writes after `prompt`, at most `n` tokens; without `tuned`,
        through a plan only, what it would have written before."""
        if isinstance(self.network, PlanNetwork):
            return self.network.sample(prompt, n, temperature, seed, tuned=tuned)
        return super().sample(prompt, n, temperature=temperature, seed=seed)

    def whole(self, type: str = "f32") -> bytes:
        """Return the model that writes as this one does now: adapters are in its matrices."""
        if self.base.other:
            raise UnsupportedError(
                f"model {self.base.name!r} is not written as a whole: export its adapter"
            )
        self._settle()
        network = self.network
        read = network.merged if isinstance(network, LowRankNetwork) else self._weights
        keys = {
            name: value
            for name, value in self.base.metadata.items()
            if not name.startswith("tokenizer.") and name not in _SET and value != []
        }
        keys["general.name"] = self.recipe.title
        tokenizer = {
            k: v for k, v in self.base.tokenizer.items() if v != [] or k.endswith("merges")
        }
        return model_file(self.recipe, tokenizer, read, type, self.kernel, keys).to_bytes()

    def _weights(self, first: int, count: int) -> bytes:
        return self.network.read(WEIGHTS, first, count)

    def receipt(self, **facts: Any) -> dict[str, Any]:
        made = super().receipt(**facts)
        made["base"] = {"sha256": self.base.sha256, "name": self.base.name}
        if self.recipe.completion:
            del made["tokens"]  # which only a step knows
        if self.through_plan:
            made["kernels"]["plan"] = plan_sha256(self.kernel)
        elif self.recipe.lora_rank:
            made["kernels"]["low_rank"] = low_rank_sha256(self.kernel)
        return made


_SET = ("general.name", "general.file_type", "general.quantization_version")
"""Keys that are not taken over from a base: the file is another one."""


def trainer_for(recipe: Recipe, text: str, *, base: Base | None, **options: Any) -> Trainer:
    """Return what trains by this recipe: from `base`, or without one from nothing.

    Raises OptionError where a recipe wants a base and there is none, or the other way round.
    """
    if base is None:
        return Trainer(recipe, text, **options)
    return FineTuner(recipe, text, base=base, **options)


def resume(data: bytes, text: str, *, base: Base | None, **options: Any) -> Trainer:
    """Return the trainer whose checkpoint this is: see `Trainer.resume`."""
    if base is None:
        return Trainer.resume(data, text, **options)
    return FineTuner.resume(data, text, base=base, **options)
