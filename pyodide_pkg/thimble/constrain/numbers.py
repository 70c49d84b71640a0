"""Numbers of JSON, and those between two bounds, as regular expressions.

Numbers are at most 16 digits long before and behind the point, and exponents two, so that a model
that has lost its way ends, and what it says is a number everywhere.
"""

from __future__ import annotations

DIGITS = 16
INTEGER = r"(?:0|-?[1-9][0-9]{0,15})"
NUMBER = r"-?(?:0|[1-9][0-9]{0,15})(?:\.[0-9]{1,16})?(?:[eE][+-]?[0-9]{1,2})?"
LARGEST = 10**DIGITS - 1
BOUND = 10**11 - 1
"""Of numbers with a fraction that have bounds."""


def same_length(low: str, high: str) -> str:
    """Numbers of as many digits as both bounds have."""
    if not low:
        return ""
    if low[0] == high[0]:
        return low[0] + same_length(low[1:], high[1:])
    rest = len(low) - 1
    parts = []
    first, last = int(low[0]), int(high[0])
    if low[1:].strip("0"):
        parts.append(low[0] + same_length(low[1:], "9" * rest))
        first += 1
    if high[1:].strip("9"):
        parts.append(high[0] + same_length("0" * rest, high[1:]))
        last -= 1
    if first <= last:
        parts.append(f"[{first}-{last}]" + (f"[0-9]{{{rest}}}" if rest else ""))
    return f"(?:{'|'.join(parts)})"


def natural(low: int, high: int) -> str:
    """Whole numbers from `low` to `high`, neither below 0; at most 16 digits."""
    parts = []
    for length in range(len(str(low)), len(str(high)) + 1):
        first = max(low, 10 ** (length - 1) if length > 1 else 0)
        parts.append(same_length(str(first), str(min(high, 10**length - 1))))
    return f"(?:{'|'.join(parts)})"


def integer(low: int | None, high: int | None) -> str | None:
    """Whole numbers between two bounds, None for no bound; None where there are none."""
    if low is None and high is None:
        return INTEGER
    bottom = -LARGEST if low is None else max(low, -LARGEST)
    top = LARGEST if high is None else min(high, LARGEST)
    parts = []
    if bottom <= top and top >= 0:
        parts.append(natural(max(bottom, 0), top))
    if bottom <= top and bottom < 0:
        parts.append("-" + natural(max(1, -top), -bottom))
    return f"(?:{'|'.join(parts)})" if parts else None


def number(low: int | None, high: int | None, *, above: bool, below: bool) -> str | None:
    """Numbers between two whole bounds; with `above` and `below` without the bound itself. At most
    11 digits before the point and 4 behind it: no two of them are the same binary number."""
    if low is None and high is None:
        return NUMBER
    bottom = -BOUND if low is None else max(low, -BOUND)
    top = BOUND if high is None else min(high, BOUND)
    parts = []
    if top > 0:
        parts += _upward(max(bottom, 0), top, above and bottom >= 0, below)
    if bottom < 0:
        parts += ["-" + one for one in _upward(max(-top, 0), -bottom, below and top <= 0, above)]
    if bottom <= 0 <= top and not (above and bottom == 0) and not (below and top == 0):
        parts.append(r"0(?:\.0{1,4})?")
    return f"(?:{'|'.join(parts)})" if parts else None


def _upward(low: int, high: int, above: bool, below: bool) -> list[str]:
    """Numbers from `low` to `high`, neither below 0, with `above` and `below` without the bound."""
    parts = []
    if above and low < high:
        parts.append(rf"{low}\.[0-9]{{0,3}}[1-9]")
    first = low + above
    if first < high:
        parts.append(natural(first, high - 1) + r"(?:\.[0-9]{1,4})?")
    if first <= high and not below:
        parts.append(rf"{high}(?:\.0{{1,4}})?")
    return parts
