"""A template's text to Jinja2's syntax tree, if it is neither too long nor too deep.

Jinja2's parser and whoever walks its tree call themselves for what stands within something else. So
the depth of brackets and blocks is counted from the tokens before anything is parsed, and that of
the tree before it is walked.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from jinja2 import Environment, TemplateSyntaxError, nodes
from jinja2.ext import Extension
from jinja2.parser import Parser

from ..errors import FormatError

MAX_SOURCE = 64 << 10  # characters; the longest templates in use have some 20,000
MAX_TOKENS = 8_000  # and some 4,000 of these
MAX_IN_TAG = 1_500  # a tree of as many signs in a row is deep when it is given up
MAX_BRACKETS = 40
MAX_BLOCKS = 40
MAX_TREE = 90


class _Generation(Extension):
    """`{% generation %}`: marks what the assistant said, for training; here it means nothing."""

    tags = {"generation"}

    def parse(self, parser: Parser) -> list[nodes.Node]:
        next(parser.stream)
        return parser.parse_statements(("name:endgeneration",), drop_needle=True)


def _environment() -> Environment:
    return Environment(
        trim_blocks=True, lstrip_blocks=True, extensions=["jinja2.ext.loopcontrols", _Generation]
    )


def parse(source: str) -> nodes.Template:
    """The tree of a template. Raises FormatError for what is none, is too long or too deep."""
    if len(source) > MAX_SOURCE:
        raise FormatError(
            f"the chat template has {len(source):,} characters; at most {MAX_SOURCE:,} are read"
        )
    environment = _environment()
    try:
        _check_tokens(environment, source)
        tree = environment.parse(source)
    except TemplateSyntaxError as error:
        raise FormatError(
            f"the chat template is broken in line {error.lineno}: {error.message}"
        ) from None
    _check_depth(tree)
    return tree


def _check_tokens(environment: Environment, source: str) -> None:
    """Count what the parser would call itself for: brackets, blocks, and in one tag the signs
    before an expression and the conditions behind one."""
    if _LONG_NUMBER.search(source):
        raise FormatError("the chat template has a number of more than 9,999 digits")
    brackets = blocks = signs = conditions = began = 0
    before = tag = ""
    for count, (kind, text) in enumerate(_tokens(environment, source)):
        if kind in _OUTSIDE:
            began = count
        if kind in _BEGINS:
            signs = conditions = 0
            tag = ""
        elif kind == "name" and before in _BEGINS:
            tag = text
            blocks += (text in _BLOCKS) - text.startswith("end")
        elif kind != "operator" and text in _SIGNS:
            pass  # what the template writes
        elif text == "=" and tag == "set" and not brackets:
            blocks, tag = blocks - 1, ""  # what is set ends with the tag
        elif text in _OPENS:
            brackets += 1
        elif text in _CLOSES:
            brackets -= 1
        elif text in ("else", "not") or (text in ("-", "+") and before in _NO_VALUE):
            signs += text != "else"
            conditions += text == "else"
        before = kind if kind in _BEGINS else text if kind in ("operator", "name") else "value"
        if kind == "name" and text not in _WORDS:
            before = "value"
        if count >= MAX_TOKENS:
            raise FormatError(f"the chat template has more than {MAX_TOKENS:,} words and signs")
        if count - began > MAX_IN_TAG:
            raise FormatError(f"the chat template has more than {MAX_IN_TAG:,} words in a tag")
        if brackets > MAX_BRACKETS or blocks > MAX_BLOCKS or max(signs, conditions) > MAX_TREE:
            raise _too_deep()


def _tokens(environment: Environment, source: str) -> Iterator[tuple[str, str]]:
    for _, kind, text in environment.lexer.tokeniter(source, None):
        if kind != "whitespace":
            yield kind, text


_LONG_NUMBER = re.compile("[0-9a-fA-F_]{9999}")
_BEGINS = ("block_begin", "variable_begin")
_OUTSIDE = (*_BEGINS, "data", "raw_begin", "raw_end", "comment_begin", "comment")
_OPENS, _CLOSES = frozenset("([{"), frozenset(")]}")
_SIGNS = _OPENS | _CLOSES | {"=", "-", "+"}
_BLOCKS = frozenset("if for macro call filter with set block autoescape generation".split())
_WORDS = frozenset("and or not in is if elif else recursive".split())
_NO_VALUE = frozenset(
    (*_BEGINS, *_WORDS, *_OPENS, *"+ - * / // % ** ~ , : = == != < <= > >= |".split())
)


def _check_depth(tree: nodes.Template) -> None:
    """Raise FormatError for a tree that is too deep to be walked.

    The left sides of signs in a row are no depth: whoever walks the tree goes along them.
    """
    left: list[tuple[nodes.Node, int]] = [(tree, 0)]
    while left:
        node, depth = left.pop()
        if depth > MAX_TREE:
            raise _too_deep()
        for child in node.iter_child_nodes():
            row = isinstance(node, nodes.BinExpr) and child is node.left
            left.append((child, depth if row else depth + 1))


def _too_deep() -> FormatError:
    return FormatError(
        f"the chat template nests too deeply: it may have {MAX_BRACKETS} brackets or blocks within "
        "each other"
    )
