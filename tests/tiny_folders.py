"""Small random models as Hugging Face's folders, made on the spot, one for each architecture.

    folder = write_folder(tmp_path / "qwen2", "qwen2")
    data = converted("qwen2", "q8_0")                   # the same as the bytes of a GGUF file

`CONFIGS` are what transformers makes its models of; the names and shapes of their tensors are
recorded in `tests/vectors/architectures.json`, by `tests/vectors/record_architectures.py`, as
transformers' own `save_pretrained` wrote them. The values are drawn here, so that no weights need
to be kept, and transformers and llama.cpp have computed their logits of the same ones. The
tokenizers are those of `tests/tiny_tokenizers.py`.
"""

from __future__ import annotations

import functools
import json
import math
import struct
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tests.tiny_models import random_values
from tests.tiny_tokenizers import write_tokenizer
from thimble.convert.folder import convert_folder

RECORD = Path(__file__).parent / "vectors" / "architectures.json"

_LLAMA: dict[str, Any] = {
    "hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 2, "num_attention_heads": 4,
    "num_key_value_heads": 2, "max_position_embeddings": 128, "rms_norm_eps": 1e-5,
}  # fmt: skip
_GEMMA = {**_LLAMA, "head_dim": 32, "query_pre_attn_scalar": 32, "sliding_window": 24}
_LLAMA3 = {
    "rope_type": "llama3", "rope_theta": 500000.0, "factor": 8.0, "low_freq_factor": 1.0,
    "high_freq_factor": 4.0, "original_max_position_embeddings": 64,
}  # fmt: skip
_LONGROPE = {
    "rope_type": "longrope", "rope_theta": 10000.0,
    "short_factor": [1.0, 1.1, 1.2, 1.3, 1.4, 1.5, 1.6, 1.7],
    "long_factor": [2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0],
    "original_max_position_embeddings": 256,
}  # fmt: skip
_YARN = {
    "rope_type": "yarn", "rope_theta": 10000.0, "factor": 4.0,
    "original_max_position_embeddings": 32,
}  # fmt: skip

_SCAN = {"mamba_n_heads": 8, "mamba_d_head": 16, "mamba_d_state": 32, "mamba_n_groups": 1}

_DENSE = {
    "head_dim": 16, "intermediate_size_mlp": 96, "num_local_experts": 0, "moe_layers": [],
    "interleave_moe_layer_step": 0, "num_experts_per_tok": 0,
}  # fmt: skip
_DELTA = {
    "linear_key_head_dim": 16, "linear_value_head_dim": 16, "head_dim": 32,
    "rope_parameters": {
        "rope_type": "default", "rope_theta": 10000.0, "partial_rotary_factor": 0.25,
        "mrope_section": [2, 1, 1],
    },
}  # fmt: skip

CONFIGS: dict[str, dict[str, Any]] = {
    "llama": {"model_type": "llama", **_LLAMA, "rope_parameters": _LLAMA3},
    "smollm": {"model_type": "llama", **_LLAMA, "tie_word_embeddings": True},
    "mistral": {"model_type": "mistral", **_LLAMA, "head_dim": 32, "sliding_window": None},
    "qwen2": {"model_type": "qwen2", **_LLAMA, "tie_word_embeddings": True},
    "qwen3": {"model_type": "qwen3", **_LLAMA, "head_dim": 32},
    "gemma": {"model_type": "gemma", **_LLAMA, "head_dim": 32},
    "gemma2": {
        "model_type": "gemma2", **_GEMMA, "num_hidden_layers": 4,
        # Small ones, which change what is computed with small models, too.
        "attn_logit_softcapping": 2.0, "final_logit_softcapping": 3.0,
    },
    "gemma3": {
        "model_type": "gemma3_text", **_GEMMA, "num_hidden_layers": 7,
        "rope_parameters": {
            "full_attention": {"rope_type": "linear", "factor": 8.0, "rope_theta": 1e6},
            "sliding_attention": {"rope_type": "default", "rope_theta": 10000.0},
        },
    },
    "phi3": {"model_type": "phi3", **_LLAMA, "pad_token_id": 0},
    "phi3-long": {
        "model_type": "phi3", **_LLAMA, "pad_token_id": 0, "rope_parameters": _LONGROPE,
        "max_position_embeddings": 512, "original_max_position_embeddings": 256,
    },
    "phi4": {
        "model_type": "phi3", **_LLAMA, "pad_token_id": 0, "tie_word_embeddings": True,
        "rope_parameters": {
            "rope_type": "default", "rope_theta": 10000.0, "partial_rotary_factor": 0.5,
        },
    },
    "gpt2": {
        "model_type": "gpt2", "n_embd": 64, "n_layer": 2, "n_head": 4, "n_positions": 128,
    },
    "gptneox": {
        "model_type": "gpt_neox", "hidden_size": 64, "intermediate_size": 256,
        "num_hidden_layers": 2, "num_attention_heads": 4, "max_position_embeddings": 128,
    },
    "gptneox-serial": {
        "model_type": "gpt_neox", "hidden_size": 64, "intermediate_size": 256,
        "num_hidden_layers": 2, "num_attention_heads": 4, "max_position_embeddings": 128,
        "use_parallel_residual": False,
    },
    "olmo2": {"model_type": "olmo2", **_LLAMA},
    # Behind the others, whose values are drawn by their place.
    "smollm3": {
        "model_type": "smollm3", **_LLAMA, "num_hidden_layers": 4, "pad_token_id": 0,
        "bos_token_id": 0, "eos_token_id": 0,
    },
    "qwen2-yarn": {"model_type": "qwen2", **_LLAMA, "rope_parameters": _YARN},
    "qwen3-yarn": {
        "model_type": "qwen3", **_LLAMA, "head_dim": 32, "max_position_embeddings": 2048,
        "rope_parameters": {
            **_YARN, "original_max_position_embeddings": 512, "beta_fast": 8.0, "beta_slow": 2.0,
            "attention_factor": 1.3,
        },
    },
    "lfm2": {
        "model_type": "lfm2", **{k: v for k, v in _LLAMA.items() if k != "rms_norm_eps"},
        "num_hidden_layers": 4, "full_attn_idxs": [2], "norm_eps": 1e-5,
        "block_multiple_of": 32, "intermediate_size": 128, "pad_token_id": 0,
    },
    "olmoe": {
        "model_type": "olmoe",  **_LLAMA, "num_key_value_heads": 4, "intermediate_size": 32,
        "num_experts": 6, "num_experts_per_tok": 3, "eos_token_id": 0, "pad_token_id": 0,
    },
    "mamba2": {
        "model_type": "mamba2", "hidden_size": 64, "num_hidden_layers": 2, "num_heads": 8,
        "head_dim": 16, "state_size": 32, "n_groups": 1, "pad_token_id": 0, "eos_token_id": 0,
        "tie_word_embeddings": False, "max_position_embeddings": 4096,
    },
    "granite": {
        "model_type": "granite", **_LLAMA, "embedding_multiplier": 3.0, "logits_scaling": 2.0,
        "attention_multiplier": 0.2, "residual_multiplier": 0.5, "tie_word_embeddings": True,
    },
    "starcoder2": {
        "model_type": "starcoder2", **_LLAMA, "bos_token_id": 0, "eos_token_id": 0,
    },
    "phi2": {
        "model_type": "phi", **_LLAMA, "num_key_value_heads": 4, "intermediate_size": 256,
    },
    "stablelm": {"model_type": "stablelm", **_LLAMA, "use_qkv_bias": True},
    "exaone4": {
        "model_type": "exaone4", **_LLAMA, "sliding_window": None, "rope_parameters": _LLAMA3,
        "layer_types": ["full_attention"] * 2,
    },
    "ernie4_5": {"model_type": "ernie4_5", **_LLAMA, "head_dim": 32},
    "hunyuan-dense": {
        "model_type": "hunyuan_v1_dense", **_LLAMA, "head_dim": 16, "tie_word_embeddings": True,
        "rope_parameters": {
            "rope_type": "dynamic", "alpha": 50.0, "factor": 1.0, "rope_theta": 10000.0,
        },
    },
    "qwen3moe": {
        "model_type": "qwen3_moe", **_LLAMA, "head_dim": 32, "moe_intermediate_size": 32,
        "num_experts": 6, "num_experts_per_tok": 3, "norm_topk_prob": True,
    },
    "granitemoe": {
        "model_type": "granitemoe", **_LLAMA, "intermediate_size": 32, "num_local_experts": 6,
        "num_experts_per_tok": 3, "embedding_multiplier": 3.0, "logits_scaling": 2.0,
        "attention_multiplier": 0.2, "residual_multiplier": 0.5, "tie_word_embeddings": True,
    },
    "minicpm": {
        "model_type": "minicpm", **_LLAMA, "scale_emb": 3.0, "scale_depth": 1.4,
        "dim_model_base": 32, "rope_parameters": _LONGROPE, "max_position_embeddings": 256,
        "original_max_position_embeddings": 256, "tie_word_embeddings": True,
    },
    "granitehybrid": {
        "model_type": "granitemoehybrid", **_LLAMA, "num_hidden_layers": 4,
        "layer_types": ["mamba", "mamba", "attention", "mamba"], "num_local_experts": 0,
        "num_experts_per_tok": 0, "shared_intermediate_size": 96, "embedding_multiplier": 3.0,
        "logits_scaling": 2.0, "attention_multiplier": 0.2, "residual_multiplier": 0.5,
        "tie_word_embeddings": True, **_SCAN, "position_embedding_type": "nope",
    },
    "granitehybrid-moe": {
        "model_type": "granitemoehybrid", **_LLAMA, "intermediate_size": 32,
        "layer_types": ["mamba", "attention"], "num_local_experts": 4,
        "num_experts_per_tok": 2, "shared_intermediate_size": 64,
        "attention_multiplier": 0.2, **_SCAN, "position_embedding_type": "rope",
    },
    "falcon-h1": {
        "model_type": "falcon_h1", **_LLAMA, **_SCAN, "head_dim": 32, "mamba_d_ssm": 96,
        "mamba_n_heads": 8, "mamba_d_head": 12, "attention_in_multiplier": 0.7,
        "attention_out_multiplier": 0.8, "embedding_multiplier": 3.0, "key_multiplier": 0.6,
        "lm_head_multiplier": 0.5, "mlp_multipliers": [0.9, 0.4], "ssm_in_multiplier": 0.8,
        "ssm_out_multiplier": 0.3, "ssm_multipliers": [0.5, 0.6, 0.7, 0.8, 0.9],
        "tie_word_embeddings": True, "rope_theta": 1e11,
    },
    "qwen35": {
        "model_type": "qwen3_5_text", **_LLAMA, **_DELTA, "num_hidden_layers": 4,
        "linear_num_key_heads": 2, "linear_num_value_heads": 4, "tie_word_embeddings": True,
        "linear_key_head_dim": 32, "linear_value_head_dim": 32,
    },
    "qwen35-even": {
        "model_type": "qwen3_5_text", **_LLAMA, **_DELTA, "num_hidden_layers": 3,
        "linear_num_key_heads": 4, "linear_num_value_heads": 4, "linear_conv_kernel_dim": 3,
        "layer_types": ["linear_attention", "full_attention", "linear_attention"],
    },
    "llama4": {
        "model_type": "llama4_text", **_LLAMA, **_DENSE, "num_hidden_layers": 4,
        "rope_parameters": _LLAMA3,
    },
    "llama4-rope": {
        "model_type": "llama4_text", **_LLAMA, **_DENSE, "no_rope_layers": [1, 1],
        "layer_types": ["full_attention"] * 2, "attn_temperature_tuning": False,
        "tie_word_embeddings": True,
    },
    "llama4-tempered": {
        "model_type": "llama4_text", **_LLAMA, **_DENSE, "num_hidden_layers": 4,
        "attention_chunk_size": 128, "floor_scale": 5, "attn_scale": 0.25,
    },
}  # fmt: skip
"""By name of the test; those keys that differ from transformers' own defaults."""

WITHOUT_LLAMA_CPP = ("llama4-rope", "llama4-tempered")
"""What llama.cpp as recorded does not run: it ends at temperatures that the first has not, and
takes its own for the second."""

STAND_INS = {
    # transformers lacks it; what it would compute, by Granite's words.
    "minicpm": {
        "model_type": "granite", **_LLAMA, "embedding_multiplier": 3.0, "logits_scaling": 2.0,
        "attention_multiplier": 0.25, "residual_multiplier": 1.4 / math.sqrt(2),
        "rope_parameters": _LONGROPE, "max_position_embeddings": 256,
        "original_max_position_embeddings": 256, "tie_word_embeddings": True,
    },
}  # fmt: skip

ENCODERS: dict[str, dict[str, Any]] = {
    "gemma-embedding": {
        "model_type": "gemma3_text", **_GEMMA, "num_hidden_layers": 7,
        "use_bidirectional_attention": True,
        "rope_parameters": {
            "full_attention": {"rope_type": "default", "rope_theta": 1e6},
            "sliding_attention": {"rope_type": "default", "rope_theta": 10000.0},
        },
    },
}  # fmt: skip
ENCODERS["gemma-embedding-dense"] = ENCODERS["gemma-embedding"]
_BERT = {
    "hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 2, "num_attention_heads": 4,
    "max_position_embeddings": 128, "layer_norm_eps": 1e-6,
}  # fmt: skip
ENCODERS["bert"] = ENCODERS["bert-first"] = {"model_type": "bert", **_BERT}
ENCODERS["nomic-bert"] = {"model_type": "nomic_bert", **_BERT}
ENCODERS["modern-bert"] = {
    "model_type": "modernbert", "hidden_size": 64, "intermediate_size": 96, "local_attention": 24,
    "num_hidden_layers": 4, "num_attention_heads": 4, "max_position_embeddings": 128,
    **dict.fromkeys((f"{n}_token_id" for n in ("pad", "bos", "eos", "cls", "sep")), 0),
}  # fmt: skip
ENCODERS["xlm-roberta"] = {"model_type": "xlm-roberta", **_BERT, "max_position_embeddings": 130}
"""The same of models that leave a vector."""
PROJECTED = 96
"""What the first of two dense layers behind a vector makes of it."""


@functools.cache
def recorded() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(RECORD.read_text(encoding="utf-8"))
    return found


def write_folder(folder: Path, name: str, *, stored: str = "F32", shards: int = 1) -> Path:
    """Write a model's folder, weights stored as F32, F16 or BF16, and return it."""
    record = recorded()["models"][name]
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(record["config"]))
    write_tokenizer(folder, name)
    weights = values(name, {k: tuple(v) for k, v in record["tensors"].items()})
    write_weights(folder, weights, stored=stored, shards=shards)
    if name == "bert-first":  # as sentence-transformers says it
        (folder / "1_Pooling").mkdir(exist_ok=True)
        asked = {"pooling_mode_cls_token": True, "pooling_mode_mean_tokens": False}
        (folder / "1_Pooling" / "config.json").write_text(json.dumps(asked))
    for layer, matrix in dense_layers(name).items():
        (folder / layer).mkdir(exist_ok=True)
        (folder / layer / "config.json").write_text(
            json.dumps({"activation_function": "torch.nn.modules.linear.Identity"})
        )
        write_weights(folder / layer, {"linear.weight": matrix}, stored=stored)
    return folder


def dense_layers(name: str) -> dict[str, NDArray[np.float32]]:
    """The matrices behind an encoder's vector, by the folders that sentence-transformers has."""
    if name not in ENCODERS or not name.endswith("-dense"):
        return {}
    width = ENCODERS[name]["hidden_size"]
    shapes = {"2_Dense": (PROJECTED, width), "3_Dense": (width, PROJECTED)}
    return {
        layer: random_values(7_000 + i, shape, 0.2)
        for i, (layer, shape) in enumerate(shapes.items())
    }


def number_of(name: str) -> int:
    """Which of all models one is; encoders are counted from 900 on."""
    known = list(CONFIGS)
    return known.index(name) if name in known else 900 + list(ENCODERS).index(name)


@functools.cache
def converted(name: str, kind: str) -> bytes:
    """The bytes of a model's GGUF file, its matrices as `kind`."""
    with tempfile.TemporaryDirectory() as place:
        folder = write_folder(Path(place) / name, name)
        convert_folder(folder, Path(place) / "out.gguf", kind)
        return (Path(place) / "out.gguf").read_bytes()


def values(name: str, shapes: dict[str, tuple[int, ...]]) -> dict[str, NDArray[np.float32]]:
    """The random values of a model's tensors, the same on every machine."""
    found = {}
    less_1 = "gemma" in name or "qwen35" in name
    for i, (tensor, shape) in enumerate(sorted(shapes.items())):
        seed = 100_000 * (1 + number_of(name)) + i
        norm = "norm" in tensor or ".ln_" in tensor
        raised = less_1 and "linear_attn" not in tensor
        if len(shape) > 1:
            size = 1.5 * math.sqrt(3 / (shape[0] if name == "gpt2" else shape[-1]))
            if "wte" in tensor or "embed" in tensor:
                size = 0.5
            found[tensor] = random_values(seed, shape, size)
        elif norm and tensor.endswith("weight"):
            found[tensor] = random_values(seed, shape, 0.25) + np.float32(0 if raised else 1)
        else:
            found[tensor] = random_values(seed, shape, 0.2)
    return found


def write_weights(
    folder: Path,
    weights: dict[str, NDArray[np.float32]],
    *,
    stored: str = "F32",
    shards: int = 1,
) -> None:
    """Write tensors as safetensors, in one file or in several with an index."""
    names = list(weights)
    if shards == 1:
        write_safetensors(folder / "model.safetensors", weights, stored)
        return
    places: dict[str, str] = {}
    for shard in range(shards):
        file = f"model-{shard + 1:05}-of-{shards:05}.safetensors"
        part = {name: weights[name] for name in names[shard::shards]}
        write_safetensors(folder / file, part, stored)
        places |= dict.fromkeys(part, file)
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": places}))


def write_safetensors(path: Path, weights: dict[str, NDArray[np.float32]], stored: str) -> None:
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    parts, at = [], 0
    for name, tensor in weights.items():
        data = encoded(tensor, stored)
        end = at + len(data)
        header[name] = {"dtype": stored, "shape": tensor.shape, "data_offsets": [at, end]}
        parts.append(data)
        at = end
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + b"".join(parts))


def encoded(tensor: NDArray[np.float32], stored: str) -> bytes:
    if stored == "BF16":
        return (tensor.view(np.uint32) >> np.uint32(16)).astype("<u2").tobytes()
    return tensor.astype({"F32": "<f4", "F16": "<f2"}[stored]).tobytes()
