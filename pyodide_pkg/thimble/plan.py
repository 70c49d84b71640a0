"""A model's forward pass as data: a short program for each layer, over named values.

    plan = compile_plan(config)
    for op in plan.layers[0]:
        print(op.kind, op.inputs, "->", op.outputs)

The kernels run it (`kernels/plan.c`), the lens stops in it, and `reference.py` reads it aloud in
NumPy. Names of values are TransformerLens' (`hook_resid_pre`, `attn.hook_q`, ...); those without
`hook` have no name there. What an architecture has and has not decides which operations there are:
this file asks `ModelConfig` and names of tensors, and knows no architecture by name.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from .architectures import SIGMOID, SILU
from .model_config import ModelConfig, layer_parts, once_parts
from .plan_tables import KINDS, NUMBER_OF, ON_DEMAND, VALUES, Kind

__all__ = [
    "KINDS",
    "NUMBER_OF",
    "ON_DEMAND",
    "VALUES",
    "Kind",
    "Layer",
    "Op",
    "Plan",
    "compile_plan",
    "widths",
]

UNIT_EPS = 1e-6
"""What the delta rule adds to the squares of a key before it divides by their root."""


class Op(NamedTuple):
    """One operation. A name that is empty stands for what there is not."""

    kind: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    tensors: tuple[str, ...] = ()
    """Names in the file; in a layer without `blk.N.`."""
    numbers: Mapping[str, float] = {}


Layer = tuple[Op, ...]


class Plan(NamedTuple):
    """A model's program."""

    begin: Layer
    layers: tuple[Layer, ...]
    end: Layer

    @property
    def stream(self) -> str:
        """The value that goes into the first layer."""
        return self.begin[-1].outputs[-1]

    @property
    def result(self) -> str:
        """What comes of a pass: the logits, or an encoder's vector."""
        return self.end[-1].inputs[0]

    @property
    def before_head(self) -> int:
        """How many operations behind the layers are still for all positions, and not only for those
        whose logits are wanted, or for the one vector."""
        return next(i for i, op in enumerate(self.end) if op.kind in ("last", "pool"))

    def sections(self) -> Iterator[tuple[int | None, Layer]]:
        """The operations in their order, with the layer that they are in."""
        yield None, self.begin
        yield from enumerate(self.layers)
        yield None, self.end


@functools.lru_cache(maxsize=8)
def compile_plan(config: ModelConfig) -> Plan:
    """Return the program of a model."""
    features = config.features
    layers: dict[tuple[object, ...], Layer] = {}
    chosen = []
    for layer in range(config.n_layers):
        tensors = layer_parts(config, layer)
        attends = features.attends(layer)
        windowed = attends and features.windowed(layer)
        rotated = attends and features.uses_rope(layer)
        key = (windowed, rotated, tensors)
        if key not in layers:
            layers[key] = _Compiler(config, tensors).layer(windowed, rotated)
        chosen.append(layers[key])
    begin, end = (_Compiler(config, once_parts(config)) for _ in range(2))
    return Plan(begin.begin(), tuple(chosen), end.end())


class _Compiler:
    """Writes the operations of one section, which has these tensors."""

    def __init__(self, config: ModelConfig, tensors: frozenset[str]) -> None:
        self.config = config
        self.tensors = tensors
        self.ops: list[Op] = []

    def emit(
        self, kind: str, inputs: tuple[str, ...], outputs: tuple[str, ...],
        tensors: tuple[str, ...] = (), **numbers: float,
    ) -> str:  # fmt: skip
        self.ops.append(Op(kind, inputs, outputs, tensors, numbers))
        return outputs[-1] if outputs else ""

    def norm(self, x: str, name: str, tensor: str, out: str = "") -> str:
        """The norm called `name` of x, or x where there is none."""
        if f"{tensor}.weight" not in self.tensors:
            return x
        outputs = (f"{name}.hook_scale", f"{name}.hook_normalized", out or f"{name}.out")
        weights = (f"{tensor}.weight", self._bias(tensor))
        center = self.config.features.layer_norm
        return self.emit("norm", (x,), outputs, weights, center=center, eps=self.config.norm_eps)

    def _bias(self, tensor: str) -> str:
        return f"{tensor}.bias" if f"{tensor}.bias" in self.tensors else ""

    def products(self, x: str, *wanted: tuple[str, str]) -> None:
        """Products of x: the matrix and the result's name, for each that there is."""
        made = [(t, out) for t, out in wanted if f"{t}.weight" in self.tensors]
        tensors = tuple(one for t, _ in made for one in (f"{t}.weight", self._bias(t)))
        self.emit("products", (x,), tuple(out for _, out in made), tensors)

    def begin(self) -> Layer:
        """What comes before the first layer."""
        f = self.config.features
        if self.config.rope_dim:
            tables = ("rope", "rope_local") if f.rope_base_local else ("rope",)
            for name in tables:
                pairs, factor = self.config.rope_dim // 2, f.attention_factor
                self.emit("rotations", (), (name,), (name,), pairs=pairs, factor=factor)
        matrix = ("token_embd.weight",)
        x = self.emit("embed", ("ids",), ("hook_embed",), matrix, scale=f.embed_scale)
        normed = "token_embd_norm.weight" in self.tensors and not f.causal
        if "token_types.weight" in self.tensors:
            first = self.told("hook_type_embed", "token_types.weight", fixed=1)
            x = self.emit("add", (x, first), ("embed.typed",))
        if "position_embd.weight" in self.tensors:
            told = self.told("hook_pos_embed", "position_embd.weight", fixed=0)
            x = self.emit("add", (x, told), ("embed.sum" if normed else "hook_resid_pre",))
        if normed:
            self.norm(x, "ln_embed", "token_embd_norm", "hook_resid_pre")
        return tuple(self.ops)

    def told(self, name: str, tensor: str, fixed: int) -> str:
        """What stands for positions, or for the part of a text that they are in."""
        return self.emit("positions", (), (name,), (tensor,), fixed=fixed)

    def layer(self, windowed: bool, rotated: bool) -> Layer:
        """One layer: attention and a feed-forward block, one behind the other or side by side."""
        x = "hook_resid_pre"
        normed = self.norm(x, "ln1", "attn_norm")
        out = self.mixed(normed, windowed, rotated)
        if not {"ffn_down.weight", "ffn_gate_inp.weight"} & self.tensors:
            x = self.emit("add", (x, out), ("hook_resid_post",))
            self.emit("check", (x,), ())
            return tuple(self.ops)
        if "attn_output_norm.weight" in self.tensors:
            return self.normed_behind(x, out)
        if self.config.features.parallel:
            own = "ffn_norm.weight" in self.tensors
            fed = self.feed_forward(self.norm(x, "ln2", "ffn_norm") if own else normed)
            x = self.emit("add", (x, out), ("attn.sum",))
        else:
            x = self.emit("add", (x, out), ("hook_resid_mid",))
            fed = self.feed_forward(self.norm(x, "ln2", "ffn_norm"))
        x = self.emit("add", (x, fed), ("hook_resid_post",))
        self.emit("check", (x,), ())
        return tuple(self.ops)

    def normed_behind(self, x: str, out: str) -> Layer:
        """The rest of a layer whose norms come behind sums, as in BERT."""
        x = self.emit("add", (x, out), ("attn.sum",))
        x = self.norm(x, "ln1_post", "attn_output_norm", "hook_resid_mid")
        x = self.emit("add", (x, self.feed_forward(x)), ("mlp.sum",))
        x = self.norm(x, "ln2_post", "layer_output_norm", "hook_resid_post")
        self.emit("check", (x,), ())
        return tuple(self.ops)

    def mixed(self, x: str, windowed: bool, rotated: bool) -> str:
        """What positions take from others: by attention, a convolution or a scan, or by attention
        and a scan (Falcon-H1, https://arxiv.org/abs/2507.22448)."""
        if "shortconv.conv.weight" in self.tensors:
            return self.short_conv(x)
        if "ssm_beta.weight" in self.tensors:
            return self.delta(x)
        scanned = self.scan(x) if "ssm_out.weight" in self.tensors else ""
        if "attn_output.weight" not in self.tensors:
            return scanned
        out = self.attention(x, windowed, rotated)
        return self.emit("add", (out, scanned), ("hook_mixed_out",)) if scanned else out

    def attention(self, x: str, windowed: bool, rotated: bool) -> str:
        """From what goes into attention to what it adds."""
        c, f = self.config, self.config.features
        q, k, v = "attn.hook_q", "attn.hook_k", "attn.hook_v"
        pair = "attn.q_and_gate" if f.gated_attention else q
        self.products(x, ("attn_q", pair), ("attn_k", k), ("attn_v", v))
        if f.gated_attention:
            halves = (q, "attn.hook_gate")
            self.emit("halves", (pair,), halves, heads=c.n_heads, width=c.head_dim)
        table = "rope_local" if windowed and f.rope_base_local else "rope"
        sides = []
        for side, name, heads in (("q", q, c.n_heads), ("k", k, c.n_kv_heads)):
            if not f.norm_after_rope:
                name = self.head_norm(name, side)
            if rotated and c.rope_dim:
                name = self.emit(
                    "rope", (name, table), (f"attn.hook_rot_{side}",), heads=heads,
                    width=c.head_dim, rotated=c.rope_dim, interleaved=c.rope_interleaved,
                )  # fmt: skip
            if f.norm_after_rope and (rotated or not f.plain_head_norms):
                name = self.head_norm(name, side)
            sides.append(name)
        if f.temper_scale and not rotated:
            sides[0] = self.emit(
                "temper", (q,), ("attn.hook_tempered_q",), length=f.temper_length,
                scale=f.temper_scale,
            )  # fmt: skip
        z = self.emit(
            "attend", (*sides, v), ("attn.hook_attn_scores", "attn.hook_pattern", "attn.hook_z"),
            heads=c.n_heads, kv_heads=c.n_kv_heads, width=c.head_dim, causal=f.causal,
            window=f.window if windowed else 0, cap=f.attn_logit_softcapping,
            scale=f.score_scale or c.head_dim**-0.5,
        )  # fmt: skip
        if f.gated_attention:
            gate = ("attn.hook_gate", z)
            z = self.emit("activate", gate, ("attn.hook_gated",), function=SIGMOID)
        inner = "post_attention_norm.weight" in self.tensors or f.residual_scale
        out = self.emit(
            "heads_out", (z, "attn.result_before"),
            ("attn.hook_result", "attn.out" if inner else "hook_attn_out"),
            ("attn_output.weight", self._bias("attn_output")), heads=c.n_heads,
        )  # fmt: skip
        out = self.norm(out, "ln1_post", "post_attention_norm", "hook_attn_out")
        return self.times(out, f.residual_scale, "hook_attn_out")

    def head_norm(self, x: str, side: str) -> str:
        """The norm of queries ("q") or keys ("k"), or x where there is none."""
        tensor, plain = f"attn_{side}_norm.weight", self.config.features.plain_head_norms
        if tensor not in self.tensors and not plain:
            return x
        weights, width = ("" if plain else tensor,), self.config.head_dim if plain else 0
        eps = self.config.norm_eps
        return self.emit(
            "head_norm", (x,), (f"attn.{side}_norm",), weights, width=width, eps=eps
        )  # fmt: skip

    def times(self, x: str, factor: float, out: str) -> str:
        """x times a number, or x where that is 0."""
        return self.emit("scale", (x,), (out,), factor=factor) if factor else x

    def short_conv(self, x: str) -> str:
        """A gated short convolution (Liquid AI 2025, https://arxiv.org/abs/2511.23404)."""
        b, c, own = "conv.hook_b", "conv.hook_c", "conv.hook_x"
        self.products(x, ("shortconv.b", b), ("shortconv.c", c), ("shortconv.x", own))
        x = self.emit("multiply", (b, own), ("conv.hook_in",))
        tensor, taps = ("shortconv.conv.weight",), self.config.features.taps
        x = self.emit("short_conv", (x,), ("conv.hook_conv",), (*tensor, ""), taps=taps, fixed=0)
        x = self.emit("multiply", (c, x), ("conv.hook_post",))
        self.products(x, ("shortconv.out_proj", "hook_conv_out"))
        return "hook_conv_out"

    def scan(self, x: str) -> str:
        """A selective state space (Mamba-2)."""
        f, z, xbc, dt = self.config.features, "ssm.hook_z", "ssm.hook_xbc", "ssm.hook_dt"
        self.products(x, ("ssm_z", z), ("ssm_xbc", xbc), ("ssm_dt", dt))
        tensors = ("ssm_conv1d.weight", "ssm_conv1d.bias")
        x = self.emit("short_conv", (xbc,), ("ssm.hook_conv",), tensors, taps=f.taps, fixed=1)
        x = self.emit("activate", (x,), ("ssm.hook_conv_post",), function=SILU)
        x = self.emit(
            "scan", (x, dt), ("ssm.hook_scan",), ("ssm_a", "ssm_d"), heads=f.scan_heads,
            width=f.scan_width, size=f.scan_state,
        )  # fmt: skip
        x = self.emit("activate", (z, x), ("ssm.hook_gated",), function=SILU)
        if "ssm_norm.weight" in self.tensors:
            norm = ("ssm_norm.weight",)
            eps = self.config.norm_eps
            x = self.emit("head_norm", (x,), ("ssm.hook_normed",), norm, width=0, eps=eps)
        out = "ssm.out" if f.residual_scale else "hook_ssm_out"
        self.products(x, ("ssm_out", out))
        return self.times(out, f.residual_scale, "hook_ssm_out")

    def delta(self, x: str) -> str:
        """Gated DeltaNet (Yang et al. 2024, https://arxiv.org/abs/2412.06464), with one gate of
        what is forgotten for each head."""
        f, z, qkv = self.config.features, "ssm.hook_z", "ssm.hook_qkv"
        alpha, beta = "ssm.hook_alpha", "ssm.hook_beta"
        self.products(x, ("ssm_qkv", qkv), ("ssm_z", z))
        self.products(x, ("ssm_alpha", alpha), ("ssm_beta", beta))
        tensors = ("ssm_conv1d.weight", "")
        x = self.emit("short_conv", (qkv,), ("ssm.hook_conv",), tensors, taps=f.taps, fixed=1)
        x = self.emit("activate", (x,), ("ssm.hook_conv_post",), function=SILU)
        x = self.emit(
            "delta", (x, alpha, beta), ("ssm.hook_scan",), ("ssm_a",), heads=f.scan_heads,
            width=f.scan_width, size=f.scan_state, key_heads=f.scan_groups, eps=UNIT_EPS,
        )  # fmt: skip
        norm, eps = ("ssm_norm.weight",), self.config.norm_eps
        x = self.emit("head_norm", (x,), ("ssm.hook_normed",), norm, width=0, eps=eps)
        x = self.emit("activate", (z, x), ("ssm.hook_gated",), function=SILU)
        self.products(x, ("ssm_out", "hook_ssm_out"))
        return "hook_ssm_out"

    def feed_forward(self, x: str) -> str:
        """From what goes into a feed-forward block to what it adds."""
        if "ffn_gate_inp.weight" in self.tensors:
            return self.experts(x)
        gated = "ffn_gate.weight" in self.tensors
        up = "mlp.hook_pre_linear" if gated else "mlp.hook_pre"
        self.products(x, ("ffn_gate", "mlp.hook_pre"), ("ffn_up", up))
        inputs = ("mlp.hook_pre", "mlp.hook_pre_linear") if gated else ("mlp.hook_pre",)
        function = self.config.features.activation
        hidden = self.emit("activate", inputs, ("mlp.hook_post",), function=function)
        scale = self.config.features.residual_scale
        inner = "post_ffw_norm.weight" in self.tensors or scale
        out = "mlp.out" if inner else "hook_mlp_out"
        self.products(hidden, ("ffn_down", out))
        out = self.norm(out, "ln2_post", "post_ffw_norm", "hook_mlp_out")
        return self.times(out, scale, "hook_mlp_out")

    def experts(self, x: str) -> str:
        """The same by several networks, of which each token uses some (Shazeer et al. 2017,
        https://arxiv.org/abs/1701.06538)."""
        f, own = self.config.features, "mlp.experts.hook_"
        count, used = f.experts, f.experts_used
        shares, which = "mlp.hook_expert_weights", "mlp.hook_expert_indices"
        places = ("mlp.gathered", "mlp.multiplied")
        whole = "mlp.out" if f.residual_scale else "hook_mlp_out"
        out = "mlp.experts.hook_out" if f.shared else whole
        self.products(x, ("ffn_gate_inp", "mlp.hook_router"))
        self.emit(
            "route", ("mlp.hook_router",), (shares, which), experts=count, chosen=used,
            normed=f.experts_normed,
        )  # fmt: skip
        self.emit(
            "experts_in", (x, which), (f"{own}pre", f"{own}pre_linear", *places),
            ("ffn_gate_exps.weight", "ffn_up_exps.weight"), experts=count, chosen=used,
        )  # fmt: skip
        gates = (f"{own}pre", f"{own}pre_linear")
        hidden = self.emit("activate", gates, (f"{own}post",), function=f.activation)
        self.emit(
            "experts_out", (hidden, shares, which), (out, *places),
            ("ffn_down_exps.weight",), experts=count, chosen=used,
        )  # fmt: skip
        if f.shared:
            out = self.emit("add", (out, self.shared_expert(x)), (whole,))
        return self.times(out, f.residual_scale, "hook_mlp_out")

    def shared_expert(self, x: str) -> str:
        """What the expert that all tokens use makes of x."""
        pre, linear = "mlp.shared.hook_pre", "mlp.shared.hook_pre_linear"
        self.products(x, ("ffn_gate_shexp", pre), ("ffn_up_shexp", linear))
        function = self.config.features.activation
        x = self.emit("activate", (pre, linear), ("mlp.shared.hook_post",), function=function)
        self.products(x, ("ffn_down_shexp", "mlp.shared.hook_out"))
        return "mlp.shared.hook_out"

    def end(self) -> Layer:
        """From the stream to the logits, or to a vector."""
        c = self.config
        if not c.features.causal:
            return self.vector()
        x = self.emit("last", ("hook_resid_post",), ("final",))
        named = ("output_norm", "token_embd_norm")  # the second is what lfm2 calls it
        tensor = next(name for name in named if f"{name}.weight" in self.tensors)
        x = self.norm(x, "ln_final", tensor)
        output = "token_embd.weight" if c.tied_output else "output.weight"
        self.emit("products", (x,), ("logits",), (output, self._bias("output")))
        if c.features.logit_scale:
            self.times("logits", 1.0 / c.features.logit_scale, "logits")
        if c.features.final_logit_softcapping:
            cap = c.features.final_logit_softcapping
            self.emit("soft_cap", ("logits",), ("logits",), cap=cap)
        self.emit("check", ("logits",), ())
        return tuple(self.ops)

    def vector(self) -> Layer:
        """From an encoder's stream to the text's vector."""
        x = self.norm("hook_resid_post", "ln_final", "output_norm")
        first = self.config.features.pool_first
        x = self.emit("pool", (x,), ("hook_pooled",), first=first)
        if self.config.features.projected:
            self.emit("products", (x,), ("projected",), ("dense_2.weight", ""))
            self.emit("products", ("projected",), ("hook_vector",), ("dense_3.weight", ""))
            x = "hook_vector"
        self.emit("check", (x,), ())
        return tuple(self.ops)


def widths(config: ModelConfig) -> dict[str, int]:
    """What each dimension of a value is, but for `pos` and `key`."""
    inner = config.features.scan_heads * config.features.scan_width
    return {
        "one": 1, "rotated": config.rope_dim, "head": config.n_heads, "kv_head": config.n_kv_heads,
        "d_head": config.head_dim, "d_model": config.dim, "d_mlp": config.hidden_dim,
        "d_vocab": config.n_vocab, "d_projected": config.features.projected,
        "two_d_head": 2 * config.head_dim,
        "d_inner": inner,
        "d_conv": inner + 2 * config.features.scan_groups * config.features.scan_state,
        "scan_head": config.features.scan_heads, "expert": config.features.experts,
        "d_shared": config.features.shared,
        "chosen": config.features.experts_used, "widest": max(config.dim, config.hidden_dim),
    }  # fmt: skip
