"""What the bench found, as it is kept in docs/bench/results.json: samples, never averages."""

from __future__ import annotations

import dataclasses
import json
import statistics
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


@dataclass(frozen=True, slots=True)
class Spread:
    """A median with its extremes."""

    median: float
    low: float
    high: float
    count: int

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread | None:
        if not values:
            return None
        return cls(statistics.median(values), min(values), max(values), len(values))


@dataclass(slots=True)
class Rate:
    """Repeated generations of one runner on one model."""

    model: str
    encoding: str
    runner: str
    threads: int
    samples: list[dict[str, float]] = field(default_factory=list)
    """promptTokens, promptMs, tokens, decodeMs: as the pages report them."""
    missing: str | None = None
    """Why there are no samples."""

    @property
    def decode(self) -> Spread | None:
        """Tokens a second, after the first."""
        found = [s for s in self.samples if s["tokens"] > 1]
        return Spread.of([1000 * (s["tokens"] - 1) / s["decodeMs"] for s in found])

    @property
    def prompt(self) -> Spread | None:
        """Prompt tokens a second, until the first new token is there."""
        return Spread.of([1000 * s["promptTokens"] / s["promptMs"] for s in self.samples])


@dataclass(slots=True)
class Start:
    """Repeated visits to one runner's start page."""

    runner: str
    model: str
    visit: int
    """1 with empty caches, 2 and on with what the visits before left."""
    samples: list[dict[str, Any]] = field(default_factory=list)
    """firstToken (ms), stages (ms), bytes, requests."""
    missing: str | None = None

    @property
    def seconds(self) -> Spread | None:
        return Spread.of([s["firstToken"] / 1000 for s in self.samples if "firstToken" in s])

    @property
    def megabytes(self) -> Spread | None:
        return Spread.of([s["bytes"] / 1e6 for s in self.samples])


@dataclass(slots=True)
class Memory:
    """The most that a page's process had in memory."""

    runner: str
    model: str
    encoding: str
    peak_bytes: list[int] = field(default_factory=list)
    missing: str | None = None

    @property
    def megabytes(self) -> Spread | None:
        return Spread.of([peak / 1e6 for peak in self.peak_bytes])


@dataclass(slots=True)
class Limit:
    """What the machine can do at best, one thread: `read` in bytes a second, else products."""

    where: str
    what: str
    values: list[float] = field(default_factory=list)


@dataclass(slots=True)
class Micro:
    """One kernel on one matrix: multiply-adds a second."""

    where: str
    encoding: str
    rows: int
    cols: int
    tokens: int
    bytes: int
    values: list[float] = field(default_factory=list)


@dataclass(slots=True)
class Profile:
    """Where one decoding's time went in the worker."""

    model: str
    encoding: str
    sample: dict[str, float]
    """As a rate's."""
    places: dict[str, float]
    """Share of the time, waiting left out."""
    functions: list[list[Any]]
    """[place, name, share], the largest first."""


@dataclass(slots=True)
class Shading:
    """One text, written with so much said about each token."""

    model: str
    tokens: int
    way: str
    milliseconds: list[float] = field(default_factory=list)
    """From the first token to the last."""

    @property
    def decode(self) -> Spread | None:
        """Tokens a second, after the first."""
        return Spread.of([1000 * (self.tokens - 1) / ms for ms in self.milliseconds])


@dataclass(slots=True)
class Stepping:
    """Steps of the debugger: milliseconds of processor time of each, and by the clock."""

    model: str
    kernels: list[float] = field(default_factory=list)
    """In the kernels: one decode, and the draw with its stages."""
    worker: list[float] = field(default_factory=list)
    """In the rest of the worker."""
    page: list[float] = field(default_factory=list)
    """In the page's thread."""
    wall: list[float] = field(default_factory=list)
    """From the click to the frame that shows the result, while the worker is profiled."""

    @property
    def interface(self) -> Spread | None:
        """All but the kernels."""
        return Spread.of([sum(parts) for parts in zip(self.worker, self.page, strict=True)])


@dataclass(slots=True)
class Looking:
    """Looks inside the model, each of the patterns of all heads: milliseconds of processor time,
    and by the clock."""

    model: str
    tokens: int
    wall: list[float] = field(default_factory=list)
    """From the click to the frame that shows them, not profiled."""
    kernels: list[float] = field(default_factory=list)
    worker: list[float] = field(default_factory=list)
    """In the rest of the worker."""
    page: list[float] = field(default_factory=list)
    """In the page's thread."""
    ranking: list[float] = field(default_factory=list)
    """Every head switched off over held-out stories: seconds by the clock."""
    plain: list[float] = field(default_factory=list)
    """Ordinary decoding in a page that has never looked inside, in tokens a second."""
    looked: list[float] = field(default_factory=list)
    """The same in a page that has; in turns with the other."""


@dataclass(slots=True)
class Results:
    """Everything of one run."""

    about: dict[str, Any] = field(default_factory=dict)
    """When, with which command, on which machine, with which versions."""
    rates: list[Rate] = field(default_factory=list)
    starts: list[Start] = field(default_factory=list)
    memory: list[Memory] = field(default_factory=list)
    limits: list[Limit] = field(default_factory=list)
    micro: list[Micro] = field(default_factory=list)
    profiles: list[Profile] = field(default_factory=list)
    shading: list[Shading] = field(default_factory=list)
    stepping: list[Stepping] = field(default_factory=list)
    looking: list[Looking] = field(default_factory=list)
    models: dict[str, dict[str, Any]] = field(default_factory=dict)

    def rate(self, model: str, encoding: str, runner: str, threads: int = 1) -> Rate | None:
        wanted = (model, encoding, runner, threads)
        for one in self.rates:
            if (one.model, one.encoding, one.runner, one.threads) == wanted:
                return one
        return None

    def start(self, runner: str, visit: int) -> Start | None:
        for one in self.starts:
            if (one.runner, one.visit) == (runner, visit):
                return one
        return None

    def peak(self, runner: str, model: str = "", encoding: str = "") -> Spread | None:
        """Megabytes of a page's process."""
        for one in self.memory:
            if (one.runner, one.model, one.encoding) == (runner, model, encoding):
                return one.megabytes
        return None

    def limit(self, where: str, what: str) -> Spread | None:
        for one in self.limits:
            if (one.where, one.what) == (where, what):
                return Spread.of(one.values)
        return None

    def measured(self) -> Iterator[tuple[str, str]]:
        """The models and encodings that there are rates of, in their order."""
        yield from dict.fromkeys((one.model, one.encoding) for one in self.rates)

    def save(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        words = json.dumps(_rounded(dataclasses.asdict(self)), indent=1, ensure_ascii=False)
        path.write_text(words + "\n", encoding="utf-8")

    @classmethod
    def load(cls, path: Path) -> Results:
        return cls.from_json(json.loads(path.read_text(encoding="utf-8")))

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Results:
        return cls(
            about=data["about"],
            rates=[Rate(**one) for one in data["rates"]],
            starts=[Start(**one) for one in data["starts"]],
            memory=[Memory(**one) for one in data["memory"]],
            limits=[Limit(**one) for one in data["limits"]],
            micro=[Micro(**one) for one in data["micro"]],
            profiles=[Profile(**one) for one in data["profiles"]],
            shading=[Shading(**one) for one in data.get("shading", ())],
            stepping=[Stepping(**one) for one in data.get("stepping", ())],
            looking=[Looking(**one) for one in data.get("looking", ())],
            models=data["models"],
        )


def _rounded(value: Any) -> Any:
    """Microseconds are digits enough."""
    if isinstance(value, float):
        return round(value, 3)
    if isinstance(value, dict):
        return {key: _rounded(one) for key, one in value.items()}
    if isinstance(value, list):
        return [_rounded(one) for one in value]
    return value
