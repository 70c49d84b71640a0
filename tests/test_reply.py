"""An answer is taken apart as it comes: the same parts however it is cut."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from thimble.reply import Part, Reply
from thimble.thinking import Marks
from thimble.tools import FALLBACK, ToolFormat

THINK = Marks("<think>", "</think>")
LISTED = ToolFormat('{"name": "', '", "arguments": ', "}", "[TOOL_CALLS][", "]", ", ")
ONE = '<tool_call>\n{"name": "a", "arguments": {"x": "}\\"<"}}\n</tool_call>'
TWO = '<tool_call>\n{"name": "b", "arguments": {}}\n</tool_call>'


def parts(
    text: str, cuts: list[int] | None = None, **options: object
) -> list[tuple[str, str, int]]:
    """All parts of a text that comes in pieces, neighbours of a kind joined."""
    reply = Reply(**{"marks": THINK, "form": FALLBACK, "names": ["a", "b"], **options})  # type: ignore[arg-type]
    found: list[Part] = []
    at = 0
    for cut in [*sorted(cuts or []), len(text)]:
        found += reply.push(text[at:cut])
        at = max(at, cut)
    found += reply.flush()
    joined: list[tuple[str, str, int]] = []
    for part in found:
        if joined and part.kind != "call" and joined[-1][::2] == part[::2]:
            joined[-1] = (part.kind, joined[-1][1] + part.text, part.call)
        else:
            joined.append((part.kind, part.text, part.call))
    return joined


CASES = {
    "Hello <world>": [("content", "Hello <world>", 0)],
    "<think>\nWhy?\n</think>\n\nSo.": [("reasoning", "Why?", 0), ("content", "So.", 0)],
    "<think>\n\n</think>\n\nSo.": [("content", "So.", 0)],
    "<think>cut": [("reasoning", "cut", 0)],
    "I say <think> here": [("content", "I say <think> here", 0)],
    f"Let me.\n{ONE}\n{TWO}": [
        ("content", "Let me.", 0),
        ("call", "a", 0), ("arguments", '{"x": "}\\"<"}', 0),
        ("call", "b", 1), ("arguments", "{}", 1),
    ],
    f"<think>a {ONE[:9]}</think>{TWO}": [
        ("reasoning", f"a {ONE[:9]}", 0), ("call", "b", 0), ("arguments", "{}", 0),
    ],
    ONE[:40]: [("call", "a", 0), ("arguments", ONE[ONE.index('{"x"') : 40], 0)],
    f"{TWO}\n<tool_call>\n{{": [("call", "b", 0), ("arguments", "{}", 0)],
    "<tool_call>no": [("content", "<tool_call>no", 0)],
    "": [],
    "  \n": [],
}  # fmt: skip


@pytest.mark.parametrize("text", CASES)
def test_an_answer_has_these_parts(text: str) -> None:
    assert parts(text) == CASES[text]


@given(text=st.sampled_from([*CASES]), data=st.data())
@settings(max_examples=300, deadline=None)
def test_however_it_is_cut_its_parts_are_the_same(text: str, data: st.DataObject) -> None:
    cuts = data.draw(st.lists(st.integers(0, len(text)), max_size=len(text)))
    assert parts(text, cuts) == CASES[text]
    assert parts(text, list(range(len(text)))) == CASES[text]


def test_calls_in_a_list_are_told_apart() -> None:
    text = '[TOOL_CALLS][{"name": "a", "arguments": [1]}, {"name": "b", "arguments": {}}]'
    wanted = [("call", "a", 0), ("arguments", "[1]", 0), ("call", "b", 1), ("arguments", "{}", 1)]
    for cuts in ([], list(range(len(text)))):
        assert parts(text, cuts, form=LISTED) == wanted


def test_an_answer_that_begins_in_a_thought_says_so_until_it_ends() -> None:
    reply = Reply(marks=THINK, inside=True)
    assert reply.push("Hm") == [Part("reasoning", "Hm")] and reply.thinking
    assert reply.push(".</think>\nYes") == [Part("reasoning", "."), Part("content", "Yes")]
    assert not reply.thinking


def test_where_there_is_nothing_to_tell_apart_words_come_at_once() -> None:
    reply = Reply()
    assert reply.push(" <think>") == [Part("content", " <think>")]
    assert reply.push(" ") == [Part("content", " ")]
