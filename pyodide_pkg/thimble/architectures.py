"""The table of architectures: what sets one apart from another, and nothing else.

To add an architecture is to add an entry here. `model_config.py` makes numbers of it and of a
file's keys, and `plan.py` a program of those; the rest of the engine reads these two.

Key and tensor names, and what a file leaves unsaid, are llama.cpp's:
https://github.com/ggml-org/llama.cpp/blob/master/gguf-py/gguf/constants.py and src/models/.
"""

from __future__ import annotations

from .architecture import (
    CONVOLUTIONS,
    EXACT,
    EXPERTS,
    GATED,
    GELU_ERF,
    GELU_TANH,
    SIGMOID,
    SILU,
    VECTORS,
    Architecture,
    Shapes,
)

__all__ = [
    "ARCHITECTURES",
    "CONVOLUTIONS",
    "EXACT",
    "GELU_ERF",
    "GELU_TANH",
    "SIGMOID",
    "SILU",
    "VECTORS",
    "Architecture",
    "Shapes",
]

_OUTPUT_NORM: Shapes = {"output_norm.weight": ("dim",)}
_NORMS: Shapes = {"attn_norm.weight": ("dim",), "ffn_norm.weight": ("dim",)}
_ATTENTION: Shapes = {
    "attn_q.weight": ("q", "dim"),
    "attn_k.weight": ("kv", "dim"),
    "attn_v.weight": ("kv", "dim"),
    "attn_output.weight": ("dim", "q"),
}
_BASE: Shapes = {**_NORMS, **_ATTENTION, **GATED}
_HEAD_NORMS: Shapes = {"attn_q_norm.weight": ("head",), "attn_k_norm.weight": ("head",)}
_POST_NORMS: Shapes = {"post_attention_norm.weight": ("dim",), "post_ffw_norm.weight": ("dim",)}
_ATTENTION_BIASES: Shapes = {"attn_q.bias": ("q",), "attn_k.bias": ("kv",), "attn_v.bias": ("kv",)}
_FUSED_QKV = {
    "attn_qkv.weight": {"attn_q.weight": "q", "attn_k.weight": "kv", "attn_v.weight": "kv"},
    "attn_qkv.bias": {"attn_q.bias": "q", "attn_k.bias": "kv", "attn_v.bias": "kv"},
}
_SCAN: Shapes = {
    "ssm_in.weight": ("zxbcdt", "dim"),
    "ssm_conv1d.weight": ("conv", "taps"),
    "ssm_conv1d.bias": ("conv",),
    "ssm_dt.bias": ("scan_heads",),
    "ssm_a": ("scan_heads", "one"),
    "ssm_d": ("scan_heads", "one"),
    "ssm_norm.weight": ("one", "inner"),
    "ssm_out.weight": ("dim", "inner"),
}
_FUSED_SCAN = {
    "ssm_in.weight": {
        "ssm_z.weight": "inner",
        "ssm_xbc.weight": "conv",
        "ssm_dt.weight": "scan_heads",
    }
}
_UNGATED: Shapes = {
    "attn_output.bias": ("dim",),
    "ffn_up.weight": ("hidden", "dim"),
    "ffn_up.bias": ("hidden",),
    "ffn_down.weight": ("dim", "hidden"),
    "ffn_down.bias": ("dim",),
}
_NORM_BIASES: Shapes = {"attn_norm.bias": ("dim",), "ffn_norm.bias": ("dim",)}
# GPT-2 and GPT-NeoX: everything has a bias.
_BIASED: Shapes = {
    **_NORMS,
    **_NORM_BIASES,
    "attn_qkv.weight": ("qkv", "dim"),
    "attn_qkv.bias": ("qkv",),
    "attn_output.weight": ("dim", "q"),
    **_UNGATED,
}
_EMBEDDING: Shapes = {"token_embd.weight": ("vocab", "dim")}
_OUTPUT_LAYER_NORM: Shapes = {**_OUTPUT_NORM, "output_norm.bias": ("dim",)}
_HEAD: Shapes = {"output.weight": ("vocab", "dim")}
_LONG_ROPE: Shapes = {
    "rope_factors_short.weight": ("pairs",),
    "rope_factors_long.weight": ("pairs",),
}
_SCALES = {
    "embedding_scale": False, "attention.scale": False, "residual_scale": False,
    "logit_scale": True,
}  # fmt: skip

_OUTPUT_NORMS: Shapes = {
    "attn_output_norm.weight": ("dim",),
    "attn_output_norm.bias": ("dim",),
    "layer_output_norm.weight": ("dim",),
    "layer_output_norm.bias": ("dim",),
}
_EMBEDDED_NORM: Shapes = {"token_embd_norm.weight": ("dim",), "token_embd_norm.bias": ("dim",)}
# The mean of all positions, or the first one.
_POOLED = {"attention.causal": (False,), "pooling_type": (1, 2)}

_TABLE = (
    Architecture(
        "llama",
        _BASE,
        optional={"output.weight": ("vocab", "dim"), "rope_freqs.weight": ("pairs",)},
        refused={
            "expert_count": (0,),
            "attention.causal": (True,),
            "use_parallel_residual": (False,),
        },
        rope_interleaved=True,
        rope_whole_head=True,
    ),
    Architecture(
        "qwen2",
        {
            **_BASE,
            **_ATTENTION_BIASES,
        },
    ),
    Architecture("qwen3", {**_BASE, **_HEAD_NORMS}),
    Architecture("gemma", _BASE, activation=GELU_TANH, scaled_embedding=True),
    Architecture(
        "gemma2",
        {**_BASE, **_POST_NORMS},
        activation=GELU_TANH,
        scaled_embedding=True,
        attn_logit_softcapping=50.0,
        final_logit_softcapping=30.0,
        windows=True,
        sliding_window_pattern=2,
        scale_by_width=46,
    ),
    Architecture(
        "gemma3",
        {**_BASE, **_POST_NORMS, **_HEAD_NORMS},
        activation=GELU_TANH,
        scaled_embedding=True,
        windows=True,
        sliding_window_pattern=6,
        rope_base_local=10000.0,
        scale_by_width=62,
    ),
    Architecture(
        "gemma-embedding",
        {**_BASE, **_POST_NORMS, **_HEAD_NORMS},
        optional={
            "dense_2.weight": ("projected", "dim"),
            "dense_3.weight": ("dim", "projected"),
        },
        refused={"expert_count": (0,), "attention.causal": (False,), "pooling_type": (1,)},
        activation=GELU_TANH,
        scaled_embedding=True,
        windows=True,
        sliding_window_pattern=6,
        rope_base_local=10000.0,
        causal=False,
    ),
    Architecture(
        "bert",
        {
            **_ATTENTION,
            **_ATTENTION_BIASES,
            **_UNGATED,
            **_OUTPUT_NORMS,
        },
        tensors={
            **_EMBEDDING,
            **_EMBEDDED_NORM,
            "token_types.weight": ("types", "dim"),
            "position_embd.weight": ("context", "dim"),
        },
        optional={},
        refused=_POOLED,
        rope=False,
        layer_norm=True,
        activation=GELU_ERF,
        causal=False,
    ),
    Architecture(
        "nomic-bert",
        {
            "attn_qkv.weight": ("qkv", "dim"),
            "attn_output.weight": ("dim", "q"),
            **GATED,
            **_OUTPUT_NORMS,
        },
        tensors={**_EMBEDDING, **_EMBEDDED_NORM, "token_types.weight": ("types", "dim")},
        optional={},
        fused=_FUSED_QKV,
        refused={**_POOLED, "moe_every_n_layers": (0,)},
        layer_norm=True,
        causal=False,
    ),
    Architecture(
        "modern-bert",
        {
            **_NORMS,
            "attn_qkv.weight": ("qkv", "dim"),
            "attn_output.weight": ("dim", "q"),
            "ffn_up.weight": ("gates", "dim"),
            "ffn_down.weight": ("dim", "hidden"),
        },
        tensors={**_EMBEDDING, "token_embd_norm.weight": ("dim",), **_OUTPUT_NORM},
        optional={},
        fused={
            **_FUSED_QKV,
            "ffn_up.weight": {"ffn_gate.weight": "hidden", "ffn_up.weight": "hidden"},
        },
        refused={**_POOLED, "attention.sliding_window_pattern": (3,)},
        layer_norm=True,
        activation=GELU_ERF,
        activations={"gelu": GELU_ERF, "silu": SILU},
        first_lacks=("attn_norm.weight",),
        windows=True,
        sliding_window_pattern=3,
        full_first=True,
        rope_base_local=10000.0,
        causal=False,
    ),
    Architecture(
        "phi3",
        {
            **_NORMS,
            "attn_qkv.weight": ("qkv", "dim"),
            "attn_output.weight": ("dim", "q"),
            "ffn_up.weight": ("gates", "dim"),
            "ffn_down.weight": ("dim", "hidden"),
        },
        optional={**_HEAD, **_LONG_ROPE},
        fused={
            **_FUSED_QKV,
            "ffn_up.weight": {"ffn_gate.weight": "hidden", "ffn_up.weight": "hidden"},
        },
        windows=True,
    ),
    Architecture(
        "gpt2",
        _BIASED,
        tensors={
            **_EMBEDDING,
            "position_embd.weight": ("context", "dim"),
            **_OUTPUT_NORM,
            "output_norm.bias": ("dim",),
        },
        fused=_FUSED_QKV,
        rope=False,
        layer_norm=True,
        activation=GELU_TANH,
        activations={"gelu_new": GELU_TANH, "gelu": GELU_ERF},
    ),
    Architecture(
        "gptneox",
        _BIASED,
        tensors={**_EMBEDDING, **_OUTPUT_NORM, "output_norm.bias": ("dim",)},
        fused=_FUSED_QKV,
        layer_norm=True,
        activation=GELU_ERF,
        parallel=True,
        parallel_key=True,
    ),
    Architecture(
        "olmo2",
        {
            **_ATTENTION,
            **GATED,
            **_POST_NORMS,
            "attn_q_norm.weight": ("q",),
            "attn_k_norm.weight": ("kv",),
        },
    ),
    Architecture(
        "smollm3",
        _BASE,
        rope_interleaved=True,
        rope_whole_head=True,
        no_rope_layer_interval=4,
    ),
    Architecture(
        "lfm2",
        {**_BASE, **_HEAD_NORMS},
        tensors={**_EMBEDDING, "token_embd_norm.weight": ("dim",)},
        headless_tensors={
            **_NORMS,
            **GATED,
            "shortconv.in_proj.weight": ("gated_taps", "dim"),
            "shortconv.conv.weight": ("dim", "taps"),
            "shortconv.out_proj.weight": ("dim", "dim"),
        },
        fused={
            "shortconv.in_proj.weight": {
                "shortconv.b.weight": "dim",
                "shortconv.c.weight": "dim",
                "shortconv.x.weight": "dim",
            }
        },
        taps_key="shortconv.l_cache",
    ),
    Architecture(
        "mamba2",
        {
            "attn_norm.weight": ("dim",),
            **_SCAN,
        },
        fused=_FUSED_SCAN,
        refused={"ssm.group_count": (1,)},
        rope=False,
        taps_key="ssm.conv_kernel",
        scans=True,
    ),
    Architecture(
        "olmoe",
        {
            **_NORMS,
            **_ATTENTION,
            "attn_q_norm.weight": ("q",),
            "attn_k_norm.weight": ("kv",),
            **EXPERTS,
        },
        refused={"attention.causal": (True,), "attention.clamp_kqv": (0.0,)},
        experts=True,
    ),
    Architecture(
        "granite",
        _BASE,
        rope_interleaved=True,
        rope_whole_head=True,
        rope_switch=True,
        scales=_SCALES,
    ),
    Architecture(
        "starcoder2",
        {**_NORMS, **_NORM_BIASES, **_ATTENTION, **_ATTENTION_BIASES, **_UNGATED},
        tensors={**_EMBEDDING, **_OUTPUT_LAYER_NORM},
        layer_norm=True,
        activation=GELU_TANH,
        windows=True,
    ),
    Architecture(
        "phi2",
        {
            "attn_norm.weight": ("dim",),
            "attn_norm.bias": ("dim",),
            **_ATTENTION,
            **_ATTENTION_BIASES,
            **_UNGATED,
        },
        tensors={**_EMBEDDING, **_OUTPUT_LAYER_NORM, **_HEAD, "output.bias": ("vocab",)},
        optional={},
        layer_norm=True,
        activation=GELU_TANH,
        parallel=True,
    ),
    Architecture(
        "stablelm",
        {**_BASE, **_NORM_BIASES},
        tensors={**_EMBEDDING, **_OUTPUT_LAYER_NORM, **_HEAD},
        optional={},
        layer_optional=_ATTENTION_BIASES,
        layer_norm=True,
    ),
    Architecture(
        "exaone4",
        {**_ATTENTION, **GATED, **_POST_NORMS, **_HEAD_NORMS},
        optional={**_HEAD, "rope_freqs.weight": ("pairs",)},
        refused={
            "expert_count": (0,),
            "attention.causal": (True,),
            "attention.sliding_window": (0,),
        },
    ),
    Architecture("ernie4_5", _BASE, rope_interleaved=True, rope_whole_head=True),
    Architecture("hunyuan-dense", {**_BASE, **_HEAD_NORMS}, norm_after_rope=True),
    Architecture(
        "minicpm",
        _BASE,
        optional={**_HEAD, **_LONG_ROPE},
        rope_interleaved=True,
        rope_whole_head=True,
        scales={"embedding_scale": True, "residual_scale": True, "logit_scale": True},
    ),
    Architecture(
        "qwen3moe",
        {**_NORMS, **_ATTENTION, **_HEAD_NORMS, **EXPERTS},
        refused={"attention.causal": (True,), "expert_weights_scale": (0.0, 1.0)},
        experts=True,
        experts_normed=True,
    ),
    Architecture(
        "granitemoe",
        {**_NORMS, **_ATTENTION, **EXPERTS},
        refused={"attention.causal": (True,)},
        rope_interleaved=True,
        rope_whole_head=True,
        rope_switch=True,
        scales=_SCALES,
        experts=True,
        experts_normed=True,
        experts_shared=True,
    ),
    Architecture(
        "granitehybrid",
        _BASE,
        headless_tensors={**_NORMS, **_SCAN, **GATED},
        fused=_FUSED_SCAN,
        refused={"attention.causal": (True,), "ssm.group_count": (1,)},
        rope_interleaved=True,
        rope_whole_head=True,
        rope_switch=True,
        scales=_SCALES,
        taps_key="ssm.conv_kernel",
        scans=True,
        experts_switch=True,
        experts_normed=True,
        experts_shared=True,
    ),
    Architecture(
        "falcon-h1",
        {
            "attn_norm.weight": ("dim",),
            "ffn_norm": ("dim",),  # as llama.cpp calls it here
            **_ATTENTION,
            **GATED,
            **{name: shape for name, shape in _SCAN.items() if name != "ssm_norm.weight"},
        },
        layer_optional={"ssm_norm.weight": ("one", "inner")},
        fused={**_FUSED_SCAN, "ffn_norm": {"ffn_norm.weight": "dim"}},
        refused={
            "expert_count": (0,),
            "attention.causal": (True,),
            "ssm.group_count": (1,),
        },
        taps_key="ssm.conv_kernel",
        scans=True,
    ),
    Architecture(
        "llama4",
        _BASE,
        optional={**_HEAD, "rope_freqs.weight": ("pairs",)},
        rope_interleaved=True,
        rope_whole_head=True,
        no_rope_layer_interval=4,
        norm_after_rope=True,
        plain_head_norms=True,
        chunk=8192,
    ),
    Architecture(
        "qwen35",
        {
            "attn_norm.weight": ("dim",),
            "post_attention_norm.weight": ("dim",),  # of the feed-forward block
            **_ATTENTION,
            "attn_q.weight": ("gated_q", "dim"),
            **_HEAD_NORMS,
            **GATED,
        },
        headless_tensors={
            "attn_norm.weight": ("dim",),
            "post_attention_norm.weight": ("dim",),
            "attn_qkv.weight": ("conv", "dim"),
            "attn_gate.weight": ("inner", "dim"),
            "ssm_conv1d.weight": ("conv", "taps"),
            "ssm_dt.bias": ("scan_heads",),
            "ssm_a": ("scan_heads",),
            "ssm_alpha.weight": ("scan_heads", "dim"),
            "ssm_beta.weight": ("scan_heads", "dim"),
            "ssm_norm.weight": ("value",),
            "ssm_out.weight": ("dim", "inner"),
            **GATED,
        },
        fused={
            "post_attention_norm.weight": {"ffn_norm.weight": "dim"},
            "attn_qkv.weight": {"ssm_qkv.weight": "conv"},
            "attn_gate.weight": {"ssm_z.weight": "inner"},
            "ssm_dt.bias": {"ssm_alpha.bias": "scan_heads"},
        },
        taps_key="ssm.conv_kernel",
        scans=True,
        delta=True,
        attention_interval=4,
        gated_attention=True,
        nextn=True,
    ),
)

ARCHITECTURES: dict[str, Architecture] = {a.name: a for a in _TABLE}
"""The architectures that run, by the value of `general.architecture`."""
