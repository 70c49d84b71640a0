"""The debugger: forwards, backwards, aside, stopped and changed."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import pytest

import thimble
from tests.debugging import PARAMS, PROMPT, debugging, ids, steps, tiny
from thimble.debug import Debugger


@pytest.fixture(scope="module")
def model() -> thimble.Model:
    return tiny()


@pytest.fixture
def debugger(model: thimble.Model) -> Iterator[Debugger]:
    with debugging(model) as made:
        yield made


class Count:
    """Tokens that pass through the model."""

    def __init__(self, session: thimble.Session, monkeypatch: pytest.MonkeyPatch) -> None:
        self.tokens = 0
        run = session._run

        def counted(name: str, part: Any, *args: int, **options: Any) -> int:
            self.tokens += len(part)
            return run(name, part, *args, **options)

        monkeypatch.setattr(session, "_run", counted)


# Forwards and backwards


def test_stepping_writes_what_generating_writes(debugger: Debugger, model: thimble.Model) -> None:
    params = thimble.SamplingParams(**{**as_options(PARAMS), "max_tokens": 20, "top_logprobs": 10})
    chunks = list(model.session().generate(PROMPT, params))
    assert steps(debugger, 20) == [chunk.id for chunk in chunks]
    for node, chunk in zip(debugger.node.path(), chunks, strict=True):
        assert node.step is not None
        assert (node.step.logprob, node.step.entropy) == (chunk.logprob, chunk.entropy)
        assert node.step.top == chunk.top
    whole = "".join(chunk.text for chunk in chunks)
    assert whole.startswith("".join(node.text for node in debugger.node.path()))


def as_options(params: thimble.SamplingParams) -> dict[str, Any]:
    return {name: getattr(params, name) for name in type(params).__slots__}


def test_a_step_back_and_forward_comes_to_the_same_bits(debugger: Debugger) -> None:
    hashes = [debugger.logits_hash()]
    for _ in range(8):
        debugger.step()
        hashes.append(debugger.logits_hash())
    assert len(set(hashes)) == len(hashes)
    written = ids(debugger)
    for n in range(7, -1, -1):
        debugger.back()
        assert debugger.logits_hash() == hashes[n]
        assert ids(debugger) == written[:n]
    with pytest.raises(thimble.OptionError, match="beginning"):
        debugger.back()
    for n in range(1, 9):
        debugger.step()
        assert debugger.logits_hash() == hashes[n]
    assert ids(debugger) == written
    assert [branch.number for branch in debugger.tree] == [1]


@pytest.mark.parametrize("length", [1, 3, 6])
def test_a_text_ends_at_a_stop_string_as_when_it_is_generated(
    debugger: Debugger, model: thimble.Model, length: int
) -> None:
    """Strings within a token and over several, which the text comes to after some tokens."""
    steps(debugger, 20)
    whole = debugger.text
    stop = whole[12 : 12 + length]
    options = {**as_options(PARAMS), "stop": ("never this", stop), "max_tokens": 40}
    chunks = list(model.session().generate(PROMPT, thimble.SamplingParams(**options)))
    assert chunks[-1].finish_reason == "stop"
    debugger.begin(PROMPT)
    debugger.params = thimble.SamplingParams(**options)
    while not debugger.ended:
        assert debugger.run()
    assert ids(debugger) == [chunk.id for chunk in chunks]
    assert debugger.text == "".join(chunk.text for chunk in chunks) == whole[: whole.index(stop)]
    assert debugger.node.stopped and debugger.node.stopped.string == stop
    with pytest.raises(thimble.OptionError, match="ended"):
        debugger.step()
    # One back it has not ended, and without the string it goes on.
    debugger.back()
    assert not debugger.ended
    debugger.params = PARAMS
    assert steps(debugger, 1) == [chunk.id for chunk in chunks]
    assert not debugger.ended


def test_the_prompts_tokens_are_weighed_while_it_is_read(
    model: thimble.Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    session, twin = model.session(), model.session()
    count = Count(session, monkeypatch)
    debugger = Debugger(session, PARAMS)
    debugger.begin(PROMPT)
    assert count.tokens == len(debugger.tree.prompt)
    first, *rest = debugger.given()
    assert first is None
    twin.append(debugger.tree.prompt[:1])
    for token, choice in zip(debugger.tree.prompt[1:], rest, strict=True):
        assert choice == twin.token_logprob(token, top=10)
        twin.append([token])
    assert session.logits() == twin.logits()
    assert count.tokens == len(debugger.tree.prompt)
    # What another has read is read once more when somebody asks, in a copy.
    other = Debugger(twin)
    assert list(other.given()) == [first, *rest]
    assert list(other.given()) == [first, *rest]
    assert twin.tokens == debugger.tree.prompt


def test_a_step_taken_back_has_its_edits_again(debugger: Debugger) -> None:
    steps(debugger, 3)
    drawn = debugger.peek().id
    debugger.ban(drawn)
    other = debugger.step()
    assert other.step and other.step.id != drawn
    debugger.back()
    assert debugger.edits == {drawn: -math.inf}
    again = debugger.step()
    assert again is other
    debugger.force(drawn)
    debugger.step()
    debugger.back()
    assert debugger.forced == drawn


# Branches


def test_a_branch_computes_nothing_that_came_before_it(
    debugger: Debugger, monkeypatch: pytest.MonkeyPatch
) -> None:
    written = steps(debugger, 30)
    debugger.peek()
    path = debugger.node.path()
    count = Count(debugger.session, monkeypatch)

    node = path[12]
    assert node.step is not None
    alternative = next(token for token, _ in node.step.top if token != node.step.id)
    debugger.branch(node, alternative)
    assert count.tokens == 0  # its probability was known
    debugger.peek()
    assert count.tokens == 1  # the alternative itself
    steps(debugger, 5)
    debugger.peek()
    assert count.tokens == 6
    assert ids(debugger)[:13] == [*written[:12], alternative]

    # An id that was not listed needs the logits there: those of the one token before.
    seen = {token for token, _ in node.step.top}
    rare = next(token for token in range(50, 90) if token not in seen)
    count.tokens = 0
    debugger.branch(path[20], rare)
    assert count.tokens <= 21 - 12
    monkeypatch.undo()


def test_going_back_to_a_branch_computes_only_what_it_has_alone(
    debugger: Debugger, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = steps(debugger, 25)
    end = debugger.node
    hash_at_end = debugger.logits_hash()
    node = end.path()[20]
    assert node.step is not None
    debugger.branch(node, node.step.top[3][0])
    second = steps(debugger, 4)
    tip = debugger.node
    assert [(b.number, b.since, b.tip) for b in debugger.tree] == [(1, 0, end), (2, 20, tip)]
    assert debugger.tree.current.number == 2

    count = Count(debugger.session, monkeypatch)
    debugger.goto(debugger.tree.branch(1).tip)
    assert debugger.logits_hash() == hash_at_end
    assert count.tokens == 5
    assert ids(debugger) == first
    count.tokens = 0
    debugger.goto(tip)
    debugger.peek()
    assert count.tokens == 5
    assert ids(debugger) == second
    monkeypatch.undo()


def test_the_alternative_of_a_branch_is_as_probable_as_it_was_said_to_be(
    debugger: Debugger, model: thimble.Model
) -> None:
    steps(debugger, 10)
    node = debugger.node.path()[6]
    assert node.step is not None
    alternative = node.step.top[2][0]
    debugger.branch(node, alternative)
    twin = model.session()
    twin.append(debugger.session.tokens[:-1])
    step = debugger.node.step
    assert step is not None
    assert (step.logprob, step.entropy) == twin.token_logprob(alternative)[1:3]
    assert step.how == "forced"


def test_branches_have_names_and_can_go(debugger: Debugger) -> None:
    steps(debugger, 6)
    for at in (2, 4):
        debugger.goto(debugger.tree.branch(1).tip)
        node = debugger.node.path()[at]
        assert node.step is not None
        debugger.branch(node, node.step.top[5][0])
    tree = debugger.tree
    tree.rename(2, "  The\n boat ")
    assert [branch.name for branch in tree] == ["Branch 1", "The boat", "Branch 3"]
    with pytest.raises(thimble.OptionError, match="1 to 60"):
        tree.rename(2, " ")
    with pytest.raises(thimble.OptionError, match="you are on"):
        tree.remove(3)
    before = ids(debugger)
    tree.remove(2)
    tree.remove(1)
    assert [branch.number for branch in tree] == [3]
    assert ids(debugger) == before
    node = debugger.node
    while node.parent:
        assert len(node.parent.children) == 1
        node = node.parent
    with pytest.raises(thimble.OptionError, match="no branch 9"):
        tree.branch(9)


def test_the_text_of_a_branch_is_the_text_of_its_tokens(debugger: Debugger) -> None:
    """Characters of several tokens too: the branch begins inside of one."""
    tokenizer = debugger.session.model.tokenizer
    cafe = tokenizer.encode(" café — ünd", add_special=False)
    for token in cafe:
        debugger.force(token)
        debugger.step()
    debugger.branch(debugger.node.path()[4], cafe[0])
    debugger.goto(debugger.tree.branch(1).tip)
    assert "".join(node.text for node in debugger.node.path()) == " café — ünd"


def test_what_was_written_elsewhere_is_taken_up(model: thimble.Model, debugger: Debugger) -> None:
    steps(debugger, 4)
    assert debugger.in_step
    session = debugger.session
    params = thimble.SamplingParams(max_tokens=6, top_logprobs=10, seed=3)
    chunks = list(session.generate("", params))
    assert not debugger.in_step
    debugger.adopt(thimble.debug.Step(p.id, p.logprob, p.entropy, p.top, params) for p in chunks)
    assert debugger.in_step
    assert debugger.node.depth == 10
    assert [branch.number for branch in debugger.tree] == [1]
    debugger.back()
    debugger.step()
    session.rollback(0)
    session.append([5, 6, 7])
    debugger.adopt()
    assert debugger.tree.prompt == (5, 6, 7)
    assert debugger.node.depth == 0


# What is drawn, and changes to it


def test_what_is_shown_is_what_is_drawn(debugger: Debugger) -> None:
    for n in range(40):
        traced = debugger.peek()
        if n % 3 == 1:
            debugger.ban(traced.id)
            assert debugger.peek().id != traced.id
            traced = debugger.peek()
        elif n % 3 == 2:
            raised = traced.rows[-1].id
            debugger.edit(raised, traced.rows[0].logit + 30)
            traced = debugger.peek()
            assert traced.id == raised
        node = debugger.step()
        assert node.step
        assert node.step.id == traced.id
        if debugger.ended:
            debugger.back()


def test_a_step_of_before_is_looked_into_as_it_was(debugger: Debugger) -> None:
    shown = []
    for n in range(6):
        if n == 3:
            debugger.ban(debugger.peek().id)
        shown.append(debugger.peek())
        debugger.step()
        if n == 4:
            debugger.params = thimble.SamplingParams(temperature=1.5, seed=2)
    before = debugger.logits_hash()
    assert [debugger.look(node) for node in debugger.node.path()] == shown
    assert debugger.logits_hash() == before


def test_a_samplers_choice_is_kept_as_its_own(debugger: Debugger) -> None:
    seen: list[float] = []

    def third(logits: Any, context: Any) -> int:
        seen.append(logits[7])
        return sorted(range(len(logits)), key=logits.__getitem__)[-3]

    debugger.sampler = third
    debugger.edit(7, 2.5)
    node = debugger.step()
    assert node.step and node.step.how == "sampler"
    assert node.step.id == node.step.top[2][0] or 7 in debugger.edits
    assert seen == [2.5]

    def broken(logits: Any, context: Any) -> int:
        raise ValueError("no")

    debugger.sampler = broken
    with pytest.raises(thimble.SamplerError, match="ValueError: no"):
        debugger.step()
    assert debugger.in_step
    debugger.sampler = None
    debugger.step()


def test_bad_changes_are_refused(debugger: Debugger) -> None:
    n_vocab = debugger.session.model.config.n_vocab
    for bad in (-1, n_vocab, 2.0, "a"):
        with pytest.raises(thimble.OptionError, match="not in the vocabulary"):
            debugger.force(bad)  # type: ignore[arg-type]
    for value in (math.nan, math.inf, "3"):
        with pytest.raises(thimble.OptionError, match="a logit is a number"):
            debugger.edit(3, value)  # type: ignore[arg-type]
    with pytest.raises(thimble.OptionError, match="has no alternatives"):
        debugger.branch(debugger.node, 4)
    debugger.force(next(iter(debugger.session.model.tokenizer.eog_ids)))
    debugger.step()
    assert debugger.ended
    with pytest.raises(thimble.OptionError, match="ended"):
        debugger.step()
    debugger.back()
    debugger.clear()
    debugger.step()
    with pytest.raises(thimble.ContextError, match="context holds"):
        debugger.begin([5] * debugger.session.n_ctx)


# Breakpoints


def run(debugger: Debugger, most: int = 40) -> None:
    for _ in range(most):
        if debugger.ended or debugger.run() is None:
            return


def test_each_kind_of_breakpoint_stops_before_what_it_names(debugger: Debugger) -> None:
    written = steps(debugger, 40)
    known = [node.step for node in debugger.node.path()]
    path = debugger.node.path()
    n_prompt = len(debugger.tree.prompt)
    entropies = [step.entropy for step in known if step]
    probabilities = [math.exp(step.logprob) for step in known if step]
    at = next(i for i in range(12, 40) if len(path[i].text.strip()) > 1)
    text = path[at].text
    cases: dict[str, tuple[Any, int]] = {
        "token": (written[at], written.index(written[at])),
        "text": (text, next(i for i, node in enumerate(path) if text in node.text)),
        "entropy": (max(entropies) - 1e-6, entropies.index(max(entropies))),
        "probability": (min(probabilities) + 1e-9, probabilities.index(min(probabilities))),
        "position": (n_prompt + 23, 23),
    }
    for kind, (value, place) in cases.items():
        debugger.goto(debugger.tree.root)
        breakpoint_ = debugger.breakpoints.add(kind, value)
        run(debugger)
        assert debugger.hit is breakpoint_, kind
        assert len(ids(debugger)) <= place, kind
        if kind != "text":
            assert len(ids(debugger)) == place, kind
        # It goes on past it, and does not stop where it is switched off.
        before = debugger.node.depth
        assert debugger.run() is not None
        assert debugger.node.depth == before + 1
        debugger.breakpoints.switch(breakpoint_.number, False)
        debugger.goto(debugger.tree.root)
        run(debugger)
        assert debugger.hit is None
        assert ids(debugger) == written
        debugger.breakpoints.switch(breakpoint_.number, True)
        debugger.breakpoints.remove(breakpoint_.number)
    assert debugger.breakpoints.list() == []


def test_a_text_over_several_tokens_stops_before_its_last_one(debugger: Debugger) -> None:
    tokenizer = debugger.session.model.tokenizer
    tokens = tokenizer.encode("The kind duck", add_special=False)
    debugger.begin(tokens[:-1])
    debugger.breakpoints.add("text", "e kind duck")
    choice = thimble.Choice(tokens[-1], -1.0, 1.0, ())
    prompt = debugger.session.tokens
    assert debugger.breakpoints.hit(choice, prompt)
    assert not debugger.breakpoints.hit(choice, prompt[1:])
    assert not debugger.breakpoints.hit(choice, (*prompt, tokens[-1]))


@pytest.mark.parametrize(("kind", "value", "words"), [
    ("token", -1, "token id"), ("token", 1.5, "token id"), ("position", 10**9, "position"),
    ("entropy", -0.1, "entropy"), ("entropy", math.nan, "entropy"), ("probability", 1.1, "from 0"),
    ("text", "", "1 to 1000"), ("text", 5, "1 to 1000"), ("moon", 1, "no breakpoint on 'moon'"),
])  # fmt: skip
def test_bad_breakpoints_are_refused(debugger: Debugger, kind: str, value: Any, words: str) -> None:
    with pytest.raises(thimble.OptionError, match=words):
        debugger.breakpoints.add(kind, value)
    with pytest.raises(thimble.OptionError, match="no breakpoint 3"):
        debugger.breakpoints.remove(3)
