"""Chat templates made by a grammar: tame ones, beside Jinja2 itself, and wild ones that must end.

    PYTHONPATH=pyodide_pkg python -m tests.fuzz --kind template --runs 100000

A tame template renders as Jinja2 renders it or is refused for what is not offered. A wild one has
large numbers, long texts and loops in loops everywhere, and takes half a second and 32 MB at most.
"""

from __future__ import annotations

import json
import random
import re
import time
import tracemalloc
import warnings
from pathlib import Path
from typing import Any

from jinja2 import Environment
from jinja2.sandbox import ImmutableSandboxedEnvironment

from tests.fuzz.kinds import Case, mutate_bytes
from tests.fuzz.template_words import (
    ARITHMETIC,
    COMPARISONS,
    FILTERS,
    KINDS,
    LISTS,
    METHODS,
    NUMBER_TESTS,
    NUMBERS,
    OTHERS,
    TABLES,
    TESTS,
    TEXT_TESTS,
    TEXTS,
    WILD_FILTERS,
    WILD_LISTS,
    WILD_METHODS,
    WILD_NUMBERS,
    WILD_TEXTS,
)
from thimble.errors import ThimbleError, UnsupportedError
from thimble.template import RunawayError, Template

CONTEXT: dict[str, Any] = {
    "messages": [
        {"role": "system", "content": "Be kind."},
        {"role": "user", "content": 'Hi <there> & "you" é🦙\n  two  lines '},
        {"role": "assistant", "content": "  HELLO, hello! "},
        {"role": "user", "content": ""},
    ],
    "add_generation_prompt": True,
    "bos_token": "<s>",
    "eos_token": "</s>",
    "tools": [{"name": "f", "parameters": {"type": "object", "n": [1, 2.5, None, True]}}],
    "documents": None,
}
SECONDS = 0.5
NEGATIVE_POWER = re.compile(r"-\s*[\d.]+\s*\*\*")
FRACTION_IN_SLICE = re.compile(r"\[[^\]]*(\d\.\d[^\]]*:|:[^\]]*\d\.\d)")
LAZY = ("map", "select", "reject", "unique", "items", "reverse")


class Writer:
    """Writes one template."""

    def __init__(self, rng: random.Random, wild: bool) -> None:
        self.rng = rng
        self.wild = wild

    def pick(self, tame: tuple[str, ...], wild: tuple[str, ...] = ()) -> str:
        return self.rng.choice(wild if wild and self.wild and self.rng.random() < 0.5 else tame)

    def value(self, depth: int, kind: str = "") -> str:
        """An expression; where a kind is named, it is most often of that one."""
        if not kind or self.rng.random() < 0.02:
            kind = self.rng.choice(KINDS)
        if depth <= 0 or self.rng.random() < 0.2:
            return self._leaf(kind)
        what = self.rng.random()
        if what < 0.3:
            return self._piped(kind, depth - 1, FILTERS, WILD_FILTERS, "({} | {})")
        if what < 0.5:
            return self._piped(kind, depth - 1, METHODS, WILD_METHODS, "({}).{}")
        if what < 0.6:
            more = f" else {self.value(depth - 1, kind)}" if self.rng.random() < 0.9 else ""
            return f"({self.value(depth - 1, kind)} if {self.value(depth - 1)}{more})"
        if what < 0.65:
            sign = self.pick(("and", "or"))
            return f"({self.value(depth - 1, kind)} {sign} {self.value(depth - 1, kind)})"
        return str(getattr(self, f"_{kind}")(depth - 1))

    def _leaf(self, kind: str) -> str:
        tame, wild = {
            "text": (TEXTS, WILD_TEXTS), "number": (NUMBERS, WILD_NUMBERS),
            "list": (LISTS, WILD_LISTS), "table": (TABLES, ()), "other": (OTHERS, ()),
        }[kind]  # fmt: skip
        return self.pick(tame, wild)

    def _piped(
        self, kind: str, depth: int, tame: dict[str, tuple[str, ...]],
        wild: dict[str, tuple[str, ...]], form: str,
    ) -> str:  # fmt: skip
        """A filter or method that gives this kind, of a value of the kind that it takes."""
        ways = [way for way in tame if way.endswith(f" {kind}")]
        if not ways:
            return self._leaf(kind)
        way = self.rng.choice(ways)
        inner = self.value(depth, way.split()[0])
        return form.format(inner, self.pick(tame[way], wild.get(way, ())))

    def _text(self, depth: int) -> str:
        a, b = self.value(depth, "text"), self.value(depth, "text")
        return self.pick((f"({a} + {b})", f"({a} ~ {self.value(depth)})", f"({a})[1:]",
                          f"({a})[::-1]", f"({a})[{self.value(depth, 'number')}:]", f"({a})[0]",
                          f"f({a})", f"f({a}, b={b})", f"({a} * {self.value(0, 'number')})",
                          f"loop.cycle({a}, {b})", f"({self.value(depth, 'table')})['role']",
                          f"({self.value(depth, 'table')}).content"))  # fmt: skip

    def _number(self, depth: int) -> str:
        a, b = self.value(depth, "number"), self.value(depth, "number")
        one, other = self.value(depth, "text"), self.value(depth, "text")
        sign = self.pick(COMPARISONS)
        return self.pick((
            f"({a} {self.pick(ARITHMETIC)} {b})", f"({a} {self.pick(ARITHMETIC)} {b})",
            f"({a} {sign} {b})", f"({one} {sign} {other})", f"(-{a})", f"(not {a})", f"(+{a})",
            f"({one} {self.pick(('in', 'not in'))} {other})",
            f"({a} < {b} <= {self.value(0, 'number')})",
            f"({one} in {self.value(depth, 'list')})",
            f"({one} not in {self.value(depth, 'table')})",
            f"({a} is {self.pick(NUMBER_TESTS)})", f"({one} is not {self.pick(TEXT_TESTS)})",
            f"({self.value(depth)} is {self.pick(TESTS)})",
            f"({self.value(depth)} == {self.value(depth)})",
            f"loop.changed({one})", f"({self.value(depth, 'list')} == {self.value(depth, 'list')})",
        ))  # fmt: skip

    def _list(self, depth: int) -> str:
        a, b = self.value(depth), self.value(depth)
        one, number = self.value(depth, "list"), self.value(depth, "number")
        return self.pick((f"[{a}, {b}]", f"({a}, {b})", f"[{a}]", f"({one} + {one})",
                          f"({one})[1:]", f"({one})[::-1]", f"({one})[:{number}]",
                          f"range({number})", f"({one} * 2)", f"range(1, {number})"))  # fmt: skip

    def _table(self, depth: int) -> str:
        a, b = self.value(depth), self.value(depth)
        return self.pick((f"{{'role': {a}, 'b': {b}}}", f"dict(a={a})",
                          f"{{{self.value(0, 'text')}: {a}}}",
                          f"dict({self.value(depth, 'table')}, z=1)"))  # fmt: skip

    def _other(self, depth: int) -> str:
        a = self.value(depth, "list")
        return self.pick((f"({a})[0]", f"({a})[-1]", f"({a}).x", f"namespace(a={a})", f"f({a})",
                          f"loop({a})", f"f(*{a})", f"raise_exception({a})", "f()"))  # fmt: skip

    def body(self, depth: int) -> str:
        """Some statements."""
        return "".join(self.statement(depth) for _ in range(self.rng.randint(1, 3)))

    def statement(self, depth: int) -> str:
        if depth <= 0 or self.rng.random() < 0.35:
            return f"{{{{ {self.value(2)} }}}}|"
        what, inner = self.rng.randrange(9), self.body(depth - 1)
        a, b = self.value(2), self.value(1)
        over = self.pick((self.value(2, "list"), "messages", "range(3)", "'ab'"), ("range(99999)",))
        name = self.pick(("x", "y", "ns.a"))
        if what == 0:
            return f"{{% if {a} %}}{inner}{{% elif {b} %}}-{{% else %}}{self.body(0)}{{% endif %}}"
        if what <= 3:
            recursive = self.pick(("", "", "", " recursive"))
            some = self.pick(("", "", f" if {b}"))
            other = self.pick(("", "{% else %}none"))
            leave = self.pick(
                ("", "", "{% break %}", f"{{% if {b} %}}{{% continue %}}{{% endif %}}")
            )
            return f"{{% for m in {over}{some}{recursive} %}}{inner}{leave}{other}{{% endfor %}}"
        if what <= 5:
            return f"{{% set {name} = {a} %}}"
        if what == 6:
            many = self.pick(("", " | upper", " | trim | length"))
            return f"{{% set {name}{many} %}}{inner}{{% endset %}}"
        if what == 7:
            return self.pick((
                f"{{% with x = {a}, y = {b} %}}{inner}{{% endwith %}}",
                f"{{% filter upper | trim %}}{inner}{{% endfilter %}}",
                f"{{% call f({a}) %}}{inner}{{% endcall %}}",
            ))  # fmt: skip
        inside = self.pick(("", "{{ caller() }}", "{{ varargs }}", "{{ f(a) }}", "{{ kwargs }}"))
        return f"{{% macro f(a, b={b}) %}}{{{{ a }}}}{inside}{inner}{{% endmacro %}}"


def write(rng: random.Random, wild: bool) -> str:
    """A template."""
    writer = Writer(rng, wild)
    start = "{% set ns = namespace(a=1) %}{% set n = 2 %}{% set m = messages[1] %}"
    start += "{% set x = " + writer.value(1, "text") + " %}{% set y = 'y z' %}"
    start += "{% macro f(a, b='B') %}{{ a }}/{{ b }}{% endmacro %}"
    if wild:
        return f"{start}{{% for i in range(60000) %}}{writer.body(2)}{{% endfor %}}"
    return f"{start}\n{writer.body(rng.choice((0, 1, 2, 3)))}"


def make(rng: random.Random) -> Case:
    what = rng.random()
    if what < 0.55:
        return {"tame": write(rng, wild=False).encode()}
    source = write(rng, wild=True).encode()
    return {"wild": mutate_bytes(rng, source) if what > 0.9 else source}


def peer() -> Environment:
    """Jinja2 as transformers set it up, without what we do not offer."""
    made = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=["jinja2.ext.loopcontrols"]
    )

    def to_json(value: Any, ensure_ascii: bool = False, **options: Any) -> str:
        return json.dumps(value, ensure_ascii=ensure_ascii, **options)

    def refuse(message: object = "") -> None:
        raise ValueError(message)

    made.filters["tojson"] = to_json
    made.filters["safe"] = str
    made.globals["raise_exception"] = refuse
    return made


def check(case: Case, scratch: Path) -> str:
    """Render it; beside Jinja2 where it is tame."""
    ((kind, data),) = case.items()
    source = data.decode("utf-8", "replace")
    began = time.process_time()
    try:
        ours = Template(source).render(CONTEXT)
    except UnsupportedError:
        return "not offered"
    except RunawayError:
        return "runs away"
    except ThimbleError as error:
        assert len(str(error)) < 6000, "an error message without end"
        ours = None
    finally:
        took = time.process_time() - began
        assert took <= SECONDS or tracemalloc.is_tracing(), f"it took {took:.2f} s"
    if kind == "tame":
        compare(source, ours)
    return "refused" if ours is None else "rendered"


def compare(source: str, ours: str | None) -> None:
    """Raise AssertionError where Jinja2 renders a template otherwise, or only one of them does."""
    theirs, why = None, None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the Python that Jinja2 makes
        try:
            theirs = peer().from_string(source).render(**CONTEXT)
        except Exception as error:
            why = error
    if ours is None and any(word in source for word in LAZY):
        return  # Jinja2 does not notice what is wrong in a list that nobody goes over
    if ours is None and FRACTION_IN_SLICE.search(source):
        return  # Jinja2 refuses it too, but for constants, of which it makes nothing
    if NEGATIVE_POWER.search(source):
        return  # Jinja2 reads (-1) ** n and makes Python of it that says -(1 ** n)
    assert ours == theirs, f"ours {ours!r:.300}, theirs {theirs!r:.300} ({why!r:.200})"
