"""Languages followed by derivatives: what has which text is what Python's `re` says."""

from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import thimble
from tests import in_pyodide
from thimble.constrain import read_regex
from thimble.constrain.automaton import NOWHERE, Automaton
from thimble.constrain.byte_sets import runs_of
from thimble.constrain.effort import Effort
from thimble.constrain.network import Network
from thimble.constrain.nodes import LAST, Both, Chars, Node, Not, Repeat, Rule, Seq
from thimble.constrain.regular import Algebra, Regular

PATTERNS = st.text(alphabet="ab(|)*+?{1,2}[]", max_size=8)
TEXTS = st.text("abé", max_size=6)


def understood(pattern: str) -> tuple[Node, re.Pattern[str]] | None:
    try:
        return read_regex.parse(pattern), re.compile(pattern)
    except (thimble.OptionError, re.error):
        return None


def compiled(node: Node) -> Regular:
    algebra = Algebra(Effort(1_000_000))
    return algebra.of(node, algebra.utf8)


@settings(max_examples=200, deadline=None)
@given(PATTERNS, PATTERNS, TEXTS)
def test_intersection_and_complement(one: str, other: str, text: str) -> None:
    first, second = understood(one), understood(other)
    if first is None or second is None:
        return
    inside = bool(first[1].fullmatch(text)), bool(second[1].fullmatch(text))
    data = text.encode()
    assert compiled(first[0]).has(data) == inside[0]
    assert compiled(Both((first[0], second[0]))).has(data) == all(inside)
    assert compiled(Not(first[0])).has(data) == (not inside[0])
    assert compiled(Both((first[0], Not(second[0])))).has(data) == (inside[0] and not inside[1])
    automaton = (
        Automaton(Network({"root": Both((first[0], Not(second[0])))}, "root"))
        if (compiled(Both((first[0], Not(second[0])))).live)
        else None
    )
    if automaton is None:
        assert not (inside[0] and not inside[1])
        return
    state = 0
    for byte in data:
        state = automaton.step(state, byte) if state != NOWHERE else NOWHERE
    accepted = state != NOWHERE and automaton.accepting[state]
    assert accepted == (inside[0] and not inside[1])


def test_what_has_no_text_is_not_alive() -> None:
    node = Both((read_regex.parse("a+b"), read_regex.parse("a*c")))
    assert not compiled(node).live
    assert not compiled(Not(Repeat(Chars(((0, LAST),)), 0, None))).live
    assert compiled(Not(node)).live


def test_a_rule_is_not_regular() -> None:
    with pytest.raises(thimble.OptionError, match="intersection"):
        Network({"root": Not(Seq((Rule("root"),)))}, "root")


@pytest.mark.slow
def test_an_expression_that_explodes_is_refused() -> None:
    exploding = read_regex.parse("(?:a|b)*a(?:a|b){40}")
    with pytest.raises(thimble.OptionError, match=r"simpler|places"):
        Network({"root": Not(exploding)}, "root")


def test_sets_of_bytes_as_runs() -> None:
    assert runs_of(0b1110_0110) == ((1, 2), (5, 7))
    assert runs_of((1 << 256) - 1) == ((0, 255),)
    assert runs_of(0) == ()


def test_a_grammar_with_a_complement_in_it() -> None:
    network = Network(
        {"root": Seq((Not(read_regex.parse(".*stop", search=True)), Rule("end"))),
         "end": read_regex.parse("!")}, "root",
    )  # fmt: skip
    automaton = Automaton(network)

    def reads(text: str) -> bool:
        state = 0
        for byte in text.encode():
            state = automaton.step(state, byte) if state != NOWHERE else NOWHERE
        return state != NOWHERE and automaton.accepting[state]

    assert reads("go on!")
    assert not reads("go stop!")


def test_in_the_page_s_python_a_long_expression_goes_without_a_deep_stack() -> None:
    """One that is freed frees the next: sixty thousand calls in each other ended the page's."""
    code = """
import gc, json
from thimble.constrain.effort import Effort
from thimble.constrain.regular import Algebra

home = Algebra(Effort())
letters = [home.byte_set(1 << ord(letter)) for letter in "ab"]
found = home.seq(*letters * 30_000)
said = found.has(b"ab" * 3)
del home, letters, found
json.dumps([said, gc.collect() > 60_000])
"""
    assert in_pyodide.run(code) == [False, True]
