"""How deep a visitor's code is nested, known before Python parses it.

Python's compiler calls itself for each expression in an expression, and in a page the stack for
that is short: some thousand operators in a row end the interpreter, which no `except` can catch. So
they are counted first, by the tokenizer, which does not call itself. The count is an upper bound:
code that is not nested may be counted as if it were, never the other way round.
"""

from __future__ import annotations

import io
import keyword
import token
import tokenize

MOST = 1000
"""Operators within each other. A page's stack is enough for some 3,000."""

_OPENING = {getattr(token, name, -1) for name in ("FSTRING_START", "TSTRING_START")}
_CLOSING = {getattr(token, name, -1) for name in ("FSTRING_END", "TSTRING_END")}


class _Level:
    """What stands between two brackets, or outside of all."""

    def __init__(self) -> None:
        self.here = 0
        """Operators since the last comma that ends an expression."""
        self.inside = 0
        """The deepest brackets since then."""
        self.deepest = 0
        self.lambdas = 0
        """Lambdas that are not at their colon yet: the commas after them separate arguments."""

    def end(self) -> int:
        """The expression ends here; how deep the whole level is."""
        self.deepest = max(self.deepest, self.here + self.inside)
        self.here = self.inside = 0
        return self.deepest


def check(code: str, name: str) -> None:
    """Raise SyntaxError, with the line, for code of more than `MOST` operators within each other.

    What is no Python is left to the parser to say.
    """
    if len(code) <= MOST:
        return
    levels = [_Level()]
    branches = [0]  # of an if, at each indentation: each `elif` stands in the one before
    try:
        for kind, text, (line, _), *_ in tokenize.generate_tokens(io.StringIO(code).readline):
            if kind == token.INDENT:
                branches.append(0)
            elif kind == token.DEDENT:
                branches.pop()
            elif kind == token.NEWLINE or text == ";":
                levels = [_Level()]
            elif text == "elif":
                branches[-1] += 1
            elif kind == token.NAME and text in ("if", "for", "while", "try", "with", "match"):
                branches[-1] = branches[-1] if len(levels) > 1 or levels[0].here else 0
            depth = _take(levels, kind, text) + sum(branches)
            if depth > MOST:
                raise SyntaxError(
                    f"more than {MOST:,} operators within each other: give parts of it names",
                    (name, line, 1, None),
                )
    except (tokenize.TokenError, IndentationError):
        return


def _take(levels: list[_Level], kind: int, text: str) -> int:
    """Count a token; how deep its expression is with it."""
    level = levels[-1]
    if kind in _OPENING or (kind == token.OP and text in "([{"):
        level.here += 1
        levels.append(_Level())
    elif (kind in _CLOSING or (kind == token.OP and text in ")]}")) and len(levels) > 1:
        inner = levels.pop().end()
        levels[-1].inside = max(levels[-1].inside, inner)
    elif kind == token.OP and text == "," and not level.lambdas:
        level.end()
    elif kind == token.OP and text == ":" and level.lambdas:
        level.lambdas -= 1
    elif text == "lambda":
        level.here += 1
        level.lambdas += 1
    elif kind == token.OP or (kind == token.NAME and keyword.iskeyword(text)):
        level.here += 1
    return levels[-1].here + max(levels[-1].inside, levels[-1].deepest)
