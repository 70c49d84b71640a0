"""Regular expressions as grammars match what Python's `re` and PyPI's `regex` match."""

from __future__ import annotations

import re
import time
import tracemalloc
import unicodedata
from pathlib import Path

import pytest
import regex
from hypothesis import given, settings
from hypothesis import strategies as st

import thimble
from thimble import constrain
from thimble.constrain import read_regex, regex_looks, regex_syntax, unicode_sets
from thimble.constrain.automaton import MOST_ITEMS, NOWHERE, Automaton
from thimble.constrain.effort import Effort
from thimble.constrain.masks import Constraint
from thimble.constrain.network import Network
from thimble.constrain.nodes import Both, Node, Not
from thimble.constrain.regular import Algebra
from thimble.constrain.rules import RuleProgram

MODEL = Path(__file__).resolve().parent.parent / "web" / "models" / "story.gguf"
NO_TEXT = "no text can ever satisfy"


def automaton(node: Node) -> Automaton | None:
    """What follows a grammar; None for one without any text."""
    try:
        return Automaton(Network({"root": node}, "root"))
    except thimble.OptionError as error:
        assert NO_TEXT in str(error)
        return None


def matches(follower: Automaton | None, text: str) -> bool:
    if follower is None:
        return False
    state = 0
    for byte in text.encode():
        state = follower.step(state, byte) if state != NOWHERE else NOWHERE
    return state != NOWHERE and follower.accepting[state]


@pytest.mark.parametrize(
    ("pattern", "yes", "no"),
    [
        (r"^(?=.*[A-Z])(?=.*\d)\w{8,64}$", ["Abcdefg1", "1aaaaaaaaaaaB"], ["abcdefg1", "Ab1"]),
        ("(?!(?:con|nul)$)[a-z]+", ["control", "nu"], ["con", "nul"]),
        (r".+(?<!\.tmp)", ["a.txt", "tmp", ".tmp2"], ["a.tmp"]),
        (r"(?<!foo(?=bar)).{3}", ["bar", "foo"], ["fo"]),
        (r"\w*(?<!foo(?=bar))bar", ["bar", "abar", "fobar"], ["foobar"]),
        (r"\bfoo\b.*", ["foo", "foo bar", "foo."], ["food"]),
        (r"\d\B\d", ["12"], ["1 2"]),
        ("a$|b(?:^|c)", ["a", "bc"], ["b", "ab"]),
        ("(?i)stra(?-i:SS)e|(?i:ß)", ["STRASSE", "straSSe", "ẞ"], ["strasse"]),
        ("(?i:k[x-z])", ["kY", "\u212az"], ["kw"]),
        ("(?m:^b$)\n(?m:^a)", ["b\na"], ["ba", "b\n"]),
        ("(?s:.)", ["\n", "é"], ["", "ab"]),
        (r"\p{Lu}\p{Script=Greek}+\P{L}", ["Éαβ1"], ["éα1", "Éab1"]),
        (r"(?<year>[0-9]{4})-(?P<month>[0-9]{2})", ["2026-11"], ["26-11"]),
        (r"\cJ\x41\u0042\u{1F600}\uD83D\uDE00", ["\nAB😀😀"], ["JAB😀😀"]),
        (r"[\b][^]\/\-{]", ["\x08x/-{]"], ["bx/-{]"]),
        (r"[\uD800-\uDFFFa]", ["a"], ["\ufffd"]),
        (r"\A[a-c]\z|x\Z", ["b", "x"], ["ab"]),
        ("(?#a comment)a(?x: b # and another\n c )", ["abc"], ["a b c"]),
        ("a{,2}", ["a{,2}"], ["aa"]),
    ],
)
def test_notations(pattern: str, yes: list[str], no: list[str]) -> None:
    follower = automaton(read_regex.parse(pattern))
    assert [text for text in yes if not matches(follower, text)] == []
    assert [text for text in no if matches(follower, text)] == []


@pytest.mark.parametrize(
    ("pattern", "yes", "no"),
    [
        (r"[[:alpha:]&&[^aeiou]]+", ["xyz"], ["a"]),
        (r"[\w--[0-9]]+\d", ["é\u0663"], ["11"]),
        (r"[a-c~~b-d]", ["a", "d"], ["b"]),
        (r"[]a]\x{e9}a{,2}", ["]éa", "aé"], ["éa"]),
        (r".", ["\r"], ["\n"]),
    ],
)
def test_notations_of_rust(pattern: str, yes: list[str], no: list[str]) -> None:
    tree = regex_syntax.read(pattern, regex_syntax.RUST)
    follower = automaton(read_regex.lowered(tree))
    assert [text for text in yes if not matches(follower, text)] == []
    assert [text for text in no if matches(follower, text)] == []


@pytest.mark.parametrize(
    ("pattern", "words"),
    [
        (r"(a)\1", "references to groups are not supported"),
        (r"(?<n>a)\k<n>", "references to groups are not supported"),
        ("(?P<n>a)(?P=n)", "references to groups are not supported"),
        ("a++", "possessive quantifiers are not supported"),
        ("a{2}+", "possessive quantifiers are not supported"),
        ("(?>a*)", "atomic groups, (?>...), are not supported"),
        ("(a)?(?(1)b|c)", "conditions, (?(...)...), are not supported"),
        ("(?R)", "recursion is not supported"),
        ("(?z)a", "flag 'z' is none of i, m, s and x"),
        (r"\p{Klingon}", r"\p{Klingon} is not known"),
        (r"x\ud800", r"\ud800 is no character"),
        (r"\q", r"no escape \q"),
        ("(?", "character 1: '(?' begins no group"),
        ("(?=a", "character 1: this group is never closed"),
    ],
)
def test_what_is_refused_is_named(pattern: str, words: str) -> None:
    with pytest.raises(thimble.OptionError) as caught:
        read_regex.parse(pattern)
    assert words in str(caught.value)
    assert caught.value.at is not None


SIMPLE = st.sampled_from(
    ["a", "b", "1", " ", "-", r"\w", r"\d", r"\s", r"\W", ".", "[ab]", "[^a]", "[a-c1]"]
)


def _larger(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    times = st.sampled_from(["*", "+", "?", "{2}", "{1,2}", "{0,3}", "*?"])
    opening = st.sampled_from(["(?=", "(?!", "(?<=", "(?<!", "(?i:", "(?s:", "(?:", "(", "(?<n>"])
    return (
        st.tuples(inner, inner).map("".join)
        | st.tuples(inner, inner).map(lambda two: f"(?:{two[0]}|{two[1]})")
        | st.tuples(inner, times).map(lambda two: f"(?:{two[0]}){two[1]}")
        | st.tuples(opening, inner).map(lambda two: f"{two[0]}{two[1]})")
        | st.sampled_from([r"\b", r"\B", "^", "$"])
    )


PATTERNS = st.recursive(SIMPLE, _larger, max_leaves=9)
TEXTS = st.lists(st.text("aab1 -_A\n", max_size=6), min_size=1, max_size=8)


@settings(max_examples=400, deadline=None)
@given(PATTERNS, TEXTS, st.booleans())
def test_an_expression_means_what_it_means_to_python(
    pattern: str, texts: list[str], search: bool
) -> None:
    theirs = pattern.replace("$", "(?!(?s:.))").replace("(?<n>", "(?P<n>")
    if theirs.count("(?P<n>") > 1:
        theirs = theirs.replace("(?P<n>", "(")
    try:
        # Before Python 3.14 its \\B does not match the empty text.
        library = regex if r"\B" in theirs else re
        judge = library.compile(theirs, library.ASCII)
    except re.error:  # look-behind of more than one length
        judge = regex.compile(theirs, regex.ASCII)
    follower = automaton(read_regex.parse(pattern, search=search))
    for text in texts:
        expected = bool(judge.search(text) if search else judge.fullmatch(text))
        assert matches(follower, text) == expected, (pattern, text)


@settings(max_examples=150, deadline=None)
@given(PATTERNS, PATTERNS, TEXTS)
def test_expressions_that_look_around_stand_in_intersections(
    one: str, other: str, texts: list[str]
) -> None:
    nodes = [read_regex.parse(one), read_regex.parse(other)]
    alone = [automaton(node) for node in nodes]
    algebra = Algebra(Effort(10**6))
    both = algebra.of(Both((nodes[0], Not(nodes[1]))), algebra.utf8)
    for text in texts:
        expected = matches(alone[0], text) and not matches(alone[1], text)
        assert both.has(text.encode()) == expected, (one, other, text)


def _points(ranges: tuple[tuple[int, int], ...]) -> set[int]:
    return {point for low, high in ranges for point in range(low, high + 1)}


@pytest.mark.parametrize(
    "name",
    ["L", "Lu", "Letter", "Nd", "gc=P", "Cf", "Zs", "Uppercase", "White_Space", "Any",
     "Greek", "Script=Latin", "sc=Han", "Cyrillic", "Arabic", "Hiragana", "Thai", "w", "d"],
)  # fmt: skip
def test_classes_of_unicode_are_those_of_its_tables(name: str) -> None:
    """As far as this interpreter and `regex` know the same version of Unicode."""
    special = {"w": unicode_sets.words(), "d": unicode_sets.digits()}
    ours = special.get(name) or unicode_sets.named(name)
    assert ours is not None
    judge = regex.compile(rf"\{name}" if name in special else rf"\p{{{name}}}")
    everything = "".join(
        chr(point)
        for point in range(0x110000)
        if unicodedata.category(chr(point)) not in ("Cn", "Cs", "Co")
    )
    theirs = {ord(found[0]) for found in judge.finditer(everything)}
    known = set(map(ord, everything))
    assert _points(ours) & known == theirs


@pytest.mark.parametrize("letters", ["k", "a-zß", "ǅ", "Ꭰ-Ꮿ", "α-ω", "ﬀ-ﬆ", "\u1f80-\u1fff"])
def test_cases_are_those_of_simple_case_folding(letters: str) -> None:
    ours = unicode_sets.either_case(
        tuple((ord(one[0]), ord(one[-1])) for one in re.findall(".-.|.", letters))
    )
    judge = regex.compile(f"[{letters}]", regex.IGNORECASE | regex.VERSION1)
    point_of_turkish = 0x130  # which `regex` takes for an i
    theirs = {p for p in range(0xD800) if judge.match(chr(p)) and p != point_of_turkish}
    assert {point for point in _points(ours) if point < 0xD800} == theirs


@pytest.mark.parametrize(
    "pattern",
    [
        "((a?){1000}){1000}(?=b)b",
        r"(?:\b|a)*" * 200 + "b",
        "a{1,2000}(?!b).{1,20000}",
        "(?<=a{3000}b?)c|a{4000}c",
        "(?:(?=a{1,99}b)(?=a{1,97}c)(?=a{1,95}d)a)*[bcd]",
        "(?=" * 60 + "a" + ")" * 60 + "a",
    ],
    ids=lambda pattern: pattern[:24],
)
def test_looking_around_has_a_bound(pattern: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A quarter of the steps, so that counting what is allocated does not take long."""
    monkeypatch.setattr(regex_looks, "MOST_STEPS", regex_looks.MOST_STEPS // 4)
    tracemalloc.start()
    try:
        read_regex.parse(pattern)
    except thimble.OptionError as error:
        assert "looks around at character" in str(error)
    finally:
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    assert peak < 16 << 20


@pytest.mark.parametrize(
    "pattern",
    [
        "(?:" + "|".join(f".*{chr(97 + i)}.{{9}}" for i in range(26)) + ")(?:.{0,99}e.{0,99}){9}",
        "(?:" + "|".join(f"(?:.*{c}.{{{20 + i}}})" for i, c in enumerate("etaoinshrdlu")) + ")",
        "(?:(?:a|b|[a-z ])*[a-m](?:[a-z ]){40}x){1,9}",
        "(?:(?:(?:.{0,9}e?){0,9}){0,9}){0,9}z",
    ],
    ids=lambda pattern: pattern[:24],
)
def test_a_short_expression_cannot_fill_the_memory(pattern: str) -> None:
    """As long as a link's: each state of its automaton stands at thousands of places."""
    assert len(pattern) < 285
    model = thimble.load(MODEL)
    constraint = Constraint(model.kernel, model.tokenizer, constrain.regex(pattern), 0, False)
    tokens = model.tokenizer.encode(" a tree of the sea", add_special=False)
    try:
        for n in range(len(tokens)):
            constraint.mask(tokens[:n])
            program = constraint._masks.program
            assert isinstance(program, RuleProgram)
            assert program.automaton.n_items <= MOST_ITEMS
    except thimble.OptionError as error:
        assert "make it simpler" in str(error)
    finally:
        model.close()


@pytest.mark.parametrize("kind", ["regex", "gbnf", "lark"])
def test_a_count_of_many_digits_is_refused_at_once(kind: str) -> None:
    """Digits were read one by one, each into a larger number: a minute for so many."""
    count = "{" + "1" * 60_000 + "}"
    texts = {
        "regex": f"a{count}", "gbnf": f'root ::= "a"{count}', "lark": f'start: "a"~{"1" * 60_000}'
    }  # fmt: skip
    began = time.process_time()
    with pytest.raises(thimble.OptionError) as told:
        constrain.Grammar(kind, texts[kind])
    assert len(str(told.value)) < 300
    assert time.process_time() - began < 20  # a hundred times what it takes


def test_what_is_repeated_behind_a_look_around_still_shares_its_masks() -> None:
    network = Network({"root": read_regex.parse("(?!x)[a-z]{1,3000}")}, "root")
    assert any(one.total > 2_900 for one in network.repeated())
