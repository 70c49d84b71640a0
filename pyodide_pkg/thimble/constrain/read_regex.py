"""Regular expressions as a grammar of the texts that they match.

`regex_syntax.py` reads them, in the notation of ECMA-262. `^` and `$` at the ends of an expression
say only whether more may stand there; any other look around a place makes an automaton of the
whole (`regex_looks.py`). Whether a quantifier is lazy makes no difference to the texts.
"""

from __future__ import annotations

import functools
from collections.abc import Callable

from . import regex_syntax
from .nodes import EMPTY, Alt, Chars, Graph, Node, Range, Repeat, Seq, union
from .regex_looks import Looking, State
from .regex_tree import ANYTHING, END, NOTHING, START, Choice, Concat, Look, Set, Times, Tree

MOST_STATES = 5_000
"""Of an expression that looks around."""
MOST_TAILS = 4_000
"""Characters and classes of what is read when nothing is looked at any more; where it is more, that
is followed state by state, too."""

Encode = Callable[[tuple[Range, ...]], Node]
"""What a class of characters is written as: JSON strings escape some."""


def parse(pattern: str, *, encode: Encode = Chars, search: bool = False, flags: str = "") -> Node:
    """The texts that a pattern matches as a whole; with `search`, those that have a match anywhere.
    `flags` are those of i, m, s and x that hold for all of it. Raises OptionError that says where
    it is wrong."""
    return lowered(regex_syntax.read(pattern, flags=flags), encode=encode, search=search)


def lowered(tree: Tree, *, encode: Encode = Chars, search: bool = False) -> Node:
    """A tree as a node of a grammar."""
    encode = functools.cache(encode)
    whole = _without_edges(tree, search)
    if not _looks(whole):
        return _plain(whole, encode)
    looking = Concat((ANYTHING, tree, ANYTHING)) if search else tree
    return _graph(Looking(looking), encode)


def _without_edges(tree: Tree, search: bool) -> Tree:
    """A tree that matches a whole text, with `^` and `$` gone as far as they stand at its ends."""
    begun, free = _split(tree, START, 0)
    open_left = [(begun, NOTHING), (free, ANYTHING if search else NOTHING)]
    found: list[Tree] = []
    for part, before in open_left:
        if part is None:
            continue
        ended, free = _split(part, END, -1)
        for one, after in ((ended, NOTHING), (free, ANYTHING if search else NOTHING)):
            if one is not None:
                found.append(Concat((before, one, after)))
    return found[0] if len(found) == 1 else Choice(tuple(found))


def _split(tree: Tree, edge: Look, side: int) -> tuple[Tree | None, Tree | None]:
    """The ways through a tree that have an edge of the text on one side, without it, and those
    that have none; None where there are no such ways."""
    if tree is edge:
        return NOTHING, None
    if isinstance(tree, Choice):
        pairs = [_split(part, edge, side) for part in tree.parts]
        with_edge = tuple(one for one, _ in pairs if one is not None)
        without = tuple(one for _, one in pairs if one is not None)
        return Choice(with_edge) if with_edge else None, Choice(without) if without else None
    if isinstance(tree, Concat) and tree.parts:
        there, free = _split(tree.parts[side], edge, side)

        def behind(part: Tree | None) -> Tree | None:
            if part is None:
                return None
            others = tree.parts[1:] if side == 0 else tree.parts[:-1]
            return Concat((part, *others) if side == 0 else (*others, part))

        return behind(there), behind(free)
    return None, tree


def _looks(tree: Tree) -> bool:
    work = [tree]
    while work:
        one = work.pop()
        if isinstance(one, Look):
            return True
        if isinstance(one, (Concat, Choice)):
            work += one.parts
        elif isinstance(one, Times):
            work.append(one.tree)
    return False


def _plain(tree: Tree, encode: Encode) -> Node:
    """A tree that does not look around."""
    if isinstance(tree, Set):
        return encode(tree.ranges)
    if isinstance(tree, Times):
        return Repeat(_plain(tree.tree, encode), tree.low, tree.high)
    assert not isinstance(tree, Look)
    parts = tuple(_plain(part, encode) for part in tree.parts)
    if isinstance(tree, Choice):
        return Alt(parts)
    parts = tuple(one for one in parts if one != EMPTY)
    return parts[0] if len(parts) == 1 else Seq(parts)


def _graph(looking: Looking, encode: Encode) -> Node:
    """All states of a tree that looks around."""
    states: dict[State, int] = {looking.start: 0}
    ways = _explored(looking, states, tails=True)
    tails = [state for state in states if state not in ways]
    if len(tails) > 8 and sum(_size(looking, state) for state in tails) > MOST_TAILS:
        states = {looking.start: 0}
        ways = _explored(looking, states, tails=False)
        tails = []
    edges: list[tuple[tuple[Node, int], ...]] = []
    for state in states:
        if state in ways:
            edges.append(tuple(
                (encode(_ranges(looking, classes)), states[target])
                for target, classes in ways[state].items()
            ))  # fmt: skip
        else:
            left = tuple(looking.trees(state[0]))
            edges.append(((_plain(Concat(left), encode), len(states)),))
    ends = {number for state, number in states.items() if looking.ends(state)}
    return Graph((*edges, ()), frozenset((*ends, len(states))))


def _explored(
    looking: Looking, states: dict[State, int], *, tails: bool
) -> dict[State, dict[State, int]]:
    """Of each state the states behind it; numbers all of them. With `tails`, those that look at
    nothing any more are left alone."""
    ways: dict[State, dict[State, int]] = {}
    work = [looking.start]
    while work:
        state = work.pop()
        if state in ways or (tails and looking.plain(state)):
            continue
        ways[state] = looking.ways(state)
        for target in ways[state]:
            if target not in states:
                states[target] = len(states)
                work.append(target)
        if len(states) > MOST_STATES:
            raise looking.too_much(f"makes more than {MOST_STATES:,} states")
    return ways


def _size(looking: Looking, state: State) -> int:
    return sum(_weight(tree) for tree in looking.trees(state[0]))


def _weight(tree: Tree) -> int:
    """Characters and classes of a tree, copies included."""
    if isinstance(tree, Set):
        return 1
    if isinstance(tree, Times):
        return _weight(tree.tree) * (tree.high or tree.low + 1)
    return 1 if isinstance(tree, Look) else sum(_weight(part) for part in tree.parts)


def _ranges(looking: Looking, classes: int) -> tuple[Range, ...]:
    return union(
        one for kind, ranges in enumerate(looking.classes) if classes >> kind & 1 for one in ranges
    )
