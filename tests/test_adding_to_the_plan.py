"""What CONTRIBUTING.md says of adding an architecture, an operation and a state, tried: an entry in
the table runs everywhere; the steps for an operation make one that the kernels, the reference and
the lens know, with a state that is counted, copied and cut."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.conftest import ROOT
from tests.fuzz.fuzz_model import model as made
from tests.test_session import load
from tests.tiny_models import SPECS, make
from thimble.architectures import ARCHITECTURES, GELU_TANH, Architecture
from thimble.lens import site_names
from thimble.reference import ReferenceModel
from thimble.tensor_types import F32

NEW = Architecture(
    "brook",
    {
        "attn_norm.weight": ("dim",),
        "attn_norm.bias": ("dim",),
        "attn_qkv.weight": ("qkv", "dim"),
        "attn_q_norm.weight": ("head",),
        "attn_k_norm.weight": ("head",),
        "attn_output.weight": ("dim", "q"),
        "attn_output.bias": ("dim",),
        "ffn_norm.weight": ("dim",),
        "ffn_norm.bias": ("dim",),
        "ffn_gate.weight": ("hidden", "dim"),
        "ffn_up.weight": ("hidden", "dim"),
        "ffn_down.weight": ("dim", "hidden"),
    },
    tensors={
        "token_embd.weight": ("vocab", "dim"),
        "output_norm.weight": ("dim",),
        "output_norm.bias": ("dim",),
    },
    fused={"attn_qkv.weight": {"attn_q.weight": "q", "attn_k.weight": "kv", "attn_v.weight": "kv"}},
    layer_norm=True,
    activation=GELU_TANH,
    parallel=True,
    final_logit_softcapping=20.0,
)
"""A family that nobody has made."""


def test_an_architecture_is_one_entry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(ARCHITECTURES, NEW.name, NEW)
    data = made(NEW, F32, 2)
    model = load(data)
    ids = [i * 5 % model.config.n_vocab for i in range(min(30, model.config.n_ctx))]
    expected = ReferenceModel(data).run(ids)
    session = model.session()
    session.append(ids)
    scale = np.abs(expected["logits"]).max()
    assert np.abs(np.array(session.logits()) - expected["logits"][-1]).max() < 1e-5 * scale
    _, cache = model.run_with_cache(ids)
    assert list(cache) == site_names(model.config)
    for name in ("blocks.0.attn.hook_z", "blocks.0.mlp.hook_post"):
        found = cache[name]
        np.testing.assert_allclose(found, expected[name].reshape(found.shape), atol=1e-4)


EMITTED = """
        x = self.emit("add", (x, fed), ("mlp.sum",))
        x = self.emit("tilt", (x,), ("hook_tilted",), by=0.75)
        y = self.emit("average", (x,), ("hook_average",))
        x = self.emit("add", (x, y), ("hook_resid_post",))
"""
KINDS = """    "add": Kind(),
    "tilt": Kind(floats=("by",)),
    "average": Kind(ints=("state",), in_place=False),
"""
STATE = """            elif op.kind == "average":
                found.append(StateForm(FIXED, layer, 1, config.dim, 0))
            elif op.kind in ("scan", "delta"):
"""
METHODS = """
    def tilt(self, op: Op, x: Array) -> tuple[Array, ...]:
        return (x * op.numbers["by"],)

    def average(self, op: Op, x: Array) -> tuple[Array, ...]:
        return (x.cumsum(axis=0) / np.arange(1, len(x) + 1)[:, None],)

    def add(self,"""
DECLARED = """int32_t tk_op_tilt(const tk_run *r, const tk_op *op);
int32_t tk_op_average(const tk_run *r, const tk_op *op);
int32_t tk_op_add("""
CASES = """    case TK_OP_TILT: return tk_op_tilt(r, op);
    case TK_OP_AVERAGE: return tk_op_average(r, op);
    case TK_OP_ADD: return"""
STEPS: dict[str, dict[str, str]] = {
    "thimble/plan_tables.py": {
        '    "add": Kind(),\n': KINDS,
        '    "hook_resid_post": _STREAM,\n': "    **dict.fromkeys(('hook_tilted',"
        " 'hook_average', 'hook_resid_post'), _STREAM),\n",
    },
    "thimble/plan.py": {
        '        x = self.emit("add", (x, fed), ("hook_resid_post",))\n': EMITTED,
    },
    "thimble/program.py": {'            elif op.kind in ("scan", "delta"):\n': STATE},
    "thimble/reference.py": {"\n    def add(self,": METHODS},
    "kernels/plan.h": {"int32_t tk_op_add(": DECLARED},
    "kernels/plan.c": {"    case TK_OP_ADD: return": CASES},
}
"""What becomes of which lines: the steps of the guide."""

SOURCE = """
#include "plan.h"
int32_t tk_op_tilt(const tk_run *r, const tk_op *op) {
    size_t n = (size_t)r->rows * tk_width(r, op->out[0]);
    for (size_t i = 0; i < n; i++)
        tk_rows(r, op->out[0])[i] = tk_rows(r, op->in[0])[i] * op->f[0];
    return 0;
}
int32_t tk_op_average(const tk_run *r, const tk_op *op) {
    tk_state *kept = r->s->states + op->n[0];
    size_t width = tk_width(r, op->out[0]);
    int32_t past = r->s->n_past, end = past + r->tokens;
    if (!tk_fixed_begin(kept, past)) return TK_GONE;
    for (int32_t pos = past, stop; pos < end; pos = stop) {
        stop = tk_fixed_stop(kept, pos, end);
        const float *before = tk_fixed_at(kept, pos);
        float *sum = tk_fixed_next(kept, pos, past, stop);
        for (size_t i = 0; i < width; i++) sum[i] = before ? before[i] : 0.0f;
        for (int32_t t = pos - past; t < stop - past; t++)
            for (size_t i = 0; i < width; i++) {
                sum[i] += tk_rows(r, op->in[0])[(size_t)t * width + i];
                tk_rows(r, op->out[0])[(size_t)t * width + i] = sum[i] / (float)(past + t + 1);
            }
    }
    return 0;
}
"""

TRIED = """
import json, sys
import numpy as np
import thimble
from thimble.reference import ReferenceModel
from thimble.state import state_bytes
path = sys.argv[1]
model, exact = thimble.load(path), ReferenceModel(path)
ids = [i * 7 % model.config.n_vocab for i in range(100)]
expected = exact.run(ids)
logits, cache = model.run_with_cache(ids)
away = max(
    float(np.abs(cache[name] - expected[name].reshape(cache[name].shape)).max())
    for name in ("blocks.0.hook_tilted", "blocks.1.hook_average")
)
session = model.session()
session.append(ids)
found = [session.logits().tobytes() == logits[-1].tobytes()]
session.rollback(70)  # from the copy at 64 positions on
found.append(session._computed == 64)
session.append(ids[70:])
found.append(session.logits().tobytes() == logits[-1].tobytes())
fork = session.fork(99)
fork.append(ids[99:])
found.append(fork.logits().tobytes() == logits[-1].tobytes())
sizes = [state_bytes(model.kernel, model.config, n) for n in (32, 64)]
c = model.config
fixed = 6 * 4 * c.dim * c.n_layers
found.append(2 * (sizes[0] - fixed) == sizes[1] - fixed)
wrong = float(np.abs(logits - expected["logits"]).max())
print(json.dumps({"away": away, "logits": wrong, "found": found}))
"""


@pytest.mark.slow
def test_an_operation_and_its_state_are_the_steps_of_the_guide(tmp_path: Path) -> None:
    package = tmp_path / "pyodide_pkg"
    ignored = shutil.ignore_patterns("build", "__pycache__", "*.so", "hosting", "train")
    shutil.copytree(ROOT / "pyodide_pkg", package, ignore=ignored)
    for file, steps in STEPS.items():
        text = (package / file).read_text()
        for line, instead in steps.items():
            assert text.count(line) == 1, (file, line)
            text = text.replace(line, instead)
        (package / file).write_text(text)
    (package / "kernels" / "brook.c").write_text(SOURCE)

    def run(code: str, *arguments: str) -> str:
        environment = {
            **os.environ,
            "PYTHONPATH": os.pathsep.join((str(package), str(ROOT))),
            "ZIG_GLOBAL_CACHE_DIR": str(ROOT / "pyodide_pkg" / "build" / "zig"),
        }
        command = [sys.executable, "-c", code, *arguments]
        ran = subprocess.run(command, cwd=package, env=environment, capture_output=True, text=True)
        assert ran.returncode == 0, ran.stderr
        return ran.stdout

    header = package / "kernels" / "mirrored.h"
    header.write_text(run("from tools.generate import c_header; print(c_header(), end='')"))
    run("import build_kernels as b; b.build(b.target(), b.HERE / 'thimble')")
    (tmp_path / "tiny.gguf").write_bytes(make(SPECS["f32"]))
    told = json.loads(run(TRIED, str(tmp_path / "tiny.gguf")))
    assert told["found"] == [True] * 5
    assert told["away"] < 1e-4 and told["logits"] < 1e-4
