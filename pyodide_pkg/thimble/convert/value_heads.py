"""In which order Qwen3.5's value heads lie, there and here.

Hugging Face's folders have the value heads of each key head together; GGUF files go round the key
heads, so that value head h reads key head h modulo their number, as ggml repeats a row.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..errors import FormatError
from ..model_config import ModelConfig
from .settings import Settings

Order = NDArray[np.int64]


class ValueHeads(NamedTuple):
    """The heads of the delta rule."""

    keys: int
    """How many heads of queries, and as many of keys."""
    values: int
    key_width: int
    value_width: int

    @staticmethod
    def of_settings(s: Settings) -> ValueHeads | None:
        """Those of a config.json; None where nothing has to be turned."""
        if not s.arch.delta:
            return None
        heads = s.whole("linear_num_key_heads"), s.whole("linear_num_value_heads")
        if heads[1] % heads[0]:
            raise FormatError(
                f"config.json has {heads[0]} key heads, which do not share {heads[1]} value heads "
                "evenly"
            )
        return _if_shared(
            ValueHeads(*heads, s.whole("linear_key_head_dim"), s.whole("linear_value_head_dim"))
        )

    @staticmethod
    def of_config(config: ModelConfig) -> ValueHeads | None:
        """The same of a GGUF file's header."""
        f = config.features
        if not f.scan_heads:
            return None
        return _if_shared(ValueHeads(f.scan_groups, f.scan_heads, f.scan_state, f.scan_width))

    def rows(self, base: str) -> Order | None:
        """Which stored row each row of a layer's tensor is; None where the order is the same."""
        if base in ("ssm_alpha", "ssm_beta", "ssm_dt", "ssm_a"):
            return self._order(1)
        if base == "attn_gate":
            return self._order(self.value_width)
        if base in ("attn_qkv", "ssm_conv1d"):
            before = 2 * self.keys * self.key_width
            return np.concatenate([np.arange(before), before + self._order(self.value_width)])
        return None

    def columns(self, base: str) -> Order | None:
        """The same of columns."""
        return self._order(self.value_width) if base == "ssm_out" else None

    def _order(self, width: int) -> Order:
        n = self.values * width
        return np.arange(n).reshape(self.keys, -1, width).transpose(1, 0, 2).reshape(-1)


def _if_shared(found: ValueHeads) -> ValueHeads | None:
    return found if found.values > found.keys > 1 else None
