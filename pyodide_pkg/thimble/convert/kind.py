"""What is done to the tensors of one of Hugging Face's `model_type`s: the fields of an entry in
`names.py`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Kind:
    """One `model_type`."""

    architecture: str
    """In `architectures.py`."""
    layers: str
    """What a layer's tensors begin with; {} is its number."""
    names: Mapping[str, str]
    """Tensors that there are once, without `.weight` and `.bias`."""
    layer_names: Mapping[str, str]
    """Those of a layer; {} is an expert's number, and all experts' become one tensor."""
    whole_names: Mapping[str, str] = field(default_factory=dict)
    """Tensors of a layer that have no `.weight` and `.bias`, here or there."""
    prefix: str = ""
    """What names may begin with, and need not."""
    ignored: str = (
        r"(?:.*\.)?(?:rotary_emb\.inv_freq|attn\.bias|attention\.bias|masked_bias)"
        r"|(?:model\.)?(?:vision_tower|vision_model|visual|multi_modal_projector|mtp)\..*"
        r"|(?:bert\.)?(?:pooler|cls|embeddings\.position_ids)(?:\..*)?|(?:head|decoder)\..*"
    )
    """Names that older files have and that say nothing, and of what sees, or predicts further
    tokens."""
    interleaved: tuple[str, ...] = ()
    """Tensors whose heads' rows are to come in RoPE's pairs, not in halves."""
    transposed: tuple[str, ...] = ()
    """Matrices that are stored with their columns as rows."""
    halves: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    """Matrices that are two, one below the other, or one below the other in each expert."""
    by_heads: tuple[str, ...] = ()
    """Fused queries, keys and values, stored head by head."""
    raised_norms: bool = False
    """Whether norms are stored less 1."""
    positions_behind_padding: bool = False
    """Whether the first position is the row behind the padding token's id."""
    defaults: Mapping[str, object] = field(default_factory=dict)
    """What config.json may leave out."""

    def name_of(self, stored: str) -> str | None:
        """The name of a tensor in a GGUF file; None for one that is unknown."""
        stored = _LANGUAGE.sub("", stored).removeprefix(self.prefix)
        return self._name_of(stored) or self._name_of(f"{self.layers.split('.')[0]}.{stored}")

    def stored_name(self, name: str) -> str | None:
        """The name in a folder of a tensor in a GGUF file; None for one that is unknown."""
        base, _, last = name.rpartition(".")
        if base.startswith("blk."):
            _, layer, own = base.split(".", 2)
            found = next((k for k, v in self.layer_names.items() if v == own), None)
            return f"{self.layers.format(layer)}.{found}.{last}" if found else None
        found = next((k for k, v in self.names.items() if v == base), None)
        return f"{found}.{last}" if found else None

    def _name_of(self, stored: str) -> str | None:
        base, _, last = stored.rpartition(".")
        if base in self.names:
            return f"{self.names[base]}.{last}"
        found = re.fullmatch(self.layers.replace(".", r"\.").format(r"(\d+)") + r"\.(.+)", base)
        if found and found[2] in self.layer_names:
            return f"blk.{int(found[1])}.{self.layer_names[found[2]]}.{last}"
        if found and f"{found[2]}.{last}" in self.whole_names:
            return f"blk.{int(found[1])}.{self.whole_names[f'{found[2]}.{last}']}"
        expert = re.search(r"\.(\d+)\.", found[2]) if found else None
        if found and expert:  # of which all are one tensor
            own = self.layer_names.get(found[2].replace(expert[0], ".{}."))
            return f"blk.{int(found[1])}.{own}.{last}.{int(expert[1])}" if own else None
        return None


_LANGUAGE = re.compile(r"(?:model\.)?language_model\.(?:model\.)?")
"""What a model that sees puts before the names of its half that reads."""
