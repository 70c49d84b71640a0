"""Every choice of one training run, in one frozen dataclass that is read from one JSON file.

A recipe and the text decide a run; paths, the number of threads or processes and the device are no
part of it. Both trainers read the same file: our kernels' (`trainer.py`) and PyTorch's
(`torch_trainer.py`).
"""

from __future__ import annotations

import dataclasses
import os
from dataclasses import dataclass
from typing import Any

from ..adapter import FUSED, MATRICES, MAX_RANK, OTHERS
from ..errors import OptionError
from ..json_text import parse_json
from .sizes import Shape, shape_of

BLOCK = 32
"""Widths are multiples of this, so that rows fit into Q8_0 and Q4_0 blocks."""
MOST_BYTES = 1 << 20
"""Of a recipe's file; one with all choices has some 1,500."""
BYTES = 256
"""The vocabulary that needs no training: a token for each byte of UTF-8, and the end."""
DIAL = 0.37
LIMITS: dict[str, float] = {
    "vocab_size": 1 << 20, "dim": 4096, "n_layers": 64, "n_heads": 64, "n_kv_heads": 64,
    "hidden": 16_384, "context": 8192, "micro_tokens": 1 << 18, "micro_batches": 4096,
    "steps": 100_000_000, "warmup_steps": 100_000_000, "decay_steps": 100_000_000,
    "quantize_start": 100_000_000, "log_every": 100_000_000, "hash_every": 100_000_000,
    "eval_every": 100_000_000, "eval_stories": 100_000_000, "checkpoint_seconds": 1_000_000,
    "seed": 1 << 53, "rope_theta": 1e12, "norm_eps": 1.0, "embedding_std": 1e3, "grad_clip": 1e38,
    "muon_lr": 1e38, "muon_weight_decay": 1e38, "adam_lr": 1e38, "adam_weight_decay": 1e38,
    "lora_rank": MAX_RANK, "lora_alpha": 1e6, "eval_fraction": 1.0, "dropout": 1.0, "size": 1e3,
    "muon_momentum": 1.0, "adam_beta1": 1.0, "adam_beta2": 1.0,
}  # fmt: skip
"""The largest values: larger ones are slips, or more than a model of ours is."""
MOST_VOCABULARY = 65_536
"""Tokens of one that is trained; a base model's may be larger."""
MOST_STEP_TOKENS = 1 << 24
"""Tokens of one step, over all its micro-batches."""
MOST_TEXT = 1000
"""Characters of a choice in words."""
CHOICES = {
    "backend": ("thimble", "torch"),
    "schedule": ("linear", "cosine"),
    "optimizer": ("muon", "adamw"),
    "quantize": ("none", "q8_0", "q4_0"),
    "dtype": ("float32", "bfloat16"),
}
"""What the words among the choices may be."""
TUNING = ("base_sha256", "lora_rank", "lora_alpha", "lora_matrices")
"""Choices of a run that begins from a model; others are written down without them, and all without
`completion` where it is empty."""


@dataclass(frozen=True, slots=True)
class Recipe:
    """The defaults are those of the training panel; raises `OptionError` for what cannot be."""

    title: str = "Thimble"
    """The model's `general.name`."""
    license: str = "MIT"
    seed: int = 1
    """Of the first weights, of the order of the text and of dropout."""
    backend: str = "thimble"
    """What trains: our kernels, whose every bit is promised, or PyTorch."""

    data_sha256: str = ""
    """Of the text's UTF-8, which is then refused where it differs; empty for any text."""
    separator: str = "<|endoftext|>"
    """What stands between two stories. "\\n" makes every line one; empty, the text is a whole."""
    completion: str = ""
    """What stands in a story between what is given and what is to be written, which alone is then
    learned, by an adapter; empty where all of a story is."""
    eval_fraction: float = 0.05
    """Of the stories, held out to be measured on; unused where a held-out text is given."""
    vocab_size: int = BYTES
    """256 makes every byte a token; with more, byte-level BPE is trained on the text."""

    size: float = 0.0
    """The dial (`sizes.py`), which fixes the five choices behind it; 0 leaves them to you. A file
    that says none of them has DIAL."""
    dim: int = 96
    n_layers: int = 3
    n_heads: int = 3
    n_kv_heads: int = 3
    hidden: int = 256
    context: int = 128
    """Tokens in a row, and the longest text that the model has seen."""
    rope_theta: float = 10000.0
    norm_eps: float = 1e-5
    embedding_std: float = 0.03
    """Of the first token embeddings, which are the output matrix as well."""
    dropout: float = 0.0
    """The share of what each half of a layer adds that is left out at random."""

    micro_tokens: int = 2048
    """Tokens that go through the network at once; whole rows."""
    micro_batches: int = 1
    """How many of these make one step, over all processes."""
    steps: int = 600
    warmup_steps: int = 20
    decay_steps: int = 300
    """The last steps, in which the learning rate falls to zero; half of all where a file does
    not say it."""
    schedule: str = "linear"
    """How it falls: in a straight line, or along a cosine."""
    grad_clip: float = 1.0

    optimizer: str = "muon"
    """Of the layers' matrices: Muon, or AdamW as for everything else."""
    muon_lr: float = 0.02
    muon_momentum: float = 0.95
    muon_weight_decay: float = 0.1
    adam_lr: float = 0.003
    """Of what Muon is not made for: the embedding and the norms' gains."""
    adam_beta1: float = 0.9
    adam_beta2: float = 0.95
    adam_weight_decay: float = 0.1
    """Of the layers' matrices, where AdamW moves them; nothing else decays."""
    quantize: str = "none"
    """The encoding that the matrices are rounded to whenever they are used, so that the model
    learns to live with it (straight-through gradients); `none` for float32."""
    quantize_start: int = 0
    """The step from which they are."""

    base_sha256: str = ""
    """Of the GGUF file that the run begins from (`finetune.py`); empty for first weights by
    chance."""
    lora_rank: int = 0
    """Of the two thin matrices that are learned beside each one that is adapted, all else staying
    as it is; 0 for all weights."""
    lora_alpha: float = 0.0
    """Divided by the rank it is the factor of their product; 0 stands for the rank."""
    lora_matrices: str = " ".join(MATRICES)
    """Those of every layer that are adapted."""

    dtype: str = "float32"
    """What PyTorch multiplies matrices in; weights and optimizers are always float32."""
    compile: bool = False
    """Whether torch.compile is asked to fuse what it can: a minute at the start, faster after."""
    log_every: int = 20
    """Steps from one entry of the loss curve to the next."""
    hash_every: int = 50
    """Steps from one hash of the weights in the receipt to the next."""
    eval_every: int = 100
    eval_stories: int = 100
    """Held-out stories that are measured while it trains; all of them at the end."""
    checkpoint_seconds: int = 10

    @property
    def head_dim(self) -> int:
        return self.dim // self.n_heads

    @property
    def n_parameters(self) -> int:
        """Every weight counted once: embedding, layers, gains."""
        attention = 2 * self.dim * self.dim + 2 * self.dim * self.n_kv_heads * self.head_dim
        layer = attention + 3 * self.dim * self.hidden + 2 * self.dim
        return self.vocab_size * self.dim + self.n_layers * layer + self.dim

    @property
    def tunes(self) -> bool:
        """Whether the run begins from a model."""
        return bool(self.base_sha256 or self.lora_rank)

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            _check_value(field.name, getattr(self, field.name), str(field.type))
        for name, words in CHOICES.items():
            if getattr(self, name) not in words:
                raise OptionError(
                    f"{name} is {getattr(self, name)!r}; it must be one of {', '.join(words)}"
                )
        _check_dial(self)
        _check_shape(self)
        _check_run(self)
        _check_tuning(self)

    @classmethod
    def from_dict(cls, choices: dict[str, Any]) -> Recipe:
        """Make a recipe of a JSON object; what is missing keeps its default.

        Where the object has a shape's numbers but no `size`, there is no dial: it is 0.
        """
        known = [field.name for field in dataclasses.fields(cls)]
        if unknown := sorted(set(choices) - set(known)):
            raise OptionError(_unknown(unknown[0], known))
        choices = dict(choices)
        usual: dict[str, Any] = {field.name: field.default for field in dataclasses.fields(cls)}
        dial = 0.0 if set(Shape._fields) & set(choices) else DIAL
        size = choices.setdefault("size", dial)
        if isinstance(size, int | float) and not isinstance(size, bool) and size:
            for name, value in shape_of(size)._asdict().items():
                choices.setdefault(name, value)
        steps = choices.get("steps", usual["steps"])
        if isinstance(steps, int):
            choices.setdefault("decay_steps", (steps + 1) // 2)
            choices.setdefault("warmup_steps", min(usual["warmup_steps"], steps))
        return cls(**choices)

    @classmethod
    def read(cls, path: str | os.PathLike[str]) -> Recipe:
        """Read a JSON file; raises `OptionError` where it is no recipe."""
        return cls.from_dict(read_choices(path))

    def to_dict(self) -> dict[str, Any]:
        """Return every choice; `from_dict` makes the same recipe of it."""
        choices = dataclasses.asdict(self)
        if not self.completion:
            del choices["completion"]
        if not self.tunes:
            for name in TUNING:
                del choices[name]
        return choices


def read_choices(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Return the JSON object in a recipe's file; raises `OptionError` where there is none."""
    with open(path, "rb") as file:
        choices = parse_json(file.read(MOST_BYTES), os.fspath(path), OptionError)
    if not isinstance(choices, dict):
        raise OptionError(f"{os.fspath(path)} holds a {type(choices).__name__}, not an object")
    return choices


def _unknown(name: str, known: list[str]) -> str:
    """Words for a choice that there is not, with the one that was perhaps meant."""
    import difflib  # in the page a megabyte comes with it, so only for whom it helps

    near = difflib.get_close_matches(name, known, 1)
    meant = f"; did you mean {near[0]!r}?" if near else ""
    return f"a recipe has no {name!r}{meant} (it has {', '.join(known)})"


def _check_value(name: str, value: Any, wanted: str) -> None:
    """Refuse a value of another type than its field's, and numbers below zero."""
    right = {
        "str": isinstance(value, str),
        "bool": isinstance(value, bool),
        "int": isinstance(value, int) and not isinstance(value, bool),
        "float": isinstance(value, int | float) and not isinstance(value, bool),
    }[wanted]
    if not right:
        raise OptionError(f"{name} is {value!r:.40}; it must be of type {wanted}")
    if wanted in ("int", "float") and not 0 <= value <= LIMITS[name]:
        raise OptionError(f"{name} is {value!r:.40}; it must be from 0 to {LIMITS[name]:,}")
    if wanted == "str" and len(value) > MOST_TEXT:
        raise OptionError(f"{name} has {len(value):,} characters; it must have at most {MOST_TEXT}")


def _check_dial(r: Recipe) -> None:
    """Refuse a shape that is not the dial's."""
    if r.size:
        for name, value in shape_of(r.size)._asdict().items():
            if getattr(r, name) != value:
                raise OptionError(
                    f"{name} is {getattr(r, name)}, and size {r.size} makes it {value}: "
                    "leave one of them out"
                )


def _check_shape(r: Recipe) -> None:
    """Refuse a network that cannot be, or whose rows do not fit into blocks."""
    positive = ("dim", "n_layers", "n_heads", "n_kv_heads", "hidden", "context", "rope_theta")
    for name in positive:
        if not getattr(r, name):
            raise OptionError(f"{name} is 0; it must be above")
    if r.lora_rank and r.base_sha256:
        return  # the base's shape runs
    if r.vocab_size > MOST_VOCABULARY:
        raise OptionError(f"vocab_size is {r.vocab_size}; it must be from 0 to {MOST_VOCABULARY:,}")
    if r.vocab_size < BYTES:
        raise OptionError(f"vocab_size is {r.vocab_size}; bytes alone are {BYTES}, the least")
    for name in ("dim", "hidden"):
        if getattr(r, name) % BLOCK:
            raise OptionError(f"{name} is {getattr(r, name)}; it must be a multiple of {BLOCK}")
    if r.dim % r.n_heads or r.head_dim % 4:
        raise OptionError(
            f"n_heads is {r.n_heads}; it must divide dim {r.dim} into heads of a multiple of 4"
        )
    if r.n_heads % r.n_kv_heads:
        raise OptionError(f"n_kv_heads is {r.n_kv_heads}; it must divide n_heads {r.n_heads}")


def _check_run(r: Recipe) -> None:
    """Refuse a run that cannot be."""
    if not r.micro_tokens or r.micro_tokens % r.context:
        raise OptionError(
            f"micro_tokens is {r.micro_tokens}; it must be a multiple of context {r.context}"
        )
    if r.micro_tokens * r.micro_batches > MOST_STEP_TOKENS:
        raise OptionError(
            f"micro_batches is {r.micro_batches:,}, with micro_tokens {r.micro_tokens:,}; a step "
            f"has at most {MOST_STEP_TOKENS:,} tokens"
        )
    at_least_one = (
        "micro_batches", "log_every", "hash_every", "eval_every", "eval_stories", "grad_clip",
    )  # fmt: skip
    for name in at_least_one:
        if not getattr(r, name):
            raise OptionError(f"{name} is 0; it must be above")
    if r.decay_steps > r.steps:
        raise OptionError(f"decay_steps is {r.decay_steps}; there are only {r.steps} steps")
    for name in ("muon_momentum", "adam_beta1", "adam_beta2", "dropout", "eval_fraction"):
        if getattr(r, name) >= 1:
            raise OptionError(f"{name} is {getattr(r, name)}; it must be below 1")


def _check_tuning(r: Recipe) -> None:
    """Refuse what cannot be learned beside a model."""
    if r.tunes and r.backend != "thimble":
        raise OptionError(
            f"backend is {r.backend!r}; only 'thimble' begins from a model (base_sha256, lora_rank)"
        )
    if r.completion and (not r.lora_rank or r.completion == r.separator):
        raise OptionError(
            f"completion is {r.completion!r:.40}; it must be another text than separator, and goes "
            "with lora_rank"
        )
    if not r.lora_rank:
        return
    for name, only in (("optimizer", "adamw"), ("quantize", "none")):
        if getattr(r, name) != only:
            raise OptionError(f"{name} is {getattr(r, name)!r}; with lora_rank it must be {only!r}")
    names = r.lora_matrices.split()
    for name in names:
        if name not in (*MATRICES, FUSED, *OTHERS) or names.count(name) > 1:
            raise OptionError(
                f"lora_matrices has {name!r:.40}; it must be some of {' '.join(MATRICES)} {FUSED}"
            )
    if not names:
        raise OptionError(f"lora_matrices is empty; it must be some of {' '.join(MATRICES)}")
