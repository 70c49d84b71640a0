"""A plan in PyTorch, so that its autograd says what gradients are: a function for each kind of
operation, in float64."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from thimble.architectures import GELU_ERF, GELU_TANH, SIGMOID
from thimble.plan import Op, compile_plan
from thimble.reference import ReferenceModel

F: Any = torch.nn.functional


class TorchPlan:
    """A model's plan; weights and rotations are those of the reference."""

    def __init__(self, reference: ReferenceModel, ids: list[int]) -> None:
        self.reference = reference
        self.ids = ids

    def run(self) -> dict[str, Tensor]:
        """Every value by its name, each with a gradient once something flowed back."""
        plan = compile_plan(self.reference.config)
        rotations = self.reference.run(self.ids)
        values: dict[str, Any] = {"": None}
        kept: dict[str, Tensor] = {}
        for layer, section in plan.sections():
            prefix = "" if layer is None else f"blocks.{layer}."
            self.prefix = "" if layer is None else f"blk.{layer}."
            if layer is not None:
                values["hook_resid_pre"] = values[plan.stream if layer == 0 else "hook_resid_post"]
            for op in section:
                if op.kind == "rotations":
                    values[op.outputs[0]] = torch.from_numpy(rotations[op.outputs[0]])
                    continue
                found = getattr(self, op.kind)(op, *(values.get(name) for name in op.inputs))
                for name, value in zip(reversed(op.outputs), reversed(found), strict=False):
                    values[name] = kept[prefix + name] = value
                    if value is not None and value.requires_grad:
                        value.retain_grad()
        return kept

    def weight(self, op: Op, which: int) -> Any:
        name = op.tensors[which]
        return torch.from_numpy(self.reference.weights[self.prefix + name]) if name else None

    def embed(self, op: Op, _: None) -> list[Tensor]:
        matrix = self.weight(op, 0)
        return [(matrix[self.ids] * (op.numbers["scale"] or 1.0)).requires_grad_()]

    def positions(self, op: Op) -> list[Tensor]:
        matrix = self.weight(op, 0)
        rows = [0] * len(self.ids) if op.numbers["fixed"] else range(len(self.ids))
        return [matrix[list(rows)].requires_grad_()]

    def norm(self, op: Op, x: Tensor) -> list[Tensor]:
        weight, eps = self.weight(op, 0), op.numbers["eps"]
        if op.numbers["center"]:
            return [F.layer_norm(x, x.shape[-1:], weight, self.weight(op, 1), eps)]
        return [F.rms_norm(x, x.shape[-1:], weight, eps)]

    def products(self, op: Op, x: Tensor) -> list[Tensor]:
        return [
            F.linear(x, self.weight(op, 2 * i), self.weight(op, 2 * i + 1))
            for i in range(len(op.outputs))
        ]

    def halves(self, op: Op, x: Tensor) -> list[Tensor]:
        first, second = x.view(len(x), int(op.numbers["heads"]), -1).chunk(2, -1)
        return [first.flatten(1), second.flatten(1)]

    def head_norm(self, op: Op, x: Tensor) -> list[Tensor]:
        weight = self.weight(op, 0)
        parts = x.view(len(x), -1, int(op.numbers["width"]) if weight is None else len(weight))
        return [F.rms_norm(parts, parts.shape[-1:], weight, op.numbers["eps"]).view(x.shape)]

    def temper(self, op: Op, x: Tensor) -> list[Tensor]:
        passed = torch.arange(1, len(x) + 1) // int(op.numbers["length"])
        return [x * (1 + op.numbers["scale"] * torch.log1p(passed.double()))[:, None]]

    def rope(self, op: Op, x: Tensor, table: Tensor) -> list[Tensor]:
        heads, rotated = int(op.numbers["heads"]), int(op.numbers["rotated"])
        parts = x.view(len(x), heads, -1)
        turned, rest = parts[..., :rotated], parts[..., rotated:]
        shape = (-1, 2) if op.numbers["interleaved"] else (2, -1)
        axis = -1 if op.numbers["interleaved"] else -2
        a, b = turned.reshape(*turned.shape[:-1], *shape).unbind(axis)
        cos, sin = table[:, None, 0::2], table[:, None, 1::2]
        both = torch.stack([a * cos - b * sin, a * sin + b * cos], axis)
        return [torch.cat([both.flatten(-2), rest], -1).view(x.shape)]

    def attend(self, op: Op, q: Tensor, k: Tensor, v: Tensor) -> list[Tensor]:
        n, heads, group = len(q), int(op.numbers["heads"]), int(op.numbers["kv_heads"])
        q = q.view(n, heads, -1).transpose(0, 1)
        k, v = (
            one.view(n, group, -1).transpose(0, 1).repeat_interleave(heads // group, 0)
            for one in (k, v)
        )
        scores = q @ k.transpose(1, 2) * op.numbers["scale"]
        if op.numbers["cap"]:
            scores = op.numbers["cap"] * torch.tanh(scores / op.numbers["cap"])
        seen = torch.ones(n, n, dtype=torch.bool)
        if op.numbers["causal"]:
            seen = seen.tril()
        if op.numbers["window"]:
            far = int(op.numbers["window"]) - 1
            seen = seen.triu(-far).tril(far)
        pattern = scores.masked_fill(~seen, -torch.inf).softmax(-1)
        return [(pattern @ v).transpose(0, 1).reshape(n, -1)]

    def heads_out(self, op: Op, z: Tensor, _: None) -> list[Tensor]:
        return [F.linear(z, self.weight(op, 0), self.weight(op, 1))]

    def activate(self, op: Op, gate: Tensor, up: Tensor | None = None) -> list[Tensor]:
        function = op.numbers["function"]
        if function == GELU_ERF:
            y = F.gelu(gate)
        elif function == GELU_TANH:
            y = F.gelu(gate, approximate="tanh")
        elif function == SIGMOID:
            y = gate.sigmoid()
        else:
            y = F.silu(gate)
        return [y if up is None else y * up]

    def add(self, op: Op, a: Tensor, b: Tensor) -> list[Tensor]:
        return [a + b]

    def last(self, op: Op, x: Tensor) -> list[Tensor]:
        return [x]

    def multiply(self, op: Op, a: Tensor, b: Tensor) -> list[Tensor]:
        return [a * b]

    def short_conv(self, op: Op, x: Tensor) -> list[Tensor]:
        weight = self.weight(op, 0)
        columns, taps = weight.shape
        padded, bias = F.pad(x.T, (taps - 1, 0)), self.weight(op, 1)
        return [F.conv1d(padded[None], weight[:, None], bias, groups=columns)[0].T]

    def scan(self, op: Op, xbc: Tensor, dt: Tensor) -> list[Tensor]:
        heads, width, size = (int(op.numbers[name]) for name in ("heads", "width", "size"))
        inner = heads * width
        x, b, c = xbc[:, :inner], xbc[:, inner : inner + size], xbc[:, inner + size :]
        x, dt = x.view(len(x), heads, width), F.softplus(dt)
        a, d = self.weight(op, 0).flatten(), self.weight(op, 1).flatten()
        state, rows = torch.zeros(heads, width, size, dtype=x.dtype), []
        for t in range(len(x)):
            taken = torch.einsum("h,hw,s->hws", dt[t], x[t], b[t])
            state = state * torch.exp(a * dt[t])[:, None, None] + taken
            rows.append(state @ c[t] + d[:, None] * x[t])
        return [torch.stack(rows).flatten(1)]

    def delta(self, op: Op, qkv: Tensor, alpha: Tensor, beta: Tensor) -> list[Tensor]:
        heads, size, groups = (int(op.numbers[name]) for name in ("heads", "size", "key_heads"))
        n, a = len(qkv), self.weight(op, 0).flatten()
        q, k, v = torch.tensor_split(qkv, [groups * size, 2 * groups * size], dim=1)
        q, k = (
            (one * torch.rsqrt((one * one).sum(-1, keepdim=True) + op.numbers["eps"])).repeat(
                1, heads // groups, 1
            )
            for one in (q.view(n, groups, size), k.view(n, groups, size))
        )
        q, v, decay = q * size**-0.5, v.view(n, heads, -1), torch.exp(a * F.softplus(alpha))
        state, rows = torch.zeros(heads, size, v.shape[-1], dtype=v.dtype), []
        for t in range(n):
            state = state * decay[t, :, None, None]
            missing = v[t] - torch.einsum("hsp,hs->hp", state, k[t])
            state = state + torch.einsum("hs,hp,h->hsp", k[t], missing, beta[t].sigmoid())
            rows.append(torch.einsum("hsp,hs->hp", state, q[t]))
        return [torch.stack(rows).flatten(1)]

    def pool(self, op: Op, x: Tensor) -> list[Tensor]:
        return [x[:1] if op.numbers["first"] else x.mean(0, keepdim=True)]

    def route(self, op: Op, logits: Tensor) -> list[Tensor]:
        shares, which = logits.softmax(-1).topk(int(op.numbers["chosen"]), -1)
        return [shares / shares.sum(-1, keepdim=True) if op.numbers["normed"] else shares, which]

    def experts_in(self, op: Op, x: Tensor, which: Tensor) -> list[Any]:
        matrices = [self.weight(op, i) for i in range(2)]
        return [*(torch.einsum("nc,nkrc->nkr", x, one[which]) for one in matrices), None, None]

    def experts_out(self, op: Op, x: Tensor, shares: Tensor, which: Tensor) -> list[Any]:
        each = torch.einsum("nkc,nkrc->nkr", x, self.weight(op, 0)[which])
        return [(each * shares[..., None]).sum(1), None, None]

    def scale(self, op: Op, x: Tensor) -> list[Tensor]:
        return [x * op.numbers["factor"]]

    def soft_cap(self, op: Op, x: Tensor) -> list[Tensor]:
        return [op.numbers["cap"] * torch.tanh(x / op.numbers["cap"])]

    def check(self, op: Op, x: Tensor) -> list[Tensor]:
        return []
