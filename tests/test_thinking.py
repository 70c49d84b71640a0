"""Thoughts: where templates have them, how they are switched, and that they are told apart."""

from __future__ import annotations

from typing import Any, cast

import pytest

import thimble
from tests.test_conversation import CHATML
from tests.test_tools import EOG, TOOLS, model
from tests.tiny_models import SPECS, make
from thimble.chatting import Chat, ChatChunk
from thimble.errors import OptionError
from thimble.speculate import Speculative
from thimble.thinking import Budget, Marks

ASKED = [{"role": "user", "content": "Why?"}]
BLOCK = "<think>\n\n</think>\n\n"
# As Qwen3's, DeepSeek R1's and a distilled model's do it.
SWITCHED = CHATML + (
    "{% if add_generation_prompt and enable_thinking is defined and not enable_thinking %}"
    + BLOCK
    + "{% endif %}"
)
ALWAYS = CHATML + "{% if add_generation_prompt %}<think>\n{% endif %}{# </think> #}"
UNSAID = CHATML + "{# </think> #}"
HISTORY = CHATML.replace("message['content']", "message['content'].split('</think>')[-1]")


def prompt(template: str, **options: Any) -> str:
    return EOG.decode(Chat(model(template), **options).ids(ASKED), at_start=False)


@pytest.mark.parametrize(
    ("template", "thinking", "end"),
    [
        (SWITCHED, None, "assistant\n"),
        (SWITCHED, True, "assistant\n"),
        (SWITCHED, False, "assistant\n" + BLOCK),
        (ALWAYS, None, "assistant\n<think>\n"),
        (ALWAYS, False, "assistant\n<think>\n\n</think>\n\n"),
        (UNSAID, None, "assistant\n"),
        (UNSAID, False, "assistant\n" + BLOCK),
        (CHATML, False, "assistant\n"),
    ],
)
def test_thoughts_are_switched(template: str, thinking: bool | None, end: str) -> None:
    assert prompt(template, enable_thinking=thinking).endswith(end)
    if thinking is False:
        assert prompt(template, reasoning_effort="none").endswith(end)
        assert prompt(template, constrained=True).endswith(end)
        assert prompt(template, tools=TOOLS, tool_choice="required").endswith(end)


def test_an_answer_knows_whether_it_begins_in_a_thought() -> None:
    for template, thinking, inside in (
        (ALWAYS, None, True), (ALWAYS, False, False), (UNSAID, None, False),
    ):  # fmt: skip
        chat = Chat(model(template), enable_thinking=thinking)
        assert chat.reply(chat.ids(ASKED)).thinking is inside


def test_thoughts_of_earlier_turns_go_as_the_template_wants() -> None:
    answer = {"role": "assistant", "content": "<think>x</think>So", "reasoning_content": "x"}
    said = [*ASKED, answer, *ASKED]
    text = EOG.decode(Chat(model(HISTORY)).ids(said), at_start=False)
    assert "<|im_start|>assistant\nSo<|im_end|>" in text


def test_what_is_no_effort_is_named() -> None:
    for wrong in (
        {"reasoning_effort": "much"}, {"enable_thinking": "yes"}, {"thinking_budget": -1},
        {"thinking_budget": True}, {"thinking_budget": "3"},
    ):  # fmt: skip
        with pytest.raises(OptionError, match=next(iter(wrong))):
            Chat(model(SWITCHED), **wrong)


def thinker(template: str) -> thimble.Model:
    """A model of random weights that never closes a thought by itself."""
    made = thimble.load(make(SPECS["f32"]))
    made.metadata["tokenizer.chat_template"] = template
    return made


def answered(model: thimble.LanguageModel, **options: Any) -> list[ChatChunk]:
    params = thimble.SamplingParams(max_tokens=40, top_logprobs=2)
    return list(model.session().chat(ASKED, params, **options))


def told(chunks: list[ChatChunk], kind: str) -> str:
    return "".join(part.text for chunk in chunks for part in chunk.parts if part.kind == kind)


@pytest.mark.parametrize("budget", [0, 1, 7])
def test_a_thought_is_closed_at_its_budget(budget: int) -> None:
    made = thinker(ALWAYS)
    free = answered(made)
    assert told(free, "content") == "" and told(free, "reasoning")
    chunks = answered(made, thinking_budget=budget)
    close = made.tokenizer.encode("\n</think>\n\n", parse_special=True)
    ids = [chunk.token.id for chunk in chunks]
    begin = ids.index(close[0], budget)
    # A character that was begun may take three tokens more.
    assert budget <= begin <= budget + 3 and ids[begin : begin + len(close)] == close
    assert ids[:begin] == [chunk.token.id for chunk in free][:begin]
    assert told(chunks, "content") and "think>" not in told(chunks, "content")
    forced = chunks[begin].token
    assert forced.logprob < 0 and len(forced.top) == 2
    made.close()


def test_a_budget_that_is_not_reached_changes_nothing() -> None:
    made = thinker(ALWAYS)
    assert answered(made, thinking_budget=40) == answered(made)
    assert answered(made, thinking_budget=0, enable_thinking=False) == answered(
        made, enable_thinking=False
    )
    made.close()


def test_a_draft_changes_nothing_of_a_budgets_answer() -> None:
    made, draft = thinker(ALWAYS), thimble.load(make(SPECS["f32"]))
    both = Speculative(made, draft)
    drafted = [chunk.token.id for chunk in answered(both, thinking_budget=5)]
    assert drafted == [chunk.token.id for chunk in answered(made, thinking_budget=5)]


def test_a_thought_that_is_opened_later_or_closed_alone_is_seen() -> None:
    marks, tokenizer = Marks("<think>", "</think>"), cast(Any, EOG)

    def at(text: str, most: int, *, inside: bool = False) -> str | None:
        budget = Budget(tokenizer, marks, most, start=1, inside=inside)
        token = budget([0, *EOG.encode(text, parse_special=True)])
        return None if token is None else EOG.decode([token], at_start=False)

    assert at("<think>", 0) == "\n" and at(" \n<think>", 0) == "\n"
    assert at("<think>", 1) is None and at("<thi", 0) is None
    assert at("So <think>", 0) is None, "words, not a thought"
    assert at("abc", 99, inside=True) is None and at("abc", 1, inside=True) == "\n"
    assert at("a</think>b", 99, inside=True) is None
    budget = Budget(tokenizer, marks, 0, start=0, inside=True)
    written: list[int] = []
    while (token := budget(written)) is not None:
        written.append(token)
    assert EOG.decode(written, at_start=False) == "\n</think>\n\n"
    assert budget([*written, 1]) is None and budget([]) == written[0], "and again after a rollback"
