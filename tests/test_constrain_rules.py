"""Grammars of rules, followed: the texts are those that the rules make, however they recurse."""

from __future__ import annotations

import itertools
from collections.abc import Mapping

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import thimble
from thimble.constrain import read_gbnf
from thimble.constrain.automaton import NOWHERE, Automaton
from thimble.constrain.effort import Effort
from thimble.constrain.network import Network
from thimble.constrain.nodes import EMPTY, Alt, Chars, Node, Repeat, Rule, Seq, text

LONGEST = 4
TEXTS = ["".join(one) for n in range(LONGEST + 1) for one in itertools.product("ab", repeat=n)]


def made(node: Node, texts: Mapping[str, set[str]]) -> set[str]:
    """The texts of a node of at most so many letters, the rules' texts being these."""
    if isinstance(node, Chars):
        return {chr(point) for low, high in node.ranges for point in range(low, high + 1)}
    if isinstance(node, Rule):
        return texts[node.name]
    if isinstance(node, Alt):
        return {one for part in node.parts for one in made(part, texts)}
    if isinstance(node, Seq):
        found = {""}
        for part in node.parts:
            found = joined(found, made(part, texts))
        return found
    assert isinstance(node, Repeat)
    inner, found, some = made(node.node, texts), set[str](), {""}
    for times in range(1 + (node.low + LONGEST if node.high is None else node.high)):
        found |= some if times >= node.low else set()
        some = joined(some, inner)
    return found


def joined(first: set[str], second: set[str]) -> set[str]:
    return {a + b for a in first for b in second if len(a) + len(b) <= LONGEST}


def all_made(rules: Mapping[str, Node]) -> dict[str, set[str]]:
    texts: dict[str, set[str]] = {name: set() for name in rules}
    while (more := {name: made(node, texts) for name, node in rules.items()}) != texts:
        texts = more
    return texts


def step_through(automaton: Automaton, state: int, data: str) -> int:
    for byte in data.encode():
        state = automaton.step(state, byte) if state != NOWHERE else NOWHERE
    return state


def accepts(automaton: Automaton, state: int, data: str) -> bool:
    state = step_through(automaton, state, data)
    return state != NOWHERE and automaton.accepting[state]


NODES = st.recursive(
    st.sampled_from([text("a"), text("b"), Chars(((97, 98),)), EMPTY, *map(Rule, "RST")]),
    lambda inner: (
        st.lists(inner, min_size=1, max_size=3).map(lambda parts: Seq(tuple(parts)))
        | st.lists(inner, min_size=1, max_size=3).map(lambda parts: Alt(tuple(parts)))
        | st.tuples(inner, st.sampled_from([(0, None), (1, None), (0, 1), (2, 2), (1, 3)])).map(
            lambda two: Repeat(two[0], *two[1])
        )
    ),
    max_leaves=8,
)


@settings(max_examples=400, deadline=None)
@given(st.fixed_dictionaries(dict.fromkeys("RST", NODES)), st.integers(0, 1000))
def test_any_rules_make_their_texts(rules: dict[str, Node], seed: int) -> None:
    """Left recursion, rules that may be empty and ambiguity included; and a state taken over into
    another automaton goes on as it did."""
    expected = all_made(rules)["R"]
    try:
        automaton = Automaton(Network(rules, "R"))
    except thimble.OptionError as error:
        assert "no text can ever satisfy" in str(error)
        assert not expected
        return
    assert {one for one in TEXTS if accepts(automaton, 0, one)} == expected
    other = Automaton(automaton.network)
    state = seed % len(automaton.items)
    adopted = other.adopt(automaton, state)
    for one in TEXTS[:15]:
        assert accepts(automaton, state, one) == accepts(other, adopted, one)


def gbnf(source: str, *, left_recursion: bool = True) -> Automaton:
    network = Network(read_gbnf.parse(source), "root", left_recursion=left_recursion)
    return Automaton(network)


def test_ambiguous_texts_do_not_multiply() -> None:
    """The first has two to the n readings of n letters."""
    automaton = gbnf('root ::= "a" root "b" | "a" root "c" | "a"')
    assert accepts(automaton, 0, "a" * 200 + "bc" * 99 + "b")
    assert not accepts(automaton, 0, "a" * 200 + "bc" * 100)
    assert max(map(len, automaton.items)) <= 3
    automaton = gbnf('root ::= root root | root root root | "a"')
    assert accepts(automaton, 0, "a" * 100)


def test_left_recursion_comes_back_to_its_states() -> None:
    automaton = gbnf(
        'root ::= root "+" term | term\nterm ::= term "*" factor | factor\n'
        'factor ::= "(" root ")" | [0-9]'
    )
    assert accepts(automaton, 0, "1+2*(3+4*5)+6" + "*7+8" * 100)
    assert not accepts(automaton, 0, "1+2*(3+4*5+6")
    assert len(automaton.items) < 40


def test_a_chain_of_rules_is_not_ambiguous() -> None:
    chain = "\n".join(f"r{i} ::= r{i + 1}" for i in range(5_000))
    automaton = gbnf(f'root ::= r0\n{chain}\nr5000 ::= "y"')
    assert accepts(automaton, 0, "y")
    chain = "\n".join(f'r{i} ::= "x" r{i + 1}' for i in range(1_000))
    automaton = gbnf(f'root ::= r0\n{chain}\nr1000 ::= "y"')
    assert accepts(automaton, 0, "x" * 1_000 + "y")


@pytest.mark.parametrize(
    "source",
    [
        "root ::= r0\n"
        + "\n".join(f'r{i} ::= r{i + 1} | "z" | r{i + 1} "q"' for i in range(1_000))
        + '\nr1000 ::= r0 "y"',
        "root ::= " + '"a"? ' * 1_900,
    ],
    ids=["mutual recursion", "nothing or something"],
)
def test_what_takes_long_is_counted(source: str) -> None:
    effort = Effort(1_000)
    network = Network(read_gbnf.parse(source), "root")
    with pytest.raises(thimble.OptionError, match="more than 1,000 steps"):
        automaton, state = Automaton(network, effort), 0
        for _ in range(100):
            state = automaton.step(state, ord("a" if "a" in source else "z"))
            automaton.row(max(state, 0))
