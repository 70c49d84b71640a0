"""Tokens that a grammar names: GBNF's `<[12]>`, `<think>` and `!` before them.

Grammars and sequences are those of llama.cpp's `tests/test-grammar-integration.cpp` (MIT), where
T(10) is token 10.
"""

from __future__ import annotations

import re
from typing import Any

import pytest

import thimble
from thimble import constrain
from thimble.constrain.masks import Constraint
from thimble.kernel import default_kernel

END = 298
NAMES = {300: "<think>", 301: "</think>"}


class Letters:
    """A vocabulary of all single bytes (tokens 40 to 295), an end, and special tokens."""

    n_vocab = 310
    eog_ids = frozenset({END})
    adds_space = False

    def token_bytes(self, token: int) -> bytes:
        if 40 <= token < 296:
            return bytes([token - 40])
        return NAMES.get(token, f"<special {token}>").encode()

    def is_special(self, token: int) -> bool:
        return not 40 <= token < 296


def tokens(text: str | int) -> list[int]:
    return [text] if isinstance(text, int) else [40 + byte for byte in text.encode()]


LETTERS: Any = Letters()


def accepts(grammar: constrain.Grammar, *parts: str | int) -> bool:
    """Whether a text is of a grammar; each of its tokens must be allowed where it stands, too."""
    constraint = Constraint(default_kernel(), LETTERS, grammar, 0, False)
    said: list[int] = []
    for token in (token for part in parts for token in tokens(part)):
        try:
            allowed = constraint.allows(said, token)
        except thimble.OptionError as error:
            assert "no token of this model can go on" in str(error)
            return False
        if not allowed:
            return False
        said.append(token)
    return constraint.accepts(said)


REASONING = """
root ::= reasoning+ content tool-call*
reasoning ::= <[10]> (!<[11]>)* <[11]>
content ::= <[20]> (!<[21]>)* <[21]>
tool-call ::= <[12]> name <[13]> args <[14]>
name ::= (!<[13]>)+
args ::= (!<[14]>)*"""


@pytest.mark.parametrize(
    ("source", "yes", "no"),
    [
        (
            "root ::= <[10]> content <[11]>\ncontent ::= (!<[11]>)*",
            [
                (10, "hello world", 11),
                (10, "text with ", 12, " other tokens ", 13, " mixed in", 11),
                (10, 11),
                (10, 12, 13, 14, 15, 11),
            ],
            [(10, "missing end token"), (10,), ("missing start token", 11), (10, 11, 11),
             (11, "wrong order", 10)],
        ),
        (
            REASONING,
            [
                (10, "I am thinking", 11, 20, "hello world!", 21, 12, "search", 13, "q=1", 14),
                (10, "reasoning 1", 11, 10, "reasoning 2", 11, 20, 21, 12, "tool", 13, 14),
                (10, 11, 20, "content", 21),
                (10, "think", 12, " nested", 11, 20, 10, "more", 21, 12, "fn", 13, "x", 14, 12,
                 "f", 13, 14),
            ],
            [(20, "content only", 21), (10, "no closing reasoning"), (10, 11, 20, "no closing"),
             (10, 11, 20, 21, 12, "incomplete"), (10, 11, 11, 20, 21)],
        ),
        (
            "root ::= <think> thinking </think> .*\nthinking ::= !</think>*",
            [(300, "a<b", 301, "said"), (300, 12, 301)],
            [("<think>", 301), (300, "a"), (300, 301, 300)],
        ),
        # A token that may come as such, and as what it says, is both
        ('root ::= (<[105]> | "A" "A") "B"', [("A", "B"), ("A", "A", "B")], [("B",), ("A",)]),
        (f"root ::= \"a\" <[{END}]>", [("a", END)], [("a",), (END,)]),
    ],
    ids=["content", "reasoning", "names", "both", "an end"],
)  # fmt: skip
def test_tokens_of_a_grammar(
    source: str, yes: list[tuple[str | int, ...]], no: list[tuple[str | int, ...]]
) -> None:
    grammar = constrain.gbnf(source)
    assert [parts for parts in yes if not accepts(grammar, *parts)] == []
    assert [parts for parts in no if accepts(grammar, *parts)] == []


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("root ::= <nobody>", "names the token '<nobody>'; this model has none such"),
        ("root ::= <[310]>", "names token 310; this model's last one is 309"),
    ],
)
def test_tokens_that_a_model_lacks_are_named(source: str, words: str) -> None:
    grammar = constrain.gbnf(source)
    with pytest.raises(thimble.OptionError, match=re.escape(words)):
        Constraint(default_kernel(), LETTERS, grammar, 0, False)


def test_the_end_comes_only_where_the_grammar_ends() -> None:
    grammar = constrain.gbnf("root ::= (!<[11]>)* <[11]>")
    constraint = Constraint(default_kernel(), LETTERS, grammar, 0, False)
    assert not constraint.allows([], END)
    assert constraint.count([]) == Letters.n_vocab - 1
    assert constraint.allows([11], END)
    assert constraint.count([11]) == 1
    assert constraint.complete([11])
