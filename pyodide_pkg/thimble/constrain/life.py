"""Whether a regular language has any text at all."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .kinds import ALT, BYTES, EPSILON, NOTHING, REPEAT, SEQ, WORDS

if TYPE_CHECKING:
    from .regular import Regular


def find_life(start: Regular) -> None:
    """Find out whether an expression has any text, and say so of all that were met."""
    quick = _quick_life(start)
    if quick is not None:
        start._live = quick
        return
    came: dict[Regular, Regular | None] = {start: None}
    work = [start]
    while work:
        at = work.pop()
        if at.nullable or at._live or _quick_life(at):
            back: Regular | None = at
            while back is not None:
                back._live = True
                back = came[back]
            return
        if at._live is False:
            continue
        for _, target in at.moves:
            if target not in came:
                came[target] = at
                work.append(target)
    for one in came:
        one._live = False


def _life_of_parts(r: Regular) -> bool | None:
    """Whether there is any text of parts one behind the other, where it is seen at once."""
    met: list[Regular] = []
    heads = True
    while r.kind == SEQ and r._live is None:
        met.append(r)
        head = _quick_life(r.a)
        if head is False:
            return False
        heads = heads and head is True
        r = r.b
    last = _quick_life(r)
    if last is False:
        return False
    if not (heads and last):
        return None
    for one in met:
        one._live = True
    return True


def _quick_life(r: Regular) -> bool | None:
    """Whether there is any text, where it is seen at once."""
    if r._live is not None:
        return r._live
    if r.nullable:
        return True
    kind = r.kind
    if kind == NOTHING:
        return False
    if kind in (BYTES, WORDS, EPSILON):
        return True
    if kind == SEQ:
        return _life_of_parts(r)
    if kind == REPEAT:
        return _quick_life(r.a)
    if kind == ALT and any(_quick_life(part) for part in r.a):
        return True
    return None
