"""The Step panel's service, called natively, as a page would call it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.test_browser import ask, fails, load, rows_of, write
from thimble.browser import Engine

PROMPT = "Mia had a little"
SETTINGS = json.dumps({"temperature": 0.9, "seed": 7, "top_k": 30, "max_tokens": 12})


class Page:
    """What a page knows: the text's tokens, kept up by the views that come."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.session = ask(engine, "open", "tiny", "{}")
        self.tokens: list[list[Any]] = []
        self.view: dict[str, Any] = {}

    def __call__(self, method: str, *arguments: object) -> dict[str, Any]:
        known = [] if method in ("begin", "open") else [len(self.tokens)]
        if method == "view":
            known = [json.dumps([token[1] for token in self.tokens])]  # type: ignore[list-item]
        self.view = ask(self.engine, f"step.{method}", self.session, *known, *arguments)
        assert self.view["keep"] <= len(self.tokens)
        self.tokens = self.tokens[: self.view["keep"]] + self.view["tokens"]
        assert self.view["context"] == len(self.engine.opened(self.session).session)
        return self.view

    def fails(self, method: str, *arguments: object) -> tuple[str, str]:
        known = len(self.tokens)
        return fails(self.engine, f"step.{method}", self.session, known, *arguments)

    def steps(self, n: int) -> list[int]:
        for _ in range(n):
            self("step", SETTINGS)
        return self.ids

    @property
    def ids(self) -> list[int]:
        return [token[1] for token in self.tokens]


@pytest.fixture
def page() -> Page:
    engine = Engine()
    load(engine)
    made = Page(engine)
    made("begin", PROMPT, SETTINGS)
    return made


def test_a_step_brings_one_token_and_the_next_draw(page: Page) -> None:
    assert page.view["prompt"][1] == PROMPT
    drawn = page.view["next"]["id"]
    view = page("step", SETTINGS)
    assert (view["keep"], len(view["tokens"])) == (0, 1)
    assert page.ids == [drawn]
    view = page("step", SETTINGS)
    assert (view["keep"], len(view["tokens"])) == (1, 1)
    assert view["next"]["rows"][0][2] == "kept"
    view = page("back")
    assert (view["keep"], view["tokens"], view["ahead"]) == (1, [], 1)


def test_what_was_written_elsewhere_is_there_with_all_that_is_known(page: Page) -> None:
    page.steps(3)
    engine, session = page.engine, page.session
    for continued, steps in ((True, 3), (False, 0)):
        batches = write(
            engine, session, "" if continued else "Sam", logprobs=True, top_logprobs=10,
            max_tokens=5, seed=3, **{"continue": continued},
        )  # fmt: skip
        fresh = [[*token, ""] for token in rows_of(batches)]
        page.tokens = (page.tokens if continued else []) + fresh
        before = [token[1:] for token in page.tokens]
        view = page("view")
        assert (view["keep"], view["tokens"]) == (steps + 5, [])
        assert view["prompt"][1] == (PROMPT if continued else "Sam")
        page("go", 0)
        assert page.tokens == []
        page("go", steps + 5)
        assert [token[1:] for token in page.tokens] == before


def test_a_session_that_others_filled_is_read_again(page: Page) -> None:
    """After the worker was lost, say: the tokens are there and nobody knows more."""
    ids = page.steps(6)
    known = [token[1:5] for token in page.tokens]
    tokens = page.engine.opened(page.session).session.tokens
    other = Page(page.engine)
    other.tokens = page.tokens
    session = page.engine.opened(other.session).session
    session.append(tokens)
    view = other("view")
    assert (view["keep"], view["tokens"], view["ahead"]) == (6, [], 0)
    other("go", 0)
    other("go", 6)
    assert other.ids == ids
    assert [token[1:5] for token in other.tokens] == known
    session.rollback(3)
    view = other("view")
    assert (view["keep"], view["tokens"], view["prompt"][0]) == (0, [], 3)


def test_a_run_stops_for_each_reason(page: Page) -> None:
    page("stop_at", "position", json.dumps(page.view["prompt"][0] + 4))
    page("start", SETTINGS)
    views = [page("run", 0)]
    while views[-1]["over"] is None:
        views.append(page("run", 0))
    assert views[-1]["over"] == "breakpoint"
    assert views[-1]["hit"] == 1
    assert views[-1]["next"]
    assert views[0]["next"] is None
    assert len(page.tokens) == 4
    page("switch_stop", 1, 0)
    page("start", SETTINGS)
    while page("run", 5)["over"] is None:
        pass
    assert page.view["over"] == "limit"
    assert len(page.tokens) == 16
    eog = next(iter(page.engine.opened(page.session).model.tokenizer.eog_ids))
    page("force", eog)
    assert page.view["forced"] == eog
    page("step", SETTINGS)
    assert page.view["reason"] == "stop"
    assert page.view["next"] is None
    page("start", SETTINGS)
    assert page("run", 5)["over"] == "end"
    page("back")
    assert page.view["reason"] is None


def test_a_stop_string_ends_the_text_and_says_so(page: Page) -> None:
    page.steps(10)
    texts = [token[0] for token in page.tokens]
    whole = "".join(texts)
    stop = (texts[5] + texts[6] + texts[7])[1:-1]
    assert whole.count(stop) == 1
    wanted = json.dumps({**json.loads(SETTINGS), "stop": stop})
    page("begin", PROMPT, wanted)
    page("start", wanted)
    while page("run", 0)["over"] is None:
        assert (page.view["stopped"] is None) == (page.view["reason"] is None)
    assert (page.view["over"], page.view["reason"]) == ("end", "stop")
    assert page.view["stopped"] == stop
    assert page.view["next"] is None
    assert "".join(token[0] for token in page.tokens) == whole[: whole.index(stop)]
    assert page("back")["stopped"] is None
    assert [token[0] for token in page.tokens] == texts[: len(page.tokens)]


def test_the_prompts_tokens_are_told(page: Page) -> None:
    rows = ask(page.engine, "step.given", page.session)
    assert [row[1] for row in rows] == list(page.engine.opened(page.session).session.tokens)
    assert "".join(row[0] for row in rows) == PROMPT
    assert rows[0][2:5] == [None, None, []]
    assert all(row[2] < 0 and row[3] > 0 and len(row[4]) == 10 for row in rows[1:])


def test_breakpoints_are_listed_switched_and_removed(page: Page) -> None:
    page("stop_at", "token", json.dumps(" the"))
    page("stop_at", "entropy", "2.5")
    assert page.view["breakpoints"][0][1:] == [
        "token",
        page.view["breakpoints"][0][2],
        True,
        " the",
    ]
    page("switch_stop", 2, 0)
    assert page.view["breakpoints"][1] == [2, "entropy", 2.5, False, ""]
    page("drop_stop", 1)
    assert [one[0] for one in page.view["breakpoints"]] == [2]
    assert "tokens" in page.fails("stop_at", "token", json.dumps("the moon in the sky"))[1]


def test_branches_are_told_and_compared(page: Page) -> None:
    first = page.steps(8)
    other = page.tokens[3][4][5][0]
    page("branch", 3, other)
    assert page.ids == [*first[:3], other]
    assert page.tokens[3][5] == "forced"
    page.steps(2)
    assert page.view["branches"] == [
        [1, "Branch 1", 8, 0, False, None],
        [2, "Branch 2", 6, 3, True, 1],
    ]
    page("rename", 2, "the other way")
    compared = ask(page.engine, "step.compare", page.session, 1, 2)
    assert compared["common"] == 3
    assert [token[1] for token in compared["sides"][0]] == first[3:]
    assert [token[1] for token in compared["sides"][1]] == page.ids[3:]
    page("switch", 1)
    assert page.ids == first
    assert page.view["keep"] == 3
    page("drop", 2)
    assert len(page.view["branches"]) == 1


def test_edits_are_shown_and_undone(page: Page) -> None:
    rows = page.view["next"]["rows"]
    page("ban", rows[0][0])
    banned = next(row for row in page.view["next"]["rows"] if row[0] == rows[0][0])
    assert banned[2:5] == ["no_weight", rows[0][3], None]
    assert banned[8] is True
    page("edit", rows[5][0], 40.0)
    assert page.view["next"]["id"] == rows[5][0]
    page("clear", rows[5][0])
    page("clear", None)
    assert page.view["next"]["rows"] == rows
    page("force", rows[3][0])
    assert (page.view["next"]["id"], page.view["next"]["how"]) == (rows[3][0], "forced")
    before = page.view["next"]
    page("step", SETTINGS)
    looked = ask(page.engine, "step.look", page.session, 0)
    assert looked == {**before, "bits": None}


def test_a_saved_run_is_opened_by_another_engine(page: Page) -> None:
    page.steps(4)
    page("ban", page.view["next"]["id"])
    page.steps(3)
    content = ask(page.engine, "step.save", page.session)
    engine = Engine()
    load(engine)
    other = Page(engine)
    other("open", content)
    while not other.view["replay"]["over"]:
        other("replay", 0.1)
    assert other.view["replay"]["mismatch"] is None
    assert other.view["replay"]["done"] == 7
    assert other.view["replay"]["params"]["seed"] == 7
    assert other.tokens == page.tokens
    changed = json.loads(content)
    changed["steps"][3]["id"] += 1
    other("open", json.dumps(changed))
    while not other.view["replay"]["over"]:
        other("replay", 5)
    replay: dict[str, Any] = other.view["replay"]
    assert replay["mismatch"]["step"] == 4
    assert fails(engine, "step.open", other.session, "{}")[0] == "FormatError"


def test_the_visitors_sampler_steps_too_and_its_failure_leaves_the_text(page: Page) -> None:
    page.steps(2)
    opened = page.engine.opened(page.session)
    opened.sampler = lambda logits, context: 40
    assert page.steps(1)[-1] == 40
    assert page.tokens[-1][5] == "your sampler"

    def broken(logits: Any, context: Any) -> int:
        raise ValueError("not today")

    opened.sampler = broken
    kind, words = page.fails("step", SETTINGS)
    assert kind == "SamplerError"
    assert "ValueError: not today (line" in words
    assert len(page("view")["tokens"]) + page.view["keep"] == 3


def test_without_a_text_nothing_is_shown_and_a_step_says_so() -> None:
    engine = Engine()
    load(engine)
    page = Page(engine)
    view = page("view")
    assert (view["next"], view["context"], view["prompt"]) == (None, 0, [0, ""])
    assert "no token yet" in page.fails("step", SETTINGS)[1]
    assert "temperature" in page.fails("step", json.dumps({"temperature": -1}))[1]


def test_a_text_goes_on_in_its_shape_from_write_to_step_and_back(page: Page) -> None:
    engine, session = page.engine, page.session
    shape = {"kind": "regex", "source": "[a-z ]{30}"}
    options = json.dumps({"seed": 7, "grammar": shape})
    wanted = rows_of(write(engine, session, PROMPT, grammar=shape, seed=7, logprobs=True))
    whole = "".join(row[0] for row in wanted)
    assert len(whole) == 30
    text = ""
    for turn in range(3):
        if turn % 2 == 0:
            more = rows_of(write(
                engine, session, "" if turn else PROMPT, grammar=shape, seed=7, max_tokens=2,
                logprobs=True, **{"continue": turn > 0},
            ))  # fmt: skip
            text += "".join(row[0] for row in more)
            page("view", options)
        else:
            view = page("step", options)
            assert view["next"]["allowed"] < view["next"]["vocabulary"]
            assert not view["whole"]
            text += view["tokens"][0][0]
    assert whole.startswith(text)
    page("start", json.dumps({**json.loads(options), "max_tokens": 300}))
    while (view := page("run", 5))["over"] is None:
        pass
    assert (view["over"], view["reason"], view["whole"]) == ("end", "stop", True)
    assert "".join(token[0] for token in page.tokens) == whole
    # A file brings it along.
    content = ask(engine, "step.save", session)
    view = page("open", content)
    assert view["replay"]["constraint"] == shape
    while not (view := page("replay", 5))["replay"]["over"]:
        pass
    assert view["replay"]["mismatch"] is None
    assert "".join(token[0] for token in page.tokens) == whole


def test_a_shape_that_is_none_is_refused_and_the_text_stays(page: Page) -> None:
    page.steps(2)
    wrong = json.dumps({"grammar": {"kind": "regex", "source": "(a"}})
    kind, words = page.fails("step", wrong)
    assert kind == "OptionError" and "never closed" in words
    shape = json.dumps({"grammar": {"kind": "regex", "source": "[a-c]{99}"}})
    view = page("settings", shape)
    forbidden = [row for row in view["next"]["rows"] if row[2] == "constraint"]
    assert forbidden and all(row[4] is None for row in forbidden)
    kind, words = page.fails("force", forbidden[0][0])
    assert kind == "OptionError" and "the constraint does not allow" in words
    assert page("step", shape)["tokens"][0][0].strip("abc") == ""
