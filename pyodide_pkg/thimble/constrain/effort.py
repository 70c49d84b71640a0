"""How much work a grammar may make, so that one that comes by a link cannot hold a page.

Work is counted in steps, which are the same on every machine: what is refused here is refused
everywhere. Whoever watches is asked every so often, and may raise to stop.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from ..errors import OptionError

AT_ONCE = 100_000
"""Steps of one mask, or of what is done before the first; half a second natively."""
BETWEEN_LOOKS = 1_000
"""Steps, or places of a grammar that is read, between two questions whether to go on."""

_watching: list[Callable[[], None]] = []


@contextmanager
def watched(look: Callable[[], None]) -> Iterator[None]:
    """Let `look` be called every so often while grammars are worked at inside this; what it raises
    ends the work, and the grammar is as good as before."""
    _watching.append(look)
    try:
        yield
    finally:
        _watching.pop()


def ask_to_go_on() -> None:
    """Ask whoever watches whether to go on; raises what they raise."""
    for look in _watching:
        look()


def shortened(pointer: str) -> str:
    """A place in a schema as a message has room for it."""
    return pointer if len(pointer) <= 100 else f"{pointer[:48]}…{pointer[-48:]}"


class Effort:
    """A count of steps. `where` says what is being worked at, for whoever is refused."""

    def __init__(self, most: int = AT_ONCE) -> None:
        self.most = most
        self.where = ""
        self._left = most
        self._until_look = BETWEEN_LOOKS

    @property
    def left(self) -> int:
        """Steps that are left."""
        return self._left

    def begin(self) -> None:
        """Another piece of work, which has all the steps again."""
        self._left = self.most

    def spend(self, steps: int) -> None:
        """Count steps. Raises OptionError where there were too many."""
        self._left -= steps
        if self._left < 0:
            self._left = self.most
            place = f"{shortened(self.where)}: " if self.where else ""
            raise OptionError(
                f"{place}this needs more than {self.most:,} steps at once; make it simpler"
            )
        self._until_look -= steps
        if self._until_look < 0:
            self._until_look = BETWEEN_LOOKS
            ask_to_go_on()
