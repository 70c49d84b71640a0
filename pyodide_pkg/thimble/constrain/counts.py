"""Counts of repetitions that no token can tell apart.

The hundredth word of a text and the ninety-ninth differ in how many may still come, and in nothing
that a token reaches. So masks are made for a language without such counts (`folded`), or shared
where two languages around it have the same one (`around`).
"""

from __future__ import annotations

from .regular import ALT, BOTH, REPEAT, SEQ, Algebra, Regular

FEW_COPIES = 4
"""Of what has several parts: a token seldom holds more."""


def folded(algebra: Algebra, r: Regular, reach: int) -> Regular:
    """The same as far as `reach` bytes tell, larger numbers of repetitions taken for one."""
    if r.kind == SEQ:
        parts = [r]
        while parts[-1].kind == SEQ:
            parts[-1:] = [parts[-1].a, parts[-1].b]
        short = [folded(algebra, part, reach) for part in parts]
        return r if short == parts else algebra.seq(*short)
    if r.kind == ALT:
        return algebra.alt([folded(algebra, part, reach) for part in r.a])
    if r.kind == REPEAT and not r.a.nullable:
        low, high = r.b
        if low > reach or (high is not None and high > reach):
            high = None if high is not None and high > reach else high
            return algebra.repeat(r.a, min(low, reach + 1), high)
    return r


def around(algebra: Algebra, r: Regular, reach: int) -> tuple[Regular, Regular]:
    """A language that has no text that `r` lacks, and one that has all of its texts, the same
    for all numbers of repetitions that a token of `reach` bytes will hardly come to."""
    if r.kind in (SEQ, ALT, BOTH):
        parts = list(r.a) if r.kind != SEQ else [r]
        while parts[-1].kind == SEQ == r.kind:
            parts[-1:] = [parts[-1].a, parts[-1].b]
        pairs = [around(algebra, part, reach) for part in parts]
        if all(less is more for less, more in pairs):
            return r, r
        inner, outer = [less for less, _ in pairs], [more for _, more in pairs]
        if r.kind == SEQ:
            return algebra.seq(*inner), algebra.seq(*outer)
        join = algebra.alt if r.kind == ALT else algebra.both
        return join(inner), join(outer)
    if r.kind == REPEAT:
        low, high = r.b
        most = FEW_COPIES if r.a.kind == SEQ else reach
        if high is not None and low <= most < high:
            return algebra.repeat(r.a, low, most), algebra.repeat(r.a, low, None)
    return r, r
