"""What a Lark grammar is made of, once it is read (`lark_syntax.py`)."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Name:
    name: str
    at: int


@dataclass(frozen=True, slots=True)
class Literal:
    text: str
    ignore_case: bool = False


@dataclass(frozen=True, slots=True)
class Between:
    """One character from a first to a last one."""

    first: str
    last: str


@dataclass(frozen=True, slots=True)
class Pattern:
    pattern: str
    flags: str
    at: int


@dataclass(frozen=True, slots=True)
class Special:
    """Tokens of the vocabulary: `<|end|>`, `<[12,20-30]>`, `<[^12]>`, `<[*]>`."""

    text: str
    at: int


@dataclass(frozen=True, slots=True)
class Schema:
    source: str
    at: int


@dataclass(frozen=True, slots=True)
class Absent:
    """Any text but these."""

    part: Part


@dataclass(frozen=True, slots=True)
class Times:
    part: Part
    low: int
    high: int | None


@dataclass(frozen=True, slots=True)
class Ways:
    """Alternatives: each texts that several sequences have at once, as a rule only one."""

    ways: tuple[tuple[tuple[Part, ...], ...], ...]
    at: int


Part = Name | Literal | Between | Pattern | Special | Schema | Absent | Times | Ways


@dataclass(slots=True)
class Definition:
    """A rule or a terminal."""

    body: Ways
    at: int
    lazy: bool = False
    """Whether it ends as soon as it may."""
    suffix: Part | None = None


@dataclass(slots=True)
class Document:
    rules: dict[str, Definition] = field(default_factory=dict)
    tokens: dict[str, Definition] = field(default_factory=dict)
    imports: dict[str, Name] = field(default_factory=dict)
    """Of local names what they are called in `common`."""
    ignored: list[Ways] = field(default_factory=list)
    options: set[str] = field(default_factory=set)
    """Those of `%llguidance` that are on."""
