"""How Hugging Face's models call their tensors, and what has to be done to them on the way.

One entry of `KINDS` for each `model_type` of a config.json: which architecture of ours it is, and
its tensors' names. To add one: an entry here and, where its config.json has words of its own, a few
lines in `config.py`. The names are those of
https://github.com/huggingface/transformers/tree/main/src/transformers/models; what is done to the
values is what llama.cpp's convert_hf_to_gguf.py does.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from .kind import Kind

__all__ = ["ENCODERS", "KINDS", "SCANS", "Kind", "chosen"]


_LLAMA_NAMES = {
    "model.embed_tokens": "token_embd",
    "model.norm": "output_norm",
    "lm_head": "output",
}
_ATTENTION = {
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
}
_GATED = {
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
}
_EXPERTS = {
    "mlp.gate": "ffn_gate_inp",
    "mlp.experts.{}.gate_proj": "ffn_gate_exps",
    "mlp.experts.{}.up_proj": "ffn_up_exps",
    "mlp.experts.{}.down_proj": "ffn_down_exps",
}
_NORMS = {"input_layernorm": "attn_norm", "post_attention_layernorm": "ffn_norm"}
_HEAD_NORMS = {"self_attn.q_norm": "attn_q_norm", "self_attn.k_norm": "attn_k_norm"}
_POST_NORMS = {
    "post_attention_layernorm": "post_attention_norm",
    "post_feedforward_layernorm": "post_ffw_norm",
}
_SCAN = {
    "mamba.in_proj": "ssm_in",
    "mamba.conv1d": "ssm_conv1d",
    "mamba.norm": "ssm_norm",
    "mamba.out_proj": "ssm_out",
}
_SCAN_WHOLE = {
    "mamba.dt_bias": "ssm_dt.bias",
    "mamba.A_log": "ssm_a",
    "mamba.D": "ssm_d",
}
_LAYERS = "model.layers.{}"
_BASE = {**_ATTENTION, **_GATED, **_NORMS}
_GEMMA2 = {
    **_ATTENTION,
    **_GATED,
    **_POST_NORMS,
    "input_layernorm": "attn_norm",
    "pre_feedforward_layernorm": "ffn_norm",
}
_PAIRS = ("attn_q", "attn_k")
_GEMMA_DEFAULTS = {"tie_word_embeddings": True, "rms_norm_eps": 1e-6, "head_dim": 256}

_GRANITEMOE = Kind(
    "granitemoe",
    _LAYERS,
    _LLAMA_NAMES,
    {
        **_ATTENTION,
        **_NORMS,
        "block_sparse_moe.router.layer": "ffn_gate_inp",
        "block_sparse_moe.input_linear": "ffn_gate_up_exps",
        "block_sparse_moe.output_linear": "ffn_down_exps",
        "shared_mlp.input_linear": "ffn_gate_up_shexp",
        "shared_mlp.output_linear": "ffn_down_shexp",
    },
    interleaved=_PAIRS,
    halves={
        "ffn_gate_up_exps": ("ffn_gate_exps", "ffn_up_exps"),
        "ffn_gate_up_shexp": ("ffn_gate_shexp", "ffn_up_shexp"),
    },
)

KINDS: dict[str, Kind] = {
    "llama": Kind("llama", _LAYERS, _LLAMA_NAMES, _BASE, interleaved=_PAIRS),
    "llama4_text": Kind(
        "llama4",
        _LAYERS,
        _LLAMA_NAMES,
        {
            **_ATTENTION,
            **_NORMS,
            "feed_forward.gate_proj": "ffn_gate",
            "feed_forward.up_proj": "ffn_up",
            "feed_forward.down_proj": "ffn_down",
        },
        defaults={"head_dim": 128, "rope_theta": 5e5},
    ),
    "mistral": Kind("llama", _LAYERS, _LLAMA_NAMES, _BASE, interleaved=_PAIRS),
    "smollm3": Kind(
        "smollm3",
        _LAYERS,
        _LLAMA_NAMES,
        _BASE,
        interleaved=_PAIRS,
        defaults={"tie_word_embeddings": True, "rope_theta": 2e6},
    ),
    "qwen2": Kind("qwen2", _LAYERS, _LLAMA_NAMES, _BASE),
    "qwen3": Kind("qwen3", _LAYERS, _LLAMA_NAMES, {**_BASE, **_HEAD_NORMS}),
    "gemma": Kind(
        "gemma", _LAYERS, _LLAMA_NAMES, _BASE, raised_norms=True, defaults=_GEMMA_DEFAULTS
    ),
    "gemma2": Kind(
        "gemma2", _LAYERS, _LLAMA_NAMES, _GEMMA2, raised_norms=True, defaults=_GEMMA_DEFAULTS
    ),
    "gemma3_text": Kind(
        "gemma3",
        _LAYERS,
        _LLAMA_NAMES,
        {**_GEMMA2, **_HEAD_NORMS},
        raised_norms=True,
        defaults={
            **_GEMMA_DEFAULTS,
            "num_attention_heads": 8,
            "num_key_value_heads": 4,
            "max_position_embeddings": 131072,
            "rope_theta": 1e6,
        },
    ),
    "phi3": Kind(
        "phi3",
        _LAYERS,
        _LLAMA_NAMES,
        {
            **_NORMS,
            "self_attn.qkv_proj": "attn_qkv",
            "self_attn.o_proj": "attn_output",
            "mlp.gate_up_proj": "ffn_up",
            "mlp.down_proj": "ffn_down",
        },
    ),
    "gpt2": Kind(
        "gpt2",
        "transformer.h.{}",
        {
            "transformer.wte": "token_embd",
            "transformer.wpe": "position_embd",
            "transformer.ln_f": "output_norm",
            "lm_head": "output",
        },
        {
            "ln_1": "attn_norm",
            "attn.c_attn": "attn_qkv",
            "attn.c_proj": "attn_output",
            "ln_2": "ffn_norm",
            "mlp.c_fc": "ffn_up",
            "mlp.c_proj": "ffn_down",
        },
        transposed=("attn_qkv", "attn_output", "ffn_up", "ffn_down"),
        defaults={"tie_word_embeddings": True},
    ),
    "gpt_neox": Kind(
        "gptneox",
        "gpt_neox.layers.{}",
        {
            "gpt_neox.embed_in": "token_embd",
            "gpt_neox.final_layer_norm": "output_norm",
            "embed_out": "output",
            "lm_head": "output",
        },
        {
            "input_layernorm": "attn_norm",
            "attention.query_key_value": "attn_qkv",
            "attention.dense": "attn_output",
            "post_attention_layernorm": "ffn_norm",
            "mlp.dense_h_to_4h": "ffn_up",
            "mlp.dense_4h_to_h": "ffn_down",
        },
        by_heads=("attn_qkv",),
    ),
    "lfm2": Kind(
        "lfm2",
        _LAYERS,
        {**_LLAMA_NAMES, "model.embedding_norm": "token_embd_norm"},
        {
            "operator_norm": "attn_norm",
            "ffn_norm": "ffn_norm",
            "self_attn.q_proj": "attn_q",
            "self_attn.k_proj": "attn_k",
            "self_attn.v_proj": "attn_v",
            "self_attn.out_proj": "attn_output",
            "self_attn.q_layernorm": "attn_q_norm",
            "self_attn.k_layernorm": "attn_k_norm",
            "conv.in_proj": "shortconv.in_proj",
            "conv.conv": "shortconv.conv",
            "conv.out_proj": "shortconv.out_proj",
            "feed_forward.w1": "ffn_gate",
            "feed_forward.w3": "ffn_up",
            "feed_forward.w2": "ffn_down",
        },
        defaults={"tie_word_embeddings": True, "rope_theta": 1e6},
    ),
    "olmoe": Kind(
        "olmoe",
        _LAYERS,
        _LLAMA_NAMES,
        {
            **_ATTENTION,
            **_NORMS,
            **_HEAD_NORMS,
            **_EXPERTS,
        },
    ),
    "minicpm": Kind(
        "minicpm",
        _LAYERS,
        _LLAMA_NAMES,
        _BASE,
        interleaved=_PAIRS,
        defaults={
            "tie_word_embeddings": True,
            "scale_emb": 1,
            "scale_depth": 1,
            "dim_model_base": 1,
        },
    ),
    "qwen3_moe": Kind(
        "qwen3moe",
        _LAYERS,
        _LLAMA_NAMES,
        {**_ATTENTION, **_NORMS, **_HEAD_NORMS, **_EXPERTS},
        defaults={"norm_topk_prob": False},
    ),
    "qwen3_5_text": Kind(
        "qwen35",
        _LAYERS,
        _LLAMA_NAMES,
        {
            **_ATTENTION,
            **_GATED,
            **_HEAD_NORMS,
            "input_layernorm": "attn_norm",
            "post_attention_layernorm": "post_attention_norm",
            "linear_attn.in_proj_qkv": "attn_qkv",
            "linear_attn.in_proj_z": "attn_gate",
            "linear_attn.in_proj_a": "ssm_alpha",
            "linear_attn.in_proj_b": "ssm_beta",
            "linear_attn.conv1d": "ssm_conv1d",
            "linear_attn.norm": "ssm_norm",
            "linear_attn.out_proj": "ssm_out",
        },
        whole_names={"linear_attn.dt_bias": "ssm_dt.bias", "linear_attn.A_log": "ssm_a"},
        raised_norms=True,
        defaults={
            "rms_norm_eps": 1e-6,
            "head_dim": 256,
            "partial_rotary_factor": 0.25,
            "linear_num_key_heads": 16,
            "linear_num_value_heads": 32,
            "linear_key_head_dim": 128,
            "linear_value_head_dim": 128,
        },
    ),
    "granitemoe": _GRANITEMOE,
    "granitemoeshared": _GRANITEMOE,
    "granitemoehybrid": Kind(
        "granitehybrid",
        _LAYERS,
        _LLAMA_NAMES,
        {
            **_ATTENTION,
            **_NORMS,
            **_SCAN,
            "shared_mlp.input_linear": "ffn_gate_up",
            "shared_mlp.output_linear": "ffn_down",
        },
        whole_names=_SCAN_WHOLE,
        interleaved=_PAIRS,
        halves={"ffn_gate_up": ("ffn_gate", "ffn_up")},
    ),
    "falcon_h1": Kind(
        "falcon-h1",
        _LAYERS,
        {**_LLAMA_NAMES, "model.final_layernorm": "output_norm"},
        {
            **_ATTENTION,
            **_SCAN,
            "input_layernorm": "attn_norm",
            "feed_forward.gate_proj": "ffn_gate",
            "feed_forward.up_proj": "ffn_up",
            "feed_forward.down_proj": "ffn_down",
        },
        whole_names={**_SCAN_WHOLE, "pre_ff_layernorm.weight": "ffn_norm"},
    ),
    "mamba2": Kind(
        "mamba2",
        "backbone.layers.{}",
        {
            "backbone.embeddings": "token_embd",
            "backbone.norm_f": "output_norm",
            "lm_head": "output",
        },
        {
            "norm": "attn_norm",
            "mixer.in_proj": "ssm_in",
            "mixer.conv1d": "ssm_conv1d",
            "mixer.norm": "ssm_norm",
            "mixer.out_proj": "ssm_out",
        },
        whole_names={
            "mixer.dt_bias": "ssm_dt.bias",
            "mixer.A_log": "ssm_a",
            "mixer.D": "ssm_d",
        },
        defaults={
            "expand": 2,
            "conv_kernel": 4,
            "state_size": 128,
            "n_groups": 8,
            "max_position_embeddings": 1 << 20,
        },
    ),
    "granite": Kind("granite", _LAYERS, _LLAMA_NAMES, _BASE, interleaved=_PAIRS),
    "starcoder2": Kind(
        "starcoder2",
        _LAYERS,
        _LLAMA_NAMES,
        {**_ATTENTION, **_NORMS, "mlp.c_fc": "ffn_up", "mlp.c_proj": "ffn_down"},
        defaults={"tie_word_embeddings": True},
    ),
    "phi": Kind(
        "phi2",
        _LAYERS,
        {**_LLAMA_NAMES, "model.final_layernorm": "output_norm"},
        {
            "input_layernorm": "attn_norm",
            "self_attn.q_proj": "attn_q",
            "self_attn.k_proj": "attn_k",
            "self_attn.v_proj": "attn_v",
            "self_attn.dense": "attn_output",
            "mlp.fc1": "ffn_up",
            "mlp.fc2": "ffn_down",
        },
        defaults={"partial_rotary_factor": 0.5},
    ),
    "stablelm": Kind(
        "stablelm",
        _LAYERS,
        _LLAMA_NAMES,
        _BASE,
        defaults={"partial_rotary_factor": 0.25},
    ),
    "exaone4": Kind("exaone4", _LAYERS, _LLAMA_NAMES, {**_BASE, **_POST_NORMS, **_HEAD_NORMS}),
    "ernie4_5": Kind(
        "ernie4_5",
        _LAYERS,
        _LLAMA_NAMES,
        _BASE,
        defaults={"tie_word_embeddings": True, "rope_theta": 5e5, "head_dim": 128},
    ),
    "hunyuan_v1_dense": Kind(
        "hunyuan-dense",
        _LAYERS,
        _LLAMA_NAMES,
        {
            **_BASE,
            "self_attn.query_layernorm": "attn_q_norm",
            "self_attn.key_layernorm": "attn_k_norm",
        },
    ),
    "bert": Kind(
        "bert",
        "encoder.layer.{}",
        {
            "embeddings.word_embeddings": "token_embd",
            "embeddings.token_type_embeddings": "token_types",
            "embeddings.position_embeddings": "position_embd",
            "embeddings.LayerNorm": "token_embd_norm",
        },
        {
            "attention.self.query": "attn_q",
            "attention.self.key": "attn_k",
            "attention.self.value": "attn_v",
            "attention.output.dense": "attn_output",
            "attention.output.LayerNorm": "attn_output_norm",
            "intermediate.dense": "ffn_up",
            "output.dense": "ffn_down",
            "output.LayerNorm": "layer_output_norm",
        },
        prefix="bert.",
        defaults={"layer_norm_eps": 1e-12, "tie_word_embeddings": True},
    ),
    "nomic_bert": Kind(
        "nomic-bert",
        "encoder.layers.{}",
        {
            "embeddings.word_embeddings": "token_embd",
            "embeddings.token_type_embeddings": "token_types",
            "emb_ln": "token_embd_norm",
        },
        {
            "attn.Wqkv": "attn_qkv",
            "attn.out_proj": "attn_output",
            "norm1": "attn_output_norm",
            "mlp.fc11": "ffn_up",
            "mlp.fc12": "ffn_gate",
            "mlp.fc2": "ffn_down",
            "norm2": "layer_output_norm",
        },
        prefix="bert.",
        defaults={
            "layer_norm_eps": 1e-12,
            "rotary_emb_base": 1000.0,
            "tie_word_embeddings": True,
        },
    ),
    "modernbert": Kind(
        "modern-bert",
        "layers.{}",
        {
            "embeddings.tok_embeddings": "token_embd",
            "embeddings.norm": "token_embd_norm",
            "final_norm": "output_norm",
        },
        {
            "attn_norm": "attn_norm",
            "attn.Wqkv": "attn_qkv",
            "attn.Wo": "attn_output",
            "mlp_norm": "ffn_norm",
            "mlp.Wi": "ffn_up",
            "mlp.Wo": "ffn_down",
        },
        prefix="model.",
        defaults={"rope_theta": 160000.0, "tie_word_embeddings": True},
    ),
    "olmo2": Kind(
        "olmo2",
        _LAYERS,
        _LLAMA_NAMES,
        {**_ATTENTION, **_GATED, **_POST_NORMS, **_HEAD_NORMS},
    ),
}
"""By `model_type`."""

_ROBERTA = replace(
    KINDS["bert"],
    prefix="roberta.",
    ignored=r"(?:roberta\.)?(?:pooler|embeddings\.position_ids)(?:\..*)?|lm_head\..*",
    positions_behind_padding=True,
    defaults={**KINDS["bert"].defaults, "pad_token_id": 1},
)
KINDS |= dict.fromkeys(("roberta", "xlm-roberta", "camembert"), _ROBERTA)

ENCODERS: dict[str, Kind] = {
    "gemma3_text": replace(
        KINDS["gemma3_text"],
        architecture="gemma-embedding",
        names={**_LLAMA_NAMES, "2_Dense.linear": "dense_2", "3_Dense.linear": "dense_3"},
    )
}
"""Of a config.json that lets positions see later ones."""

SCANS = ("mamba", "linear_attention")
"""What `layer_types` calls a layer that has a scan and no attention."""


def chosen(kind: str, config: Mapping[str, Any], kinds: Mapping[str, Kind]) -> Kind:
    """The entry of a `model_type` in `kinds`, or the one that its config.json makes of it: Granite
    4's may have no experts, or no scans, as in llama.cpp's convert_hf_to_gguf.py."""
    found = kinds[kind]
    if config.get("use_bidirectional_attention") is True:
        return ENCODERS.get(kind, found)
    if kind != "granitemoehybrid":
        return found
    types = config.get("layer_types")
    scans = not isinstance(types, list) or any(one in SCANS for one in types)
    experts = bool(config.get("num_local_experts", 8))
    if experts:
        names = {**_GRANITEMOE.layer_names, **_SCAN}
        found = replace(found, layer_names=names, halves=_GRANITEMOE.halves)
    architecture = "granitemoe" if experts else "granite"
    return found if scans else replace(found, architecture=architecture)
