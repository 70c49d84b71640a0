"""A config.json of Hugging Face's, of which each word is asked for with its type."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..architectures import ARCHITECTURES
from ..errors import FormatError, UnsupportedError
from ..header_keys import MAX_WIDTH
from .kind import Kind
from .names import KINDS, chosen

Config = Mapping[str, Any]
Keys = dict[str, Any]
MAX_NUMBER = 1e30
SEEING = ("gemma3", "qwen3_5", "llama4")
"""Models that could see, of which the half that reads is converted."""


class Settings:
    """A config.json, of which each word is asked for once and with its type."""

    def __init__(self, config: Config, kinds: Mapping[str, Kind] = KINDS) -> None:
        kind = config.get("model_type")
        if kind in SEEING and isinstance(config.get("text_config"), dict):
            tied = config.get("tie_word_embeddings")  # which may stand outside alone
            config = {"tie_word_embeddings": tied, **config["text_config"]}
            kind = config.get("model_type", f"{kind}_text")
        if not isinstance(kind, str) or kind not in kinds:
            raise UnsupportedError(
                f"config.json has the model_type {kind!r:.60}, which is not converted here; "
                f"{', '.join(kinds)} are"
            )
        self.kind: Kind = chosen(kind, config, kinds)
        self.model_type = kind
        self.arch = ARCHITECTURES[self.kind.architecture]
        self._config = {**self.kind.defaults, **{k: v for k, v in config.items() if v is not None}}

    def get(self, *names: str, default: Any = None) -> Any:
        """The first of these that is there."""
        return next((self._config[name] for name in names if name in self._config), default)

    def _called(self, names: tuple[str, ...]) -> str:
        """The name that the file has for a setting."""
        return next((name for name in names if name in self._config), names[0])

    def whole(self, *names: str, default: int | None = None) -> int:
        value = self.get(*names, default=default)
        if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= MAX_WIDTH:
            raise FormatError(
                f"{self._called(names)} in config.json is {value!r:.60}; a number above 0 is right"
            )
        return value

    def number(self, *names: str, default: float | None = None) -> float:
        value = self.get(*names, default=default)
        if not numbers([value]):
            raise FormatError(
                f"{self._called(names)} in config.json is {value!r:.60}; a number above 0 is right"
            )
        return float(value)

    def object(self, *names: str) -> dict[str, Any]:
        return object_of(self.get(*names, default={}), self._called(names))

    def refuse(self, name: str, *allowed: Any) -> None:
        """Raise where a setting has a value that does not run here. It may be missing."""
        value = self.get(name, default=allowed[0])
        if value not in allowed:
            raise UnsupportedError(
                f"{name} in config.json is {value!r:.100}; in {self.model_type} models "
                f"{' or '.join(map(repr, allowed))} runs here"
            )

    @property
    def dim(self) -> int:
        return self.whole("hidden_size", "n_embd")

    @property
    def n_layers(self) -> int:
        return self.whole("num_hidden_layers", "n_layer")

    @property
    def n_heads(self) -> int:
        return self.whole("num_attention_heads", "n_head", "num_heads")

    @property
    def n_kv_heads(self) -> int:
        return self.whole("num_key_value_heads", default=self.n_heads)

    @property
    def head_dim(self) -> int:
        if self.get("head_dim") is None and self.dim % self.n_heads:
            raise FormatError(
                f"config.json has {self.n_heads} heads, which do not share a width of {self.dim} "
                "evenly"
            )
        return self.whole("head_dim", default=self.dim // self.n_heads)

    @property
    def n_ctx(self) -> int:
        found = self.whole("max_position_embeddings", "n_positions", "n_ctx") - self.first_position
        if found < 1:
            raise FormatError(
                f"config.json has {found + self.first_position} positions, of which the first "
                f"{self.first_position} are none"
            )
        return min(found, self.whole("max_trained_positions", default=found))

    @property
    def first_position(self) -> int:
        """The row of `position_embd` that the first token has."""
        if not self.kind.positions_behind_padding:
            return 0
        padding = self.get("pad_token_id")
        if (
            not isinstance(padding, int)
            or isinstance(padding, bool)
            or not 0 <= padding < MAX_WIDTH
        ):
            raise FormatError(
                f"pad_token_id in config.json is {padding!r:.60}; a token's id is right"
            )
        return padding + 1

    @property
    def tied(self) -> bool:
        return self.get("tie_word_embeddings", default=False) is True

    def rope(self) -> dict[str, Any]:
        """What turns the layers that see everything, by whichever words the file has."""
        found = self.object("rope_parameters", "rope_scaling")
        found = dict(object_of(found.get("full_attention", found), "full_attention"))
        found.setdefault("rope_type", found.get("type", "default"))
        for name in ("rope_theta", "partial_rotary_factor"):
            if name in self._config:
                found.setdefault(name, self._config[name])
        found.setdefault("rope_theta", self.get("rotary_emb_base", default=10000.0))
        found.setdefault("partial_rotary_factor", self.get("rotary_pct", default=1.0))
        return found


def object_of(value: Any, name: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise FormatError(f"{name} in config.json is {value!r:.60}; an object is right")
    return value


def numbers(values: list[Any]) -> bool:
    """Whether all are numbers above 0 that a float32 holds."""
    return all(
        isinstance(v, int | float) and not isinstance(v, bool) and 0 < v < MAX_NUMBER
        for v in values
    )
