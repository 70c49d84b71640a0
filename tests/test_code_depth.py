"""Code that would end a page's interpreter is refused before it is parsed, and no other code is."""

from __future__ import annotations

import pytest

from tests.conftest import ROOT
from thimble.browser.code_depth import MOST, check

N = 5 * MOST

DEEP = {
    "not": "not " * N + "1",
    "minus": "-" * N + "1",
    "sum": "1" + "+1" * N,
    "power": "1" + "**1" * N,
    "attributes": "a" + ".a" * N,
    "calls": "a" + "()" * N,
    "indices": "a" + "[0]" * N,
    "lambdas": "lambda:" * N + "1",
    "lambdas with arguments": "lambda a, b:" * N + "1",
    "conditions": "1 if 1 else " * N + "1",
    "branches": "if 0: pass\n" + "elif 0: pass\n" * N,
    "loops of a comprehension": "[x" + " for x in y" * N + "]",
    "awaits": "async def f():\n " + "await " * N + "1",
    "a tower of short sums": "(" * 150 + "x" + ("+1" * 100 + ")") * 150,
    "a tower of arguments": "f(" * 150 + "x" + ("+1" * 100 + ", 2)") * 150,
}
FLAT = {
    "a list": "[" + "1 + 2, " * N + "]",
    "a table": "{" + "'a': -1, " * N + "}",
    "lines": "x = 1 + 2\n" * N,
    "statements on a line": "x = 1; " * N,
    "a long text": "x = (" + "'a'\n" * N + ")",
    "lists in a list": "[" + "[1, 2, (3 + 4) * 5], " * N + "]",
    "one condition after another": "if a:\n  b = 1\nelif c:\n  d = [1]\n" * N,
    "short lambdas": "[" + "lambda x, y: x + y, " * N + "]",
    "functions": "def f(a, b=1):\n    return a + b\n\n" * N,
    "no Python": "x = 'a\n" * N,
}


@pytest.mark.parametrize("name", DEEP)
def test_what_is_deep_is_refused(name: str) -> None:
    with pytest.raises(
        SyntaxError, match=f"more than {MOST:,} operators within each other"
    ) as told:
        check("first = 1\n" + DEEP[name], "<cell>")
    assert told.value.filename == "<cell>"
    assert told.value.lineno
    assert told.value.lineno >= 2


@pytest.mark.parametrize("name", FLAT)
def test_what_is_only_long_is_not(name: str) -> None:
    check(FLAT[name], "<cell>")


def test_code_as_people_write_it_is_not() -> None:
    for path in (ROOT / "pyodide_pkg").rglob("*.py"):
        check(path.read_text(encoding="utf-8"), path.name)
