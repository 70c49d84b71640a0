"""Hooks: functions of the caller's that see a value of the pass, and may change it.

    def quiet(z, hook):                 # z: [pos, head, d_head]
        z[:, 3] = 0

    model.run_with_hooks("Once upon a time", fwd_hooks=[("blocks.2.attn.hook_z", quiet)])

A hook changes the array in place, or returns another of the same shape. What it does wrong becomes
a HookError that names the hook and the line. This file does not know what computes the values.
"""

from __future__ import annotations

import math
import traceback
from collections.abc import Callable, Iterable
from contextlib import nullcontext
from typing import Any, TypeAlias

from ..errors import HookError, OptionError
from ..model_config import ModelConfig
from .sites import EMBED, Filter, matches, place, site_names
from .tensor import Array, flat, numpy, shape_of, to_array

HookFunction: TypeAlias = Callable[[Array, "HookPoint"], Any]
FwdHooks: TypeAlias = Iterable[tuple[Filter, HookFunction]]

_OURS = __file__.rpartition("/")[0] or __file__.rpartition("\\")[0]


class HookPoint:
    """Where a hook is called."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.ctx: dict[str, Any] = {}
        """For what a hook wants to keep from call to call."""
        self.past = 0
        """Positions before the value's first: in a pass that goes on with a text, [0] is not the
        text's first token."""

    def layer(self) -> int | None:
        """The block's number; None outside of blocks."""
        return place(self.name)[0]

    def __repr__(self) -> str:
        return f"<HookPoint {self.name}>"


class Hooks:
    """Hooks by the names of the values that they see, in the order in which they were given."""

    def __init__(self, config: ModelConfig, fwd_hooks: FwdHooks = ()) -> None:
        self.by_name: dict[str, list[tuple[HookFunction, HookPoint]]] = {}
        known = site_names(config)
        for entry in fwd_hooks:
            name, function = _checked(entry)
            meant = matches(known, name)
            for one in (one for one in known if one in meant):
                points = self.by_name.setdefault(one, [])
                points.append((function, HookPoint(one)))

    def __bool__(self) -> bool:
        return bool(self.by_name)

    def first_layer(self, n_layers: int) -> int:
        """The first block that a hook changes; -1 where one comes before all blocks."""
        if EMBED in self.by_name:
            return -1
        layers = (place(name)[0] for name in self.by_name)
        return min((layer for layer in layers if layer is not None), default=n_layers)

    def call(self, name: str, data: bytes, shape: tuple[int, ...], past: int) -> bytes:
        """What the value is after its hooks; the same bytes where they change nothing."""
        for function, point in self.by_name.get(name, ()):
            point.past = past
            value = to_array(data, shape)
            changed = _taken(_ask(function, value, point), value, shape, name)
            if changed != data:
                _check_finite(changed, name)
                data = changed
        return data


def _checked(entry: Any) -> tuple[Filter, HookFunction]:
    if not isinstance(entry, tuple) or len(entry) != 2 or not callable(entry[1]):
        raise OptionError(
            f"a hook is {entry!r:.100}; a pair of a name (or a function of names) and a function "
            "of (array, hook) is right"
        )
    return entry[0], entry[1]


def _ask(function: HookFunction, value: Array, point: HookPoint) -> Any:
    try:
        return function(value, point)
    except HookError:
        raise
    except Exception as error:
        words = traceback.format_exception_only(error)[-1].strip()
        raise _failed(point.name, f"raised {words}", error) from error


def _taken(answer: Any, given: Array, shape: tuple[int, ...], name: str) -> bytes:
    """The bytes of what a hook made of its array."""
    value = given if answer is None else answer
    found = shape_of(value)
    if found is None:
        raise HookError(f"the hook at {name} returned {value!r:.60}; {_right(shape)}")
    if found != shape:
        raise HookError(f"the hook at {name} returned the shape {found}; {_right(shape)}")
    np = numpy()
    kind = getattr(getattr(value, "dtype", None), "kind", "f")
    if kind not in "fiub":
        raise HookError(f"the hook at {name} returned numbers of the type {value.dtype}; "
                        f"{_right(shape)}")  # fmt: skip
    # What is too large for float32 is told as infinite, and not also warned of.
    with nullcontext() if np is None else np.errstate(over="ignore"):
        taken: bytes = flat(value).tobytes()
    return taken


def _right(shape: tuple[int, ...]) -> str:
    return f"nothing (the array is changed in place) or an array of the shape {shape} is right"


def _check_finite(data: bytes, name: str) -> None:
    """NaN is refused, and infinity but for scores, where minus infinity means: not this key."""
    values = memoryview(data).cast("f")
    if all(map(math.isfinite, values)):
        return
    least = -math.inf if name.endswith("hook_attn_scores") else None
    for at, value in enumerate(values):
        if not math.isfinite(value) and value != least:
            raise HookError(f"the hook at {name} left {value} at index {at} of the flat array; "
                            "finite numbers are right")  # fmt: skip


def _failed(name: str, what: str, error: BaseException) -> HookError:
    """With the traceback as the caller knows it: from the hook on, without our own lines."""
    frames = traceback.extract_tb(error.__traceback__.tb_next if error.__traceback__ else None)
    own = [frame for frame in frames if not frame.filename.startswith(_OURS)]
    if not own:  # it could not even be called: the wrong number of parameters
        return HookError(f"the hook at {name} {what}")
    where = [frame for frame in own if frame.filename == own[0].filename][-1]
    listed = "".join(traceback.format_list(frames)).rstrip()
    return HookError(
        f"the hook at {name} {what} (line {where.lineno}, in {where.name})",
        line=where.lineno,
        trace=f"Traceback (most recent call last):\n{listed}",
    )
