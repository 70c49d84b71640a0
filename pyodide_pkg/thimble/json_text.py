"""JSON by strangers: how deep it is, is known before it is parsed.

Python's parser calls itself for each list in a list, and in a page the stack for that is short: a
megabyte of brackets ends the interpreter, which no `except` can catch. So depth is counted first,
by replacing, which calls nothing. Everything that reads JSON from outside reads it here.
"""

from __future__ import annotations

import json
import re
from typing import Any, NoReturn

from .errors import FormatError, ThimbleError

MAX_DEPTH = 100
"""Lists and objects within each other. Of MaskBench's 4,390 schemas the deepest has 63."""

# A text ends at its quote or with the file, so that it is looked at once.
_TEXT = re.compile(r'"[^"\\]*+(?:\\.[^"\\]*+)*+(?:"|\\?\Z)', re.DOTALL)
_PART = re.compile(_TEXT.pattern + r"\s*:|" + _TEXT.pattern + r"|[\[\]{},]", re.DOTALL)
_OTHER = re.compile(r"[^\[\]{}]+")


def parse_json(
    data: str | bytes,
    what: str = "this",
    error: type[ThimbleError] = FormatError,
    *,
    depth: int = MAX_DEPTH,
    constants: bool = False,
) -> Any:
    """What JSON says: `what` names it in errors, all of which are `error`.

    Raises it for what is no JSON (NaN and Infinity are none, unless `constants` are wanted), and
    for more than `depth` lists and objects within each other.
    """
    try:
        if isinstance(data, bytes):
            data = data.decode(json.detect_encoding(data), "surrogatepass")
        check_depth(data, what, error, depth=depth)
        return json.loads(data, parse_constant=None if constants else _no_constant)
    except (ValueError, RecursionError) as reason:
        raise error(f"{what} is no JSON: {reason!s:.300}") from None


def check_depth(
    text: str, what: str, error: type[ThimbleError] = FormatError, *, depth: int = MAX_DEPTH
) -> None:
    """Raise `error` for a text whose brackets stand deeper within each other than `depth`."""
    if is_too_deep(text, depth):
        raise error(f"{what} has more than {depth} lists and objects within each other")


def is_too_deep(text: str, depth: int = MAX_DEPTH) -> bool:
    """Whether the brackets of a text stand deeper within each other than `depth`.

    Each pass takes the innermost pairs away, so what is left after `depth` passes was deeper, or
    has no partner.
    """
    if text.count("[") + text.count("{") <= depth:
        return False
    brackets = _OTHER.sub("", _TEXT.sub("", text)).replace("[", "{").replace("]", "}")
    for _ in range(depth):
        fewer = brackets.replace("{}", "")
        if len(fewer) == len(brackets):
            break
        brackets = fewer
    return brackets.count("{") > depth or "{}" in brackets


def pointer_at_depth(text: str, depth: int = MAX_DEPTH) -> str:
    """The place of the first list or object within `depth` others, as a JSON pointer's fragment
    (RFC 6901); of the last one where none is so deep."""
    names: list[str | int] = []
    for found in _PART.finditer(text):
        part = found[0]
        if part in "[{":
            if len(names) == depth:
                break
            names.append(0 if part == "[" else "")
        elif not names:
            continue
        elif part in "]}":
            names.pop()
        elif part == "," and isinstance(names[-1], int):
            names[-1] += 1
        elif part.endswith(":") and isinstance(names[-1], str):
            names[-1] = part[1 : part.rindex('"')]
    said = (str(name).replace("~", "~0").replace("/", "~1") for name in names)
    return "#" + "".join(f"/{name}" for name in said)


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no number of JSON")
