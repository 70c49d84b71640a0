"""What operations and values there are, which the kernels, the reference and the lens must know."""

from __future__ import annotations

from typing import NamedTuple


class Kind(NamedTuple):
    """What operations of one kind have; their order is that of the enum in `kernels/plan.h`."""

    ints: tuple[str, ...] = ()
    floats: tuple[str, ...] = ()
    staged: bool = False
    """Whether outputs arise one after the other, so that one can stop between them."""
    in_place: bool = True
    """Whether the output may lie where the first input did."""


KINDS: dict[str, Kind] = {
    # ids -> rows of a matrix, times a scale (0: none)
    "embed": Kind(floats=("scale",), in_place=False),
    # -> rows of a matrix, by position, or (`fixed`) its first one for all
    "positions": Kind(ints=("fixed",), in_place=False),
    # -> cos and sin of each position's rotations, times a factor
    "rotations": Kind(ints=("pairs",), floats=("factor",), in_place=False),
    # x -> its scale, x / scale (`center`: less its mean), that times weights plus bias
    "norm": Kind(ints=("center",), floats=("eps",), staged=True),
    # x -> up to three products with matrices, each with its bias: tensors are weight, bias, ...
    "products": Kind(in_place=False),
    # x -> the first half of each head's values, the second
    "halves": Kind(ints=("heads", "width"), in_place=False),
    # x -> RMSNorm of parts as wide as the weights, or without any of `width`
    "head_norm": Kind(ints=("width",), floats=("eps",)),
    # x -> what grows by `scale` times the logarithm of how many `length`s stand before it
    "temper": Kind(ints=("length",), floats=("scale",)),
    # x, rotations -> the first `rotated` values of each head, rotated
    "rope": Kind(ints=("heads", "width", "rotated", "interleaved")),
    # q, k, v -> scores, pattern, values mixed by it; keys and values are kept
    "attend": Kind(
        ints=("heads", "width", "window", "causal", "state", "kv_heads"), floats=("scale", "cap"),
        staged=True, in_place=False,
    ),
    # z (and results before a change) -> what each head adds, their sum: a product by heads
    "heads_out": Kind(ints=("heads",), staged=True, in_place=False),
    # x -> of each column the sum of its last values, times weights, of which there are `taps`, and
    # a bias; the values are kept, as rows or, with `fixed`, as a state of fixed size
    "short_conv": Kind(ints=("taps", "fixed", "state"), in_place=False),
    # x b c (side by side), dt -> what is read out of a state of fixed size, which decays by dt and
    # takes x b up
    "scan": Kind(ints=("heads", "width", "size", "state"), in_place=False),
    # q k v (side by side), alpha, beta -> what q reads out of a state of fixed size, which decays
    # by alpha and in which k's value moves towards v by beta
    "delta": Kind(
        ints=("heads", "width", "size", "key_heads", "state"), floats=("eps",), in_place=False
    ),
    # router's logits -> shares of the `chosen` best of all experts (`normed`: over their sum), and
    # which these are, best first
    "route": Kind(ints=("experts", "chosen", "normed"), in_place=False),
    # x, experts -> products with each one's matrices, gate and up; two places to gather rows in
    "experts_in": Kind(ints=("experts", "chosen"), in_place=False),
    # what they made of it, shares, experts -> the sum of products with each one's matrix, times its
    # share; the same two places
    "experts_out": Kind(ints=("experts", "chosen"), in_place=False),
    # gate (and up) -> function(gate) (times up)
    "activate": Kind(ints=("function",)),
    "add": Kind(),
    "multiply": Kind(),
    # x -> rows of the positions whose logits are wanted
    "last": Kind(in_place=False),
    # x -> the mean of all positions' rows, or (`first`) the first one's
    "pool": Kind(ints=("first",), in_place=False),
    "soft_cap": Kind(floats=("cap",)),
    "scale": Kind(floats=("factor",)),
    # x -> nothing; whether all of it is finite
    "check": Kind(),
}  # fmt: skip

_STREAM, _QUERY = ("pos", "d_model"), ("pos", "head", "d_head")
_KEY, _HIDDEN = ("pos", "kv_head", "d_head"), ("pos", "d_mlp")
_ONE, _SCORES = ("pos", "one"), ("head", "pos", "key")
_INNER, _CONV = ("pos", "d_inner"), ("pos", "d_conv")
_CHOSEN, _EXPERTS = ("pos", "chosen"), ("pos", "chosen", "d_mlp")


def _norm_values(name: str) -> dict[str, tuple[str, ...]]:
    return {f"{name}.hook_scale": _ONE, f"{name}.hook_normalized": _STREAM, f"{name}.out": _STREAM}


VALUES: dict[str, tuple[str, ...]] = {
    "ids": ("pos",),
    "rope": ("pos", "rotated"),
    "rope_local": ("pos", "rotated"),
    "hook_embed": _STREAM,
    "hook_type_embed": _STREAM,
    "embed.typed": _STREAM,
    "hook_pos_embed": _STREAM,
    "embed.sum": _STREAM,
    **_norm_values("ln_embed"),
    "hook_resid_pre": _STREAM,
    **_norm_values("ln1"),
    "attn.q_and_gate": ("pos", "head", "two_d_head"),
    "attn.hook_q": _QUERY,
    "attn.hook_k": _KEY,
    "attn.hook_v": _KEY,
    "attn.q_norm": _QUERY,
    "attn.k_norm": _KEY,
    "attn.hook_tempered_q": _QUERY,
    "attn.hook_rot_q": _QUERY,
    "attn.hook_rot_k": _KEY,
    "attn.hook_attn_scores": _SCORES,
    "attn.hook_pattern": _SCORES,
    "attn.hook_z": _QUERY,
    "attn.hook_gate": _QUERY,
    "attn.hook_gated": _QUERY,
    "attn.hook_result": ("pos", "head", "d_model"),
    "attn.result_before": ("pos", "head", "d_model"),
    "attn.out": _STREAM,
    **_norm_values("ln1_post"),
    "hook_attn_out": _STREAM,
    "attn.sum": _STREAM,
    "conv.hook_b": _STREAM,
    "conv.hook_c": _STREAM,
    "conv.hook_x": _STREAM,
    "conv.hook_in": _STREAM,
    "conv.hook_conv": _STREAM,
    "conv.hook_post": _STREAM,
    "hook_conv_out": _STREAM,
    "hook_resid_mid": _STREAM,
    **_norm_values("ln2"),
    "ssm.hook_z": _INNER,
    "ssm.hook_xbc": _CONV,
    "ssm.hook_dt": ("pos", "scan_head"),
    "ssm.hook_qkv": _CONV,
    "ssm.hook_alpha": ("pos", "scan_head"),
    "ssm.hook_beta": ("pos", "scan_head"),
    "ssm.hook_conv": _CONV,
    "ssm.hook_conv_post": _CONV,
    "ssm.hook_scan": _INNER,
    "ssm.hook_gated": _INNER,
    "ssm.hook_normed": _INNER,
    "ssm.out": _STREAM,
    "hook_ssm_out": _STREAM,
    "hook_mixed_out": _STREAM,
    "mlp.hook_pre": _HIDDEN,
    "mlp.hook_pre_linear": _HIDDEN,
    "mlp.hook_post": _HIDDEN,
    "mlp.hook_router": ("pos", "expert"),
    "mlp.hook_expert_weights": _CHOSEN,
    "mlp.hook_expert_indices": _CHOSEN,
    "mlp.experts.hook_pre": _EXPERTS,
    "mlp.experts.hook_pre_linear": _EXPERTS,
    "mlp.experts.hook_post": _EXPERTS,
    "mlp.experts.hook_out": _STREAM,
    "mlp.shared.hook_pre": ("pos", "d_shared"),
    "mlp.shared.hook_pre_linear": ("pos", "d_shared"),
    "mlp.shared.hook_post": ("pos", "d_shared"),
    "mlp.shared.hook_out": _STREAM,
    "mlp.gathered": ("pos", "widest"),
    "mlp.multiplied": ("pos", "widest"),
    "mlp.out": _STREAM,
    "mlp.sum": _STREAM,
    **_norm_values("ln2_post"),
    "hook_mlp_out": _STREAM,
    "hook_resid_post": _STREAM,
    "final": _STREAM,
    **_norm_values("ln_final"),
    "hook_pooled": _STREAM,
    "projected": ("pos", "d_projected"),
    "hook_vector": _STREAM,
    "logits": ("pos", "d_vocab"),
}
"""Every value that a program may name, and what its dimensions stand for."""
NUMBER_OF = {name: number for number, name in enumerate(VALUES)}
"""Values as the kernels call them."""

ON_DEMAND = frozenset(
    name
    for name in VALUES
    if name.endswith((".hook_scale", ".hook_normalized"))
    or name in ("attn.hook_attn_scores", "attn.hook_pattern", "attn.hook_result",
                "attn.result_before")
)  # fmt: skip
"""What arises inside of an operation: it has no memory unless somebody wants to see it."""
