"""A plan as the kernels want it: operations as numbers, and where each value lies while text is
written.

Values that are not needed at the same time share memory. Which those are is the same in every layer
of one kind, so it is found once for each. Layouts are those of `kernels/plan.h`.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterable
from math import prod
from typing import NamedTuple, TypeVar

from .layout import Layout
from .model_config import ModelConfig
from .plan import KINDS, NUMBER_OF, ON_DEMAND, VALUES, Layer, Op, Plan, compile_plan, widths

STAGES = 4
"""A place in a program is so many times an operation's number, and a stage of it."""
KEYS_VALUES, ROWS, FIXED = range(3)
"""Of what a layer keeps: the enum in `kernels/plan.h`."""
OUTSIDE = ("ids", "logits")
"""Values that whoever runs a program brings along."""

T = TypeVar("T")
Span = tuple[int, int]
"""From when to when a value lives, both included."""

OP = Layout(
    "tk_op",
    "An operation; thimble/plan.py says what its numbers are.",
    kind=("i", "see KINDS"),
    layer=("i", ""),
    **{"in": ("4i", "buffers, -1 for none")},
    out=("4i", "buffers, -1 for none"),
    n=("8i", ""),
    f=("2f", ""),
    tensor=("6q", "addresses, 0 for none"),
)
BUFFER = Layout(
    "tk_buffer",
    "Where a value lies while text is written.",
    slot=("i", "-1: only where somebody gives it memory"),
    width=("i", "floats of a row"),
)
STATE_FORM = Layout(
    "tk_state_form",
    "What a layer keeps of the text.",
    kind=("i", ""),
    layer=("i", ""),
    heads=("i", "of `width` keys and as many values, for each position; 1 of rows alone"),
    width=("i", "of a state of fixed size, floats of a head"),
    window=("i", "positions that are looked back at, the last included; 0 for all"),
)


class StateForm(NamedTuple):
    """What a layer keeps of a text: rows for each position, or a state of fixed size."""

    kind: int
    layer: int
    heads: int
    width: int
    window: int
    """Positions that are looked back at, the last included; 0 for all."""


class Program(NamedTuple):
    """What `tk_model_new` takes."""

    ints: bytes
    ops: bytes
    buffers: bytes
    states: bytes


def state_forms(config: ModelConfig) -> list[StateForm]:
    """Return what the layers of a model keep, in the order in which operations ask for it."""
    found = []
    for layer, ops in enumerate(compile_plan(config).layers):
        for op in ops:
            n = {name: int(number) for name, number in op.numbers.items()}
            if op.kind == "attend":
                size = (n["kv_heads"], n["width"], n["window"])
                found.append(StateForm(KEYS_VALUES, layer, *size))
            elif op.kind == "short_conv":
                width = value_width(config, op.inputs[0])
                if n["fixed"]:
                    found.append(StateForm(FIXED, layer, 1, (n["taps"] - 1) * width, 0))
                else:
                    found.append(StateForm(ROWS, layer, 1, width, n["taps"]))
            elif op.kind in ("scan", "delta"):
                found.append(StateForm(FIXED, layer, n["heads"], n["width"] * n["size"], 0))
    return found


def pack_forms(forms: Iterable[StateForm]) -> bytes:
    return b"".join(STATE_FORM.pack(*form) for form in forms)


def value_width(config: ModelConfig, name: str) -> int:
    """Return how many floats a row of a value has, padded as products leave them; 0 for what is no
    row a token."""
    axes = VALUES[name]
    if axes[0] != "pos":
        return 0
    known = widths(config)
    return (prod(known[axis] for axis in axes[1:]) + 3) & ~3


def pack_program(config: ModelConfig, plan: Plan, tensor: Callable[[str], int]) -> Program:
    """Return the program as bytes; `tensor` says where the one of a name is."""
    ops: list[bytes] = []
    head = state = 0
    for number, (layer, section) in enumerate(plan.sections()):
        prefix = "" if layer is None else f"blk.{layer}."
        if number > len(plan.layers):
            head, layer = len(ops) + plan.before_head, config.n_layers
        for op in section:
            ops.append(_packed(op, layer or 0, prefix, tensor, state))
            state += "state" in KINDS[op.kind].ints
    slots = assign_slots(config, plan)
    reads = (op.inputs[0] for op in plan.end if op.kind == "products")
    hidden = next(reads) if config.features.causal else plan.result
    places = [NUMBER_OF[name] for name in ("hook_resid_post", hidden, "logits")]
    sizes = {name: value_width(config, name) for name in VALUES}
    widest = max(w for name, w in sizes.items() if name not in (*OUTSIDE, *ON_DEMAND))
    ints = array("i", [
        config.n_layers, config.dim, config.n_vocab, len(ops), head, len(VALUES), state, *places,
        widest,
    ])  # fmt: skip
    buffers = array("i", [n for name in VALUES for n in (slots.get(name, -1), sizes[name])])
    forms = pack_forms(state_forms(config))
    return Program(ints.tobytes(), b"".join(ops), buffers.tobytes(), forms)


def _packed(op: Op, layer: int, prefix: str, tensor: Callable[[str], int], state: int) -> bytes:
    kind = KINDS[op.kind]
    numbers = {**op.numbers, "state": state}
    ints = [int(numbers[name]) for name in kind.ints]
    floats = [float(numbers[name]) for name in kind.floats]
    addresses = [tensor(prefix + name) if name else 0 for name in op.tensors]
    return OP.pack(
        list(KINDS).index(op.kind), layer,
        *_padded([NUMBER_OF.get(name, -1) for name in op.inputs], 4, -1),
        *_padded([NUMBER_OF.get(name, -1) for name in op.outputs], 4, -1),
        *_padded(ints, 8, 0), *_padded(floats, 2, 0.0), *_padded(addresses, 6, 0),
    )  # fmt: skip


def _padded(found: list[T], size: int, empty: T) -> list[T]:
    return found + [empty] * (size - len(found))


def assign_slots(config: ModelConfig, plan: Plan) -> dict[str, int]:
    """Return in which piece of memory each value lies; values that share one never live at the same
    time. What goes into a layer and what comes out of it share one, so that nothing is moved."""
    spans: dict[str, list[Span]] = {}
    start = 0
    for section in _kinds_of_sections(plan):
        start = _live(section, start, spans)
    for name in ("rope", "rope_local"):  # all layers read them
        if name in spans:
            spans[name] = [(0, start)]
    # The last stream is looked at when all is done, too.
    spans["hook_resid_post"].append((start - 2 * len(plan.end), start))
    stream = {plan.stream, "hook_resid_pre", "hook_resid_post"}
    slots = [[span for name in stream for span in spans.pop(name, [])]]
    found = dict.fromkeys(stream, 0)
    before = _read_in_place(plan)
    for name in sorted(spans, key=lambda name: (-value_width(config, name), NUMBER_OF[name])):
        free = [i for i, taken in enumerate(slots) if _apart(taken, spans[name])]
        if not free:
            slots.append([])
            free = [len(slots) - 1]
        own = found.get(before.get(name, ""), free[0])  # so that nothing is copied
        found[name] = own if own in free else free[0]
        slots[found[name]] += spans[name]
    return found


def _read_in_place(plan: Plan) -> dict[str, str]:
    """Return what the operation reads that leaves a value where it read it, if it can."""
    return {
        op.outputs[-1]: op.inputs[0]
        for section in _kinds_of_sections(plan)
        for op in section
        if KINDS[op.kind].in_place and op.inputs and op.outputs
    }


def _kinds_of_sections(plan: Plan) -> list[Layer]:
    """Return every section once, of layers that are alike the first."""
    kinds = {id(layer): layer for layer in plan.layers}
    return [plan.begin, *kinds.values(), plan.end]


def _live(section: Layer, start: int, spans: dict[str, list[Span]]) -> int:
    """Note from when to when each value lives. An operation reads at an even time and writes at the
    next; where it cannot work in place, it does both all the time. Return the time after it all."""
    born: dict[str, int] = {}
    dies: dict[str, int] = {}
    now = start
    for op in section:
        in_place = KINDS[op.kind].in_place
        for name in op.inputs:
            born.setdefault(name, start)  # or it was there before
            dies[name] = now if in_place else now + 1
        for name in op.outputs:
            born.setdefault(name, now + 1 if in_place else now)
            dies[name] = now + 1
        now += 2
    for name, first in born.items():
        if name and name not in ON_DEMAND and name not in OUTSIDE:
            spans.setdefault(name, []).append((first, dies[name]))
    return now


def _apart(taken: list[Span], wanted: list[Span]) -> bool:
    return all(a[1] < b[0] or b[1] < a[0] for a in taken for b in wanted)
