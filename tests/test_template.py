"""Chat templates of strangers: each takes little, or is refused, here and in the page's Python."""

from __future__ import annotations

import bisect
import json
import random
import time
import tracemalloc

import pytest

from tests import in_pyodide
from tests.fuzz.fuzz_template import CONTEXT, check, compare, make
from thimble.errors import FormatError, ThimbleError, UnsupportedError
from thimble.template import RunawayError, Template, budget, operations, source

ROOM = 32 << 20
LOOP = "{% for i in range(90000) %}{% set y = WORK %}{% endfor %}"
LONG = "{% set x = 'ab' * 400000 %}"
# Each took from seconds to minutes, or up to 3 GB, when only the steps were counted.
COSTLY = {
    "round": LOOP.replace("WORK", "5 | round(-3000000)"),
    "sum of lists": "{% set x = range(9999) | map('string') | map('list') | list %}"
    + LOOP.replace("WORK", "x | sum(start=[])"),
    "rfind": "{% set x = 'a' * 400000 %}" + LOOP.replace("WORK", "x.rfind('b' ~ 'a' * 9999)"),
    "find": "{% set x = 'a' * 29000 %}" + LOOP.replace("WORK", "x.find('a' * 99 ~ 'b')"),
    "rsplit": "{% set x = 'a' * 400000 %}" + LOOP.replace("WORK", "x.rsplit('b' ~ 'a' * 999)"),
    "int": LOOP.replace("WORK", "('v' * 900000) | int(base=32)"),
    "groupby": LOOP.replace("WORK", "messages | groupby('a.' * 99999)"),
    "join": LONG + LOOP.replace("WORK", "[x, x, x] | join(x)"),
    "namespaces": LOOP.replace("WORK", "namespace(a=range(9999) | list)"),
    "upper": LONG + LOOP.replace("WORK", "x.upper()"),
    "title": LONG + LOOP.replace("WORK", "x | title"),
    "strip": LONG + LOOP.replace("WORK", "x.strip('ab' * 9999)"),
    "split": LONG + LOOP.replace("WORK", "x.split('a')"),
    "sort": LONG + LOOP.replace("WORK", "x | sort"),
    "slices": LONG + LOOP.replace("WORK", "x[::-1]"),
    "less": LONG + "{% set y = x ~ 'a' %}" + LOOP.replace("WORK", "y > x and x < y"),
    "in": LONG + LOOP.replace("WORK", "'ab' * 50 ~ 'c' in x"),
    "tojson": LONG + LOOP.replace("WORK", "[x] | tojson"),
    "text": LONG + LOOP.replace("WORK", "[x] | string"),
    "macros in macros": "{% for i in range(90000) %}"
    + "{% macro a() %}" * 30 + "{{ kwargs }}" + "{% endmacro %}" * 30 + "{% endfor %}",
    "formatting by a test": LOOP.replace("WORK", "'%999999999d' is odd"),
    "map of map": "{{ 'a' | map(" + "'map'," * 300 + "'list') | list }}",
}  # fmt: skip
DEEP = {
    "brackets": "{{ " + "(" * 5000 + "1" + ")" * 5000 + " }}",
    "lists": "{{ " + "[" * 5000 + "1" + "]" * 5000 + " }}",
    "a sum": "{{ 1" + " + 1" * 30_000 + " }}",
    "a long sum": "{{ 1" + " + 1" * 3900 + " }}",
    "attributes": "{{ messages" + ".a" * 3900 + " }}",
    "calls": "{{ messages" + "()" * 3900 + " }}",
    "filters": "{{ messages" + " | list" * 3900 + " }}",
    "signs": "{{ " + "-" * 20_000 + "1 }}",
    "not": "{{ " + "not " * 20_000 + "1 }}",
    "conditions": "{{ " + "1 if 0 else " * 5000 + "1 }}",
    "loops": "{% for a in 'ab' %}" * 3000 + "{% endfor %}" * 3000,
    "blocks": "{% if 1 %}" * 3000 + "{% endif %}" * 3000,
    "a loop that calls itself": "{% for m in messages recursive %}{{ loop(messages) }}{% endfor %}",
    "a macro that calls itself": "{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}",
    "a caller that calls itself": "{% macro f() %}{% call f() %}{% endcall %}{% endmacro %}"
    "{{ f() }}",
    "a loop that calls itself to choose": "{% for m in messages recursive %}"
    "{% for n in messages if loop(messages) %}{% endfor %}{% endfor %}",
    "a macro that calls itself to choose": "{% macro f() %}{% for m in messages if f() %}"
    "{% endfor %}{% endmacro %}{{ f() }}",
    "a macro that calls itself in a block": "{% macro f() %}{% set x %}{% filter upper %}"
    "{{ f() | default(f()) ~ [f()] }}{% endfilter %}{% endset %}{% endmacro %}{{ f() }}",
    "a macro that is its own default": "{% macro f(a=f()) %}{% endmacro %}{{ f() }}",
    "a macro that calls itself in tests": "{% macro f() %}{% if messages | map(attribute='role') "
    "| select('equalto', f()) | list %}{% endif %}{% endmacro %}{{ f() }}",
    "lists in lists": "{% set ns = namespace(x=[]) %}{% for i in range(900) %}"
    "{% set ns.x = [ns.x] %}{% endfor %}{{ ns.x }}",
    "digits": "{{ " + "1" * 60_000 + " }}",
}  # fmt: skip


def refused(text: str) -> None:
    with pytest.raises(ThimbleError):
        Template(text).render(CONTEXT)


@pytest.mark.parametrize("text", [*COSTLY.values(), *DEEP.values()], ids=[*COSTLY, *DEEP])
def test_a_template_that_takes_much_is_refused(text: str) -> None:
    began = time.monotonic()
    refused(text)
    assert time.monotonic() - began < 30  # seconds; on a busy machine, too


@pytest.mark.parametrize("text", COSTLY.values(), ids=COSTLY)
def test_a_template_holds_little(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(budget, "MAX_WORK", 5000)  # counting each allocation is slow
    tracemalloc.start()
    try:
        refused(text)
        assert tracemalloc.get_traced_memory()[1] < ROOM
    finally:
        tracemalloc.stop()


def counting(turns: int) -> str:
    return "{% for i in range(" + str(turns) + ") %}{% set x = 'abc' | upper %}{% endfor %}"


def runs_away(text: str) -> bool:
    try:
        Template(text).render(CONTEXT)
    except RunawayError:
        return True
    return False


def test_in_the_page_s_python_no_template_ends_it_and_the_same_ones_are_refused() -> None:
    texts = {**DEEP, **{name: COSTLY[name] for name in ("macros in macros", "map of map")}}
    turns = bisect.bisect(range(99_999), False, key=lambda turns: runs_away(counting(turns)))
    assert turns > 5000
    edge = [counting(turns - 1), counting(turns)]
    code = f"""
import json
from thimble.errors import ThimbleError
from thimble.template import Template
def attempt(text):
    try:
        Template(text).render(context)
    except ThimbleError as error:
        return type(error).__name__
    return "rendered"
context = json.loads({json.dumps(json.dumps(CONTEXT))})
json.dumps([attempt(text) for text in {[*texts.values(), *edge]!r}])
"""
    *answers, last, first = in_pyodide.run(code)
    found = dict(zip(texts, answers, strict=True))
    assert {name: word for name, word in found.items() if not word.endswith("Error")} == {}
    assert (last, first) == ("rendered", "RunawayError")  # to the unit of work


def test_templates_that_a_grammar_makes_render_as_jinja2_renders_them() -> None:
    outcomes = {check(make(random.Random(f"template {i}")), in_pyodide.ROOT) for i in range(150)}
    assert outcomes == {"rendered", "refused", "runs away", "not offered"}


# What the grammar found, and what else Jinja2 does that one would not expect.
SAME = (in_pyodide.ROOT / "tests" / "vectors" / "templates.txt").read_text().split("\n----\n")


@pytest.mark.parametrize("text", SAME)
def test_it_renders_what_jinja2_renders(text: str) -> None:
    try:
        ours = Template(text).render(CONTEXT)
    except UnsupportedError:
        raise
    except ThimbleError:
        ours = None
    compare(text, ours)


def test_many_short_statements_are_not_deep() -> None:
    text = (
        "{% set x = 1 %}{% set y = [x, (x)] %}{% if x == 1 and not y == 2 %}{{ x }}{% endif %}" * 90
    )
    assert Template(text).render({}) == "1" * 90


@pytest.mark.parametrize("name", ["ljust", "to_bytes", "translate", "format", "__class__", "pop"])
def test_a_method_that_is_not_listed_cannot_be_called(name: str) -> None:
    assert not any(name in names for names in operations.METHODS.values())
    for value in ("'a'", "5", "[1]", "{'a': 1}", "(1,)", "1.5", "true", "range(3)"):
        with pytest.raises(
            (UnsupportedError, FormatError), match=r"forbids|undefined|has no|callable"
        ):
            Template("{{ (" + value + ")." + name + "(9) }}").render({})


def test_the_limits_of_a_source_are_said() -> None:
    for text, words in (
        ("x" * (source.MAX_SOURCE + 1), "65,537 characters; at most 65,536"),
        ("{{ x }}" * source.MAX_TOKENS, "more than 8,000 words and signs"),
        ("{{ x" + ".a" * source.MAX_IN_TAG + " }}", "more than 1,500 words in a tag"),
        ("{{ [" + "[" * source.MAX_BRACKETS + " }}", "40 brackets or blocks"),
        ("]{{ 1 }}" * 50 + "{{ [" + "[" * source.MAX_BRACKETS + " }}", "40 brackets or blocks"),
        ("{{ " + "f" * 9999 + " }}", "9,999 digits"),
    ):
        with pytest.raises(FormatError, match=words):
            Template(text)


def test_brackets_that_a_template_writes_open_and_close_nothing() -> None:
    """As Gemma 4's does, which writes a tool's schema down."""
    written = "{% set x = 1 %}}{% if x %}]{% endif %}{% set y = 2 %}[{{ y }}=" * 60
    assert Template(written).render({}) == "}][2=" * 60
