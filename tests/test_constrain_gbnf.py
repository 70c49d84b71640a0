"""GBNF as llama.cpp reads it: the grammars and texts of its own tests, and what it recorded.

Facts from llama.cpp's `tests/test-grammar-integration.cpp` and `tests/test-grammar-parser.cpp`
(MIT): which grammars it takes, and which texts.
"""

from __future__ import annotations

import pytest

import thimble
from thimble import constrain
from thimble.constrain import read_gbnf
from thimble.constrain.automaton import NOWHERE, Automaton
from thimble.constrain.network import Network

ARITHMETIC = """
root ::= expression
expression ::= term ws (("+"|"-") ws term)*
term ::= factor ws (("*"|"/") ws factor)*
factor ::= number | variable | "(" expression ")" | function-call
number ::= [0-9]+
variable ::= [a-zA-Z_][a-zA-Z0-9_]*
function-call ::= variable ws "(" (expression ("," ws expression)*)? ")"
ws ::= [ \\t\\n\\r]?"""
LONG_SUM = "123+456*789-123/456+789*123-456/789+123*456-789/123+456*789-123/456+789*123-456"

TEXTS: list[tuple[str, list[str], list[str]]] = [
    (
        'root ::= expr\nexpr ::= term ("+" term)*\nterm ::= number\nnumber ::= [0-9]+',
        ["42", "1+2+3+4+5", "123+456"],
        ["+", "/ 3", "1+2+3+4+5+", "12a45"],
    ),
    (
        ARITHMETIC,
        ["42", "1*2*3*4*5", "x", "x+10", "x1+y2", "(a+b)*(c-d)", "func()", "func(x,y+2)",
         "a*(b+c)-d/e", "f(g(x),h(y,z))", "x + 10", "(a + b) * (c - d)", "func(x, y + 2)",
         LONG_SUM],
        ["+", "/ 3x", "x + + y", "a * / b", "func(,)", "func(x y)", "(a + b", "x + y)",
         "a + b * (c - d", "42 +", "x + 10 +", "func(", "f(g(x), h(y, z)", LONG_SUM + "/"],
    ),
    (
        'root ::= ... "abc" ...',
        ["abcabcabc", "aaaabcccc", "🔵🟠✅abc❌🟠🔵"],
        ["aaabcccc", "aaaaabcccc", "aaaabccc", "🔵🟠✅❌abc❌✅🟠🔵", "🔵🟠abc🟠🔵"],
    ),
    ('root ::= "a"*', ["", "a", "a" * 60], ["b", "ab", "ba", "a" * 60 + "b"]),
    ('root ::= "a"+', ["a", "a" * 60], ["", "b", "ab", "ba"]),
    ('root ::= "a"?', ["", "a"], ["b", "ab", "aa", "ba"]),
    (
        "root ::= cons+ vowel* cons? (vowel cons)*\nvowel ::= [aeiouy]\n"
        "cons ::= [bcdfghjklmnpqrstvwxyz]",
        ["yes", "no", "noyes", "crwth", "four", "bryyyy"],
        ["yess", "yesno", "forty", "catyyy"],
    ),
    ("root ::= [ab]{4}", ["aaaa", "bbbb", "abab"], ["a", "b", "aaaaa"]),
    ("root ::= [ab]{4,}", ["aaaa", "aaaaab", "ababab"], ["", "aba"]),
    ("root ::= [ab]{0,4}", ["", "a", "aaab"], ["aaaaa"]),
    (
        'root ::= ("0x" [A-F0-9]{2} " "?){3,5}',
        ["0xFF 0x12 0xAB", "0xFF 0x12 0xAB 0x00 0x00"],
        ["", "0xFF", "0xFF 0x12", "0xFF 0x12 0xAB 0x00 0x00 0x00"],
    ),
    ("root ::= ( [x]* )*", ["", "x", "xx"], ["y", "yy"]),
    # Not in its tests; what its parser does
    ('root ::= (\n  "a" # one\n | "b"\n) |\n "c" "d"\r\n', ["a", "b", "cd"], ["c", "ad"]),
    ("root ::= [^\\n\\x41-\\u0043é] [a-] [\\]\\-x]", ["Da-", "ea]"], ["Aa-", "éa-", "Dbx"]),
    ('root ::= "\\U0001F600\\"\n"', ['😀"\n'], ['😀"']),
    ('root ::= "ab"{2} [] x\nx ::= "c"\nx ::= "d"', ["ababd"], ["ababc", "abbd"]),
    ('root ::= ("ab" "c"{ 1 , 2 }){2}', ["abcabcc"], ["abc"]),
]  # fmt: skip


@pytest.mark.parametrize(("source", "yes", "no"), TEXTS, ids=lambda one: str(one)[:30])
def test_texts_of_a_grammar(source: str, yes: list[str], no: list[str]) -> None:
    automaton = Automaton(Network(read_gbnf.parse(source), "root", left_recursion=False))

    def accepts(text: str) -> bool:
        state = 0
        for byte in text.encode():
            state = automaton.step(state, byte) if state != NOWHERE else NOWHERE
        return state != NOWHERE and automaton.accepting[state]

    assert [text for text in yes if not accepts(text)] == []
    assert [text for text in no if accepts(text)] == []


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ('root ::= "a"{,}', "{n}, {n,} and {n,m}"),
        ('root ::= "a"{,10}', "{n}, {n,} and {n,m}"),
        ("root ::= (((((([^x]*){0,99}){0,99}){0,99}){0,99}){0,99}){0,99}", "2,000 times"),
        ('root ::= "a"{5000}', "2,000 times"),
        ('root ::= "a"{5000,}', "2,000 times"),
        ('root ::= "a"{5000,6000}', "2,000 times"),
        ('rot ::= "a"', "no rule 'root'"),
        ("root ::= expr\nexpr ::= numero\nnumber ::= [0-9]+", "no rule 'numero'"),
        ('root ::= "a" | root "a"', "left recursion"),
        ('root ::= asdf\nasdf ::= "a" | asdf "a"', "left recursion"),
        ('root ::= asdf\nasdf ::= "a" | foo "b"\nfoo ::= "c" | asdf "d" | "e"', "left recursion"),
        ('root ::= asdf\nasdf ::= "a" | foo "b"\nfoo ::= "c" | empty asdf "d" | "e"\n'
         'empty ::= "blah" |', "left recursion"),
        ('root ::= "a"\n "b"', "line 2, column 2: a rule, name ::= ..., should begin"),
        ('root ::= "a" x ::= "b"', "'::= \"b\"' cannot stand in a rule"),
        ("root ::= <[12> ", "a token is written"),
        ("root ::= !x", "a token is written"),
        ('root ::= "\\q"', "line 1, column 11: GBNF has no escape '\\\\q'"),
        ('root ::= ("a"', "line 1, column 10: this bracket is never closed"),
        ('root ::= ("a" ]', "line 1, column 15: ']' cannot stand here"),
        ('root ::= | *', "* has nothing before it to repeat"),
        ("root ::= [z-a]", "backwards"),
    ],
)  # fmt: skip
def test_what_is_refused_is_said(source: str, words: str) -> None:
    with pytest.raises(thimble.OptionError) as caught:
        constrain.gbnf(source)
    assert words in str(caught.value)


def test_brackets_may_be_as_deep_as_the_text_is_long() -> None:
    source = "root ::= " + '("x" ' * 900 + ")?" * 900
    automaton = Automaton(Network(read_gbnf.parse(source), "root", left_recursion=False))
    state = 0
    for _ in range(899):
        state = automaton.step(state, ord("x"))
    assert automaton.accepting[state]
