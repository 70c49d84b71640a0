"""Plans: the programs that models are compiled to, and how kernels are told of them."""

from __future__ import annotations

import re
import struct
from pathlib import Path

import pytest

import build_kernels
from tests.test_session import load
from tests.tiny_folders import CONFIGS, converted
from tests.tiny_models import SPECS, make
from thimble.errors import MemoryLimitError
from thimble.footprint import weights_bytes
from thimble.gguf import read_header
from thimble.kernel import default_kernel
from thimble.model_config import ModelConfig, config_from_header
from thimble.plan import KINDS, ON_DEMAND, VALUES, compile_plan
from thimble.program import assign_slots, pack_program, state_forms
from thimble.reference import ReferenceModel

HEADER = (Path(build_kernels.SOURCES) / "plan.h").read_text(encoding="utf-8")


def config_of(name: str) -> ModelConfig:
    return config_from_header(read_header(converted(name, "q8_0")))


def test_a_plan_reads_like_the_model() -> None:
    plan = compile_plan(config_from_header(read_header(make(SPECS["f32"]))))
    assert [op.kind for op in plan.begin] == ["rotations", "embed"]
    assert [op.kind for op in plan.layers[0]] == [
        "norm", "products", "rope", "rope", "attend", "heads_out", "add",
        "norm", "products", "activate", "products", "add", "check",
    ]  # fmt: skip
    assert [op.kind for op in plan.end] == ["last", "norm", "products", "check"]
    assert plan.layers[0] is plan.layers[1]
    products = plan.layers[0][1]
    assert products.inputs == ("ln1.out",)
    assert products.outputs == ("attn.hook_q", "attn.hook_k", "attn.hook_v")
    assert products.tensors[::2] == ("attn_q.weight", "attn_k.weight", "attn_v.weight")


def test_layers_that_differ_have_programs_of_their_own() -> None:
    config = config_of("gemma3")
    plan = compile_plan(config)
    windows = [form.window for form in state_forms(config)]
    assert windows == [24, 24, 24, 24, 24, 0, 24]
    assert plan.layers[0] is plan.layers[4] is plan.layers[6] is not plan.layers[5]


@pytest.mark.parametrize("name", CONFIGS)
def test_every_operation_is_one_that_the_kernels_and_the_reference_know(name: str) -> None:
    for _, section in compile_plan(config_of(name)).sections():
        for op in section:
            assert hasattr(ReferenceModel, op.kind)
            assert {*op.numbers} == {*KINDS[op.kind].ints, *KINDS[op.kind].floats} - {"state"}
            assert {*op.inputs, *op.outputs} <= {*VALUES}


def test_the_kernels_hold_all_values() -> None:
    most = re.search(r"TK_MAX_BUFFERS = (\d+)", HEADER)
    assert most and len(VALUES) <= int(most[1])


@pytest.mark.parametrize("name", CONFIGS)
def test_values_that_live_together_lie_apart(name: str) -> None:
    """Follow each section: what is written may only overwrite what nobody reads any more."""
    config = config_of(name)
    plan = compile_plan(config)
    slots = assign_slots(config, plan)
    assert not set(slots) & ON_DEMAND
    assert slots[plan.stream] == slots["hook_resid_pre"] == slots["hook_resid_post"]
    holds: dict[int, str] = {}
    for _, section in plan.sections():
        holds[slots["hook_resid_pre"]] = "hook_resid_pre"
        if section is plan.end:
            holds[slots["hook_resid_pre"]] = "hook_resid_post"
        for op in section:
            for value in op.inputs:
                if value in slots:
                    assert holds[slots[value]] == value, (op, holds)
            for value in op.outputs:
                if value in slots:
                    in_place = KINDS[op.kind].in_place
                    assert in_place or slots[value] not in {slots.get(v) for v in op.inputs}
                    holds[slots[value]] = value
    assert holds[slots["hook_resid_post"]] == "hook_resid_post"


def test_a_tensor_that_a_plan_wants_is_looked_up_by_its_name_in_the_file() -> None:
    asked: list[str] = []

    def address(name: str) -> int:
        asked.append(name)
        return 64

    config = config_of("gpt2")
    program = pack_program(config, compile_plan(config), address)
    assert len(program.ops) % struct.calcsize("<2i4i4i8i2f6q") == 0
    assert {"token_embd.weight", "position_embd.weight", "blk.1.attn_q.bias"} <= set(asked)
    assert "blk.1.ffn_gate.weight" not in asked


def test_memory_for_the_program_is_asked_for_in_words(monkeypatch: pytest.MonkeyPatch) -> None:
    kernel = default_kernel()
    real = kernel.call
    monkeypatch.setattr(
        kernel, "call", lambda name, *args: 0 if name == "model_new" else real(name, *args)
    )
    with pytest.raises(MemoryLimitError, match="no memory for the model's program"):
        load(make(SPECS["f32"]))


@pytest.mark.parametrize(
    "name",
    [
        "phi3",
        "gpt2",
        "lfm2",
        "olmoe",
        "mamba2",
        "gemma-embedding-dense",
        "granitehybrid-moe",
        "falcon-h1",
        "qwen35",
    ],
)
def test_what_weights_take_is_known_before_they_come(name: str) -> None:
    model = load(converted(name, "q8_0"))
    assert weights_bytes(model.kernel, model.tensors, model.config) == model.nbytes
