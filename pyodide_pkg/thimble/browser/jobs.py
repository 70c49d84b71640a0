"""What takes long, done a little at a time, so that the worker can hear "stop" in between.

It does not know what is done; a service that begins jobs has one `Jobs` to keep them.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Generator, Iterator
from dataclasses import dataclass, field
from typing import Any

from ..errors import OptionError


@dataclass(slots=True)
class Job:
    """One under way: every step of `steps` is a little of it."""

    total: int
    """Steps in all."""
    steps: Iterator[int] = field(default_factory=lambda: iter(()))
    done: int = 0
    result: dict[str, Any] | None = None

    def close(self) -> None:
        if isinstance(self.steps, Generator):
            self.steps.close()  # gives the session back now, not when it is collected


class Jobs:
    """Those of one service that are not over, by their numbers."""

    def __init__(self) -> None:
        self._jobs: dict[int, Job] = {}
        self._numbers = itertools.count(1)

    def begin(self, job: Job) -> dict[str, Any]:
        """What the page is told of a job that `work` is to do."""
        number = next(self._numbers)
        self._jobs[number] = job
        return {"job": number, "total": job.total}

    def work(self, number: int, milliseconds: float) -> dict[str, Any]:
        """Go on for about so long; "result" is None until it is done."""
        job = self._jobs.get(number)
        if job is None:
            raise OptionError(f"there is no measurement {number}; it was ended or never begun")
        until = time.perf_counter() + milliseconds / 1000
        try:
            while next(job.steps, None) is not None and time.perf_counter() < until:
                pass
        except BaseException:
            self.end(number)
            raise
        if job.result is not None:
            self.end(number)
        return {"done": job.done, "total": job.total, "result": job.result}

    def end(self, number: int) -> None:
        """End a job, done or not."""
        job = self._jobs.pop(number, None)
        if job is not None:
            job.close()
