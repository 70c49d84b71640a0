"""Lark grammars as LLGuidance reads them; it is the judge, from PyPI's `llguidance`."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import llguidance
import pytest

import thimble
from tests.test_constrain_tokens import END, LETTERS, accepts
from thimble import constrain
from thimble.constrain.lexed import Grammar, LexedProgram
from thimble.constrain.masks import Constraint
from thimble.kernel import default_kernel
from thimble.sampling import SamplingParams

NAMES = Path(__file__).resolve().parent.parent / "web" / "models" / "names.gguf"
BYTES: Any = llguidance.LLTokenizer("byte")


@pytest.fixture(scope="module")
def model() -> Iterator[thimble.Model]:
    loaded = thimble.load(NAMES)
    yield loaded
    loaded.close()


def judge(source: str) -> Any:
    grammar = llguidance.LLMatcher.grammar_from_lark(source)
    return llguidance.LLMatcher(BYTES, grammar, log_level=0)


def judged(matcher: Any, text: bytes) -> bool:
    """Whether a text is whole for LLGuidance."""
    matcher.reset()
    if matcher.validate_tokens(list(text)) < len(text):
        return False
    return bool((not text or matcher.consume_tokens(list(text))) and matcher.is_accepting())


def follows(program: LexedProgram, text: bytes) -> bool:
    state = 0
    for byte in text:
        state = program.row(state)[byte]
        if state < 0:
            return False
    return program.accepting(state)


TEXTS: list[tuple[str, list[str], list[str]]] = [
    (
        'start: expr\nexpr: expr "+" term | term\nterm: term "*" factor | factor\n'
        'factor: "(" expr ")" | NUMBER\nNUMBER: /[0-9]+/\n%ignore /[ \\t]+/',
        ["1", "1+2*(3+4) * 5", "( 1 )+ 2 "],
        ["1 2", "1++2", "(1", "1 23+"],
    ),
    (
        "start: (f_foo | f_bar)* f_end\nf_end: TEXT\nTEXT: /(.|\\n)*/\n"
        'f_foo_hd[lazy]: TEXT "<function"\nf_foo: f_foo_hd "=foo>" /[a-z]+/ "</function>"\n'
        'f_bar_hd[lazy]: TEXT "<function"\nf_bar: f_bar_hd "=bar>" /[0-9]+/ "</function>"',
        ["", "text", "a <function=foo>x</function> b <function=bar>12</function>\nc", "<func"],
        ["<function", "<function=baz>", "<function=bar>x</function>"],
    ),
    (
        "start: \"'foo'\" /a+/ | STRING /b+/\nSTRING: /'[^']*'/",
        ["'foo'a", "'foo'aaa", "'bar'b", "'bar'bbb", "'foo'bb"],
        ["'bar'a", "'bar'c"],
    ),
    ("start: /.../ \"abc\" /.../", ["abcabcabc", "aaaabcccc"], ["aaabcccc", "aaaabccc"]),
    ("start: /a+/ \"a\"", [], ["a", "aa", "aaa"]),  # a lexeme is as long as it can be
    ('start: ab{3,5}\nab: "a" | "b"', ["aba", "aabaa"], ["aa", "aaaaaa"]),
    ('start: ab{,2} "c"~2\nab: "a" | "b"', ["cc", "abcc"], ["abacc", "abc"]),
    (
        "start: LINES\nLINES: /[a-zA-Z \\n]*/ & ~/(?s:.*)\\n\\n(?s:.*)/",
        ["a\nb\nc", "\n"],
        ["a\n\nb", "1"],
    ),
    (
        'start: HEAD [BODY] "X"i\n'
        'HEAD: "a".."c" | "ß"i\nBODY: HEAD~2',
        ["ax", "ẞX", "abcX"],
        ["abX", "dX"],
    ),
    (
        "%import common.INT\n%import common.CNAME -> NAME\n"
        "%import common (WS_INLINE, SIGNED_FLOAT)\n"
        'start: NAME "=" (INT | SIGNED_FLOAT)\n%ignore WS_INLINE',
        ["x = 12", "x=-1.5e3", "_a1\t= .5"],
        ["1x=1", "x = y", "x ="],
    ),
    (
        'start: before "!"\nbefore[suffix="--"]: /[a-z -]*/',
        ["ab--!", "a-b--!"],
        ["ab--c--!", "ab!"],
    ),
    ("start: W (\",\" W)*\nW: /\\w+/\n// a comment\n%ignore / +/  # another", ["é, ж1"], ["é ж"]),
]  # fmt: skip


@pytest.mark.parametrize(("source", "yes", "no"), TEXTS, ids=lambda one: str(one)[:30])
def test_texts_of_a_grammar(source: str, yes: list[str], no: list[str]) -> None:
    program, matcher = LexedProgram(Grammar(source), 64), judge(source)
    assert not matcher.get_error()
    assert [text for text in yes if not follows(program, text.encode())] == []
    assert [text for text in no if follows(program, text.encode())] == []
    assert [text for text in yes if not judged(matcher, text.encode())] == []
    assert [text for text in no if judged(matcher, text.encode())] == []


class Made:
    """Grammars at random."""

    def __init__(self, seed: int) -> None:
        self.rng = random.Random(seed)
        self.tokens = ["A"]

    def pattern(self, deep: int) -> str:
        draw = self.rng.random()
        if deep == 0 or draw < 0.4:
            return self.rng.choice(["a", "b", "c", "[ab]", "[^a]", ".", "ab", "\\d", "1"])
        if draw < 0.6:
            return self.pattern(deep - 1) + self.pattern(deep - 1)
        if draw < 0.75:
            return f"({self.pattern(deep - 1)}|{self.pattern(deep - 1)})"
        return f"({self.pattern(deep - 1)})" + self.rng.choice(["*", "+", "?", "{1,2}", "{2}"])

    def terminal(self, deep: int) -> str:
        draw = self.rng.random()
        if deep == 0 or draw < 0.3:
            return self.rng.choice(['"a"', '"b"', '"ab"', '"B"i', '"a".."c"'])
        if draw < 0.5:
            return f"/{self.pattern(2)}/"
        if draw < 0.6:
            return self.rng.choice(self.tokens)
        inside = self.terminal(deep - 1)
        if draw < 0.75:
            return f"{inside} {self.terminal(deep - 1)}"
        if draw < 0.85:
            return f"({inside} | {self.terminal(deep - 1)})"
        if draw < 0.95:
            return f"({inside})" + self.rng.choice(["*", "+", "?", "{1,2}", "~2"])
        return f"({inside} & {self.terminal(deep - 1)})"

    def rule(self, deep: int) -> str:
        draw = self.rng.random()
        if deep == 0 or draw < 0.25:
            return self.rng.choice(['"a"', '"b"', '"c"', '"ab"', "A", "B", f"/{self.pattern(1)}/"])
        if draw < 0.45:
            return self.rng.choice(["start", "x", "y"])
        inside = self.rule(deep - 1)
        if draw < 0.65:
            return f"{inside} {self.rule(deep - 1)}"
        if draw < 0.8:
            return f"({inside} | {self.rule(deep - 1)})"
        return f"({inside})" + self.rng.choice(["*", "+", "?", "{1,2}", "{2}"])

    def grammar(self) -> str:
        lines = [f"start: {self.rule(3)} | {self.rule(2)}"]
        for name in "xy":
            attribute = self.rng.choice([*[""] * 6, "[lazy]", '[suffix="c"]'])
            body = self.terminal(2) if attribute else f"{self.rule(2)} | {self.rule(2)}"
            lines.append(f"{name}{attribute}: {body}")
        self.tokens = ['"b"']
        lines.append(f"A: {self.terminal(2)}")
        self.tokens = ["A"]
        lines.append(f"B: {self.terminal(2)}")
        if self.rng.random() < 0.4:
            lines.append("%ignore " + self.rng.choice(["/ +/", '" "', "/[ 1]+/", "/#[^#]*#/"]))
        if self.rng.random() < 0.1:
            lines.insert(0, '%llguidance {"ignore_once": true}')
        return "\n".join(lines) + "\n"

    def text(self) -> bytes:
        letters = (self.rng.choice("aabbc1 B#") for _ in range(self.rng.randint(0, 7)))
        return "".join(letters).encode()


def test_any_grammar_means_what_it_means_to_llguidance() -> None:
    """But what is ignored may stand before the first lexeme there where that may be empty."""
    made = Made(1)
    compared = accepted = 0
    while compared < 300:
        source = made.grammar()
        matcher = judge(source)
        try:
            program = LexedProgram(Grammar(source), 64)
        except thimble.OptionError as error:
            assert "no text" in str(error)  # which LLGuidance finds out while it is written
            continue
        assert not matcher.get_error(), source
        if "%ignore" in source and program.accepting(0):
            continue
        compared += 1
        for _ in range(12):
            text = made.text()
            expected = judged(matcher, text)
            accepted += expected
            assert follows(program, text) == expected, (source, text)
    assert accepted > 200


CALLS = """
start: (TEXT | call)
call: <think> (%json {"type": "integer"} | %json {"type": "array", "items": {"enum": ["a"]}}) end
end: </think> | "." <[302-304,305]>
TEXT: /[a-z]+/
"""


@pytest.mark.parametrize(
    ("source", "yes", "no"),
    [
        (
            CALLS,
            [("abc",), (300, "12", 301), (300, '["a"]', 301), (300, "-1.", 303)],
            [(300, '["b"]', 301), (300, "12."), ("<think>12", 301), ("abc", 301), (300, 301)],
        ),
        ("start: x* <[300]>\nx: <[^301]>", [(12, "ab", 300), (300, 300)],
         [(301, 300), ("a",)]),
        ("start: <[*]> \"a\"", [(305, "a"), ("b", "a"), ("aa",)], [("a",), (END, "a")]),
        (
            'start: "x" %json {"type": "number"} "y"\n%ignore / +/',
            [("x1.5y",), ("x 1.5 y",)],
            [("x1.5.y",), ("xy",)],
        ),
        (
            'start: a | b\na: %json {"type": "object", "required": ["p"]} "1"\n'
            'b: %json {"type": "object", "required": ["q"]} "2"',
            [('{"p":1}1',), ('{"q":1}2',), ('{"p":1,"a":2}1',)],
            [('{"p":1}2',), ('{"q":1}1',), ("{}1",)],
        ),
    ],
    ids=["calls", "other tokens", "any token", "JSON between lexemes", "JSON of two schemas"],
)  # fmt: skip
def test_tokens_and_json_in_rules(
    source: str, yes: list[tuple[str | int, ...]], no: list[tuple[str | int, ...]]
) -> None:
    grammar = constrain.lark(source)
    assert [parts for parts in yes if not accepts(grammar, *parts)] == []
    assert [parts for parts in no if accepts(grammar, *parts)] == []


WRITTEN = {
    "pairs": (
        'start: pair ("," pair)*\npair: WORD ":" (NUMBER | list)\n'
        'list: "[" [pair ("," pair)*] "]"\n'
        "WORD: /[a-z]{1,5}/\nNUMBER: /-?[0-9]{1,3}(\\.[0-9])?/\n%ignore / {1,2}/"
    ),
    "sums": (  # left recursive, and read in two ways
        'start: sum ";"\nsum: sum ("+" | "-") sum | term\nterm: /[0-9]{1,2}/ | "(" sum ")"'
    ),
    "lexemes": (
        'start: (KEY | NAME)~1..6 END\nKEY: "if" | "in"i\n'
        "NAME: /[a-z]{2,4}/ & ~/.*oo.*/\nEND: /[.!]{1,2}/\n%ignore / /"
    ),
}


@pytest.mark.parametrize("name", WRITTEN)
def test_a_thousand_texts_are_of_their_grammar_for_llguidance(
    model: thimble.Model, name: str
) -> None:
    grammar, matcher = constrain.lark(WRITTEN[name]), judge(WRITTEN[name])
    session = model.session()
    whole = seed = 0
    while whole < 1_000:
        seed += 1
        assert seed < 3_000, f"{seed - whole} of {seed} texts had no room to end"
        session.rollback(0)
        params = SamplingParams(grammar=grammar, temperature=2.0, seed=seed, max_tokens=60)
        chunks = list(session.generate("", params))
        if chunks[-1].finish_reason == "stop":
            whole += 1
            text = "".join(chunk.text for chunk in chunks)
            assert judged(matcher, text.encode()), text
    session.close()


def test_a_text_may_go_on_behind_many_states(monkeypatch: pytest.MonkeyPatch) -> None:
    from thimble.constrain import masks

    monkeypatch.setattr(masks, "MOST_STATES", 300)
    grammar = constrain.lark('start: "(" start ")" | /[a-z]+/')
    constraint = Constraint(default_kernel(), LETTERS, grammar, 0, False)
    tokens = [40 + ord("(")] * 1_000 + [40 + ord("a")]
    for at in range(0, len(tokens), 7):
        constraint.mask(tokens[:at])
    assert not constraint.accepts([*tokens, *[40 + ord(")")] * 999])
    assert constraint.accepts([*tokens, *[40 + ord(")")] * 1_000])


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ('root: "a"', "no rule 'start'"),
        ('start: foo{7,6}\nfoo: "a"', "line 1, column 11: from 7 to 6 times is never"),
        ("start: FOO\nFOO: BAR\nBAR: FOO", "terminal 'FOO' leads to itself"),
        ('start: BAR\nBAR: BAZ "a"', "line 2, column 6: there is no 'BAZ'"),
        ("%import common.BLAH\nstart: BLAH", "common has no 'BLAH'"),
        ("%import other.X\nstart: X", "'other.X' cannot be imported"),
        ("start: /[abc/", "column 9: the regular expression is wrong at character 1"),
        ("start: /a+?b/", "lazy quantifiers are not supported"),
        ("start: /a/l", "flag l is not supported"),
        ("start: FOO\nFOO: %json {}", "JSON Schemas cannot stand in terminals"),
        ("start: FOO\nFOO: <|x|>", "special tokens cannot stand in terminals"),
        ('start: "a".."cd"', "one character to another"),
        ("start: <[200-100]>", "<[200-100]> is no set of tokens"),
        ('start: "a"\nstart: "b"', "rule 'start' is there already"),
        ("start: %json {", "an object of JSON, closed in the end"),
        ('start: %json {"type": "text"}', "#/type"),
        ("start: %json " + '{"a":' * 300 + "1" + "}" * 300, "more than 200 deep"),
        ('start: %regex {"substring_chars": "ab"}', "%regex {...} are not supported"),
        ('start[max_tokens=3]: "a"', "attribute max_tokens is not supported"),
        ('start[temperature=0.5]: "a"', "attribute temperature is not supported"),
        ('start[stop="x"]: /.*/', "attribute stop is not supported"),
        ('start: foo{"a"}\nfoo{x}: x "b"', "templates are not supported"),
        ('start.2: "a"', "priorities are not supported"),
        ("start: x::_", "parameters are not supported"),
        ('%declare A\nstart: "a"', "declared only are not supported"),
        ('%override start: "a"', "override others are not supported"),
        ("start: @other", "references to other grammars are not supported"),
        ('start: %lark {start: "a"}', "grammars in grammars are not supported"),
        ('start: x & x\nx: "a"', "& stands in terminals only"),
        ("start: " + "(" * 100 + '"a"' + ")" * 100, "brackets stand in more than 64 others"),
        ('start: ("a"', "'(' is not closed"),
        ('start: "a" start', "no text can ever satisfy"),
        ("start: /a/ & /b/\n", "& stands in terminals only"),
        ("start: A\nA: /a/ & /b/", "has no text"),
    ],
)
def test_what_is_wrong_is_said(source: str, words: str) -> None:
    with pytest.raises(thimble.OptionError) as caught:
        constrain.lark(source)
    assert words in str(caught.value)
    assert len(str(caught.value)) < 500


def test_a_token_that_the_model_lacks_is_named() -> None:
    with pytest.raises(thimble.OptionError, match="'<nobody>'; this model has none"):
        accepts(constrain.lark("start: <nobody>"), "a")


def test_sources_that_are_json_are_read_as_they_stand() -> None:
    schema = {"type": "object", "properties": {"a } b": {"const": '{"\\'}}, "required": ["a } b"]}
    grammar = constrain.lark(f'start: %json {json.dumps(schema)} "!"')
    assert accepts(grammar, json.dumps({"a } b": '{"\\'}, separators=(",", ":")), "!")
