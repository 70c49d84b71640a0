"""Thoughts: what a model writes to itself before it answers, and whether it does.

Between which marks they stand, and whether the template has a switch (`enable_thinking`), is told
from the template. Where it has none, an answer without thoughts begins behind an empty block, as
Qwen3's own template writes it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from .chat import ChatTemplate

SWITCH = "enable_thinking"
EFFORTS = ("none", "minimal", "low", "medium", "high")


class Marks(NamedTuple):
    """What thoughts begin and end with."""

    open: str
    close: str


KNOWN = (
    Marks("<think>", "</think>"),
    Marks("[THINK]", "[/THINK]"),
    Marks("<|START_THINKING|>", "<|END_THINKING|>"),
    Marks("<seed:think>", "</seed:think>"),
    Marks("<|inner_prefix|>", "<|inner_suffix|>"),
)


def marks_of(template: ChatTemplate) -> Marks | None:
    """The marks that a template speaks of."""
    return next((marks for marks in KNOWN if marks.close in template.source), None)


def ending(prompt: str, marks: Marks | None, thinking: bool | None) -> str:
    """What an answer begins with where it shall have no thoughts: what is open is closed, and what
    the model might open has been."""
    if thinking is not False or marks is None:
        return ""
    said = prompt.rstrip()
    if said.endswith(marks.open):
        return ("" if prompt.endswith("\n") else "\n") + f"\n{marks.close}\n\n"
    return "" if said.endswith(marks.close) else f"{marks.open}\n\n{marks.close}\n\n"
