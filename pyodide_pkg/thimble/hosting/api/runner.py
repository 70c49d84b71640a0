"""Models in memory, and generations in a thread: one at a time for each model.

The kernels let go of Python while they compute, so the server answers others meanwhile. Requests
for one model take turns; keys and values of the last conversation are reused by the next.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from ...errors import OptionError, ThimbleError
from ...loader import load

if TYPE_CHECKING:
    from ...model import Model
    from ...session import Session

MOST_WAITING = 16
"""Requests that may wait for one model."""
Item = TypeVar("Item")
_DONE: Any = object()


class NoModelError(OptionError):
    """There is no model of this name."""


class BusyError(ThimbleError):
    """Too many wait already."""


class Place:
    """A model, its session, and the thread that computes it."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="thimble")
        self._turn = asyncio.Lock()
        self._waiting = 0
        self._model: Model | None = None
        self._session: Session | None = None

    @property
    def model(self) -> Model:
        assert self._model is not None
        return self._model

    @property
    def session(self) -> Session:
        if self._session is None:
            self._session = self.model.session()
        return self._session

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[Place]:
        """Wait until nobody else uses the model, which is loaded when first asked for."""
        if self._waiting >= MOST_WAITING:
            raise BusyError(f"{MOST_WAITING} requests wait for this model already; ask again later")
        self._waiting += 1
        try:
            async with self._turn:
                if self._model is None:
                    self._model = await self.run(lambda: load(self._path))
                yield self
        finally:
            self._waiting -= 1

    async def run(self, work: Callable[[], Item]) -> Item:
        """Do something in the model's thread."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)

    async def each(self, items: Callable[[], Iterator[Item]]) -> AsyncIterator[Item]:
        """What an iterator gives, each item made in the thread; whoever leaves ends it."""
        made = await self.run(items)
        try:
            while (item := await self.run(lambda: next(made, _DONE))) is not _DONE:
                yield item
        finally:
            close = getattr(made, "close", None)
            if close is not None:
                await asyncio.shield(self.run(close))


class Runner:
    """All models that are offered, by name; the first is the default."""

    def __init__(self, paths: Mapping[str, Path]) -> None:
        self.paths = dict(paths)
        self._places: dict[str, Place] = {}

    def place(self, name: Any) -> tuple[str, Place]:
        """Where a model is. Raises NoModelError for a name that there is not."""
        if name is None or name == "default":
            name = next(iter(self.paths))
        if not isinstance(name, str) or name not in self.paths:
            names = ", ".join(self.paths)
            raise NoModelError(f"there is no model {name!r:.80}; there are {names}")
        if name not in self._places:
            self._places[name] = Place(self.paths[name])
        return name, self._places[name]
