"""Thoughts: where templates have them, how they are switched, and that they are told apart."""

from __future__ import annotations

from typing import Any

import pytest

from tests.test_conversation import CHATML
from tests.test_tools import EOG, TOOLS, model
from thimble.chatting import Chat
from thimble.errors import OptionError

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
    for wrong in ({"reasoning_effort": "much"}, {"enable_thinking": "yes"}):
        with pytest.raises(OptionError, match=next(iter(wrong))):
            Chat(model(SWITCHED), **wrong)  # type: ignore[arg-type]
