"""Structs and numbers that C and Python share: described once, and the same in both."""

from __future__ import annotations

import ctypes
import re
from typing import Any

import pytest

from thimble import adapter, kernel, program, state
from thimble.architectures import GELU_ERF, GELU_TANH, SILU
from thimble.cli import inputs
from thimble.layout import Layout
from thimble.tensor_types import TENSOR_TYPES
from tools import generate

KERNELS = generate.HEADER.parent
CTYPES: dict[str, Any] = {
    "d": ctypes.c_double, "f": ctypes.c_float, "i": ctypes.c_int32, "q": ctypes.c_int64,
    "Q": ctypes.c_uint64,
}  # fmt: skip


@pytest.mark.parametrize("layout", generate.LAYOUTS, ids=lambda layout: layout.name)
def test_a_layout_is_the_one_of_this_machines_c(layout: Layout) -> None:
    fields = []
    for name, (whole, _) in layout.fields.items():
        code = whole.partition(":")[0]
        one = CTYPES[code[-1]]
        fields.append((name, one * int(code[:-1]) if len(code) > 1 else one))
    made = type("Made", (ctypes.Structure,), {"_fields_": fields})
    assert ctypes.sizeof(made) == layout.size
    assert {name: getattr(made, name).offset for name in layout.fields} == layout.offsets


def test_parts_of_a_struct_lie_where_the_whole_has_them() -> None:
    layout = Layout("t", "", a=("i", ""), b=("d", ""), c=("3i", ""), d=("q", ""))
    assert layout.offsets == {"a": 0, "b": 8, "c": 16, "d": 32} and layout.size == 40
    data = layout.pack(1, 2.5, 3, 4, 5, 6)
    assert layout.unpack(data) == (1, 2.5, 3, 4, 5, 6)
    assert layout.part("b", "c").unpack_from(data, layout.offsets["b"]) == (2.5, 3, 4, 5)
    assert layout.part("c", "d").unpack_from(data, layout.offsets["c"]) == (3, 4, 5, 6)
    assert list(layout.iter_unpack(data * 2)) == [(1, 2.5, 3, 4, 5, 6)] * 2


def test_the_compiler_checks_every_field_for_every_machine() -> None:
    text = generate.c_header()
    assert text == generate.HEADER.read_text(encoding="utf-8")
    for layout in generate.LAYOUTS:
        assert f"_Static_assert(sizeof({layout.name}) == {layout.size}," in text
        for name, offset in layout.offsets.items():
            assert f"_Static_assert(offsetof({layout.name}, {name}) == {offset}," in text


def numbers_of(header: str) -> dict[str, int]:
    """What the enums of a header say."""
    found: dict[str, int] = {}
    for body in re.findall(
        r"\benum \{(.*?)\}", (KERNELS / header).read_text(encoding="utf-8"), re.S
    ):
        value = -1
        for item in re.sub(r"/\*.*?\*/", "", body, flags=re.S).split(","):
            name, _, given = item.partition("=")
            if name.strip() and (not given or given.strip().isdigit()):
                value = int(given) if given else value + 1
                found[name.strip()] = value
    return found


def test_numbers_that_both_need_are_the_same() -> None:
    ours, plan = numbers_of("thimble.h"), numbers_of("plan.h")
    assert ours["TK_ABI_VERSION"] == kernel.ABI_VERSION
    assert ours["TK_BATCH"] == kernel.BATCH
    assert ours["TK_MAX_TOP"] == kernel.MAX_TOP
    assert ours["TK_MAX_THREADS"] == inputs.MAX_THREADS
    assert ours["TK_MAX_RANK"] == adapter.MAX_RANK
    assert [ours[f"TK_{name}"] for name in ("SILU", "GELU_TANH", "GELU_ERF")] == [
        SILU, GELU_TANH, GELU_ERF
    ]  # fmt: skip
    assert plan["TK_STAGES"] == program.STAGES
    assert plan["TK_KEYS_VALUES"] == program.KEYS_VALUES
    wanted = [plan[f"TK_{name}"] for name in ("NOT_FINITE", "GONE", "TOO_LARGE")]
    assert [number - 1 for number in wanted] == [state.NOT_FINITE, state.GONE, state.TOO_LARGE]


def test_encodings_have_ggmls_numbers() -> None:
    ours = numbers_of("thimble.h")
    for number, kind in TENSOR_TYPES.items():
        assert ours[f"TK_{kind.name}"] == kind.ggml_id == number
