"""The debugger where the text is constrained."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator

import pytest

import thimble
from tests.debugging import PARAMS, PROMPT, debugging, ids, steps, tiny
from thimble import constrain
from thimble.debug import Debugger

GRAMMAR = constrain.regex("(?:[a-z]+ ){2,9}[a-z]*[.!]")
CONSTRAINED = dataclasses.replace(PARAMS, top_k=0, top_p=1.0, min_p=0.0, grammar=GRAMMAR)


@pytest.fixture(scope="module")
def model() -> thimble.Model:
    return tiny()


@pytest.fixture
def debugger(model: thimble.Model) -> Iterator[Debugger]:
    with debugging(model) as made:
        yield made


def constrained(session: thimble.Session, n: int) -> list[int]:
    """What generating writes under the constraint."""
    params = dataclasses.replace(CONSTRAINED, max_tokens=n)
    return [chunk.id for chunk in session.generate(PROMPT, params)]


def test_stepping_under_a_constraint_writes_what_generating_writes(
    debugger: Debugger, model: thimble.Model
) -> None:
    wanted = constrained(model.session(), 200)
    debugger.params = CONSTRAINED
    while not debugger.ended and not debugger.full:
        traced = debugger.peek()
        assert debugger.run()
        assert debugger.node.step and debugger.node.step.id == traced.id
        assert debugger.look(debugger.node).rows == traced.rows
    assert ids(debugger) == wanted
    assert debugger.whole
    assert re.fullmatch(GRAMMAR.source, debugger.text)
    with pytest.raises(thimble.OptionError, match="ended"):
        debugger.step()
    debugger.params = PARAMS  # any text may follow
    assert not debugger.ended
    debugger.step()


def test_a_constraint_is_there_at_every_place_and_in_every_branch(debugger: Debugger) -> None:
    debugger.params = CONSTRAINED
    written = steps(debugger, 9)
    path = debugger.node.path()
    draws = []
    for depth in (8, 3, 6, 0):
        debugger.goto(path[depth - 1] if depth else debugger.tree.root)
        draws.append((debugger.peek(), depth))
        assert debugger.peek().id == written[depth]
    debugger.goto(path[8])
    for traced, depth in draws:
        assert traced == debugger.look(path[depth])
        assert traced.allowed and traced.allowed < debugger.session.model.config.n_vocab
    allowed = [row.id for row in draws[1][0].rows if row.fate == "kept" and row.id != written[3]]
    debugger.branch(path[3], allowed[0])
    other = steps(debugger, 3)
    assert other[:4] == [*written[:3], allowed[0]]
    debugger.goto(path[8])
    assert debugger.node.step and debugger.node.step.constraint_start == len(debugger.tree.prompt)
    assert all(
        node.step and node.step.constraint_start == len(debugger.tree.prompt) for node in path
    )


def test_what_the_constraint_forbids_cannot_be_forced(debugger: Debugger) -> None:
    debugger.params = CONSTRAINED
    steps(debugger, 2)
    hash_ = debugger.logits_hash()
    forbidden = next(row for row in debugger.peek().rows if row.fate == "constraint")
    assert forbidden.weight == 0
    with pytest.raises(thimble.OptionError, match="the constraint does not allow"):
        debugger.force(forbidden.id)
    path = debugger.node.path()
    with pytest.raises(thimble.OptionError, match="does not allow"):
        debugger.branch(path[1], debugger.session.model.tokenizer.encode("7")[-1])
    assert debugger.node is path[1] and debugger.logits_hash() == hash_
    debugger.edit(forbidden.id, 90.0)
    assert debugger.step().step.id != forbidden.id  # type: ignore[union-attr]


def test_a_constraint_that_is_asked_for_later_begins_there(
    debugger: Debugger, model: thimble.Model
) -> None:
    begun = steps(debugger, 4)
    debugger.params = CONSTRAINED
    while not debugger.ended and not debugger.full:
        debugger.step()
    session = model.session()
    session.append(debugger.tree.prompt)
    session.append(begun)
    wanted = [chunk.id for chunk in session.generate("", CONSTRAINED)]
    assert ids(debugger) == begun + wanted
    assert {node.step.constraint_start for node in debugger.node.path() if node.step} == {
        None, len(debugger.tree.prompt) + 4
    }  # fmt: skip
