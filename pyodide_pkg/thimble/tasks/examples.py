"""From a table or lines of JSON to examples, and which of them are learned from.

    table = read_table(data)                    # CSV, TSV, a pasted table, JSONL
    examples = make_examples(table)             # its columns found, or named
    examples.part("train"), examples.part("held-out")

An example belongs to a part by the hash of what is given, so whoever has the data has the same
parts, and what says the same in other letters or spaces is in the same part.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from ..errors import FormatError, OptionError
from ..json_text import parse_json
from .tables import Table

FEWEST = 20
"""Examples, fewer than which can be neither learned from nor measured on."""
MOST = 100_000
MOST_LABELS = 100
"""Different answers of a task that chooses one; more are texts to be written."""
MOST_LABEL = 80
"""Characters of a label."""
MOST_CHARACTERS = 20_000
"""Of an example."""
TENTHS = {"held-out": (0, 1), "check": (2,), "train": (3, 4, 5, 6, 7, 8, 9)}
"""Which tenths of all hashes are which part: `train` is learned from, `check` says when to stop and
how sure answers are, `held-out` is measured on."""
KINDS = ("label", "json", "text")
GIVEN = ("text", "input", "prompt", "question", "message", "sentence", "review", "utterance")
WANTED = (
    "label", "output", "completion", "answer", "class", "category", "intent", "sentiment", "json",
    "response", "target", "fields", "reply",
)  # fmt: skip
GIVEN_MARK, END_MARK = "\x1f", "\x1e"
"""Between what is given and what is wanted, and between examples, in the text that is trained on:
the separators of ASCII, which examples lose."""
_MARKS = re.compile(r"[\x00\x1c-\x1f]")


@dataclass(frozen=True, slots=True)
class Example:
    """What is given, and what is wanted."""

    given: str
    wanted: str

    @property
    def part(self) -> str:
        """Which part it belongs to."""
        plain = re.sub(r"\W+", " ", self.given.casefold()).strip() or self.given
        tenth = int.from_bytes(hashlib.sha256(plain.encode()).digest()[:8], "big") % 10
        return next(part for part, tenths in TENTHS.items() if tenth in tenths)


@dataclass(frozen=True, slots=True)
class Examples:
    """Examples that were found sound, and what was left out."""

    kind: str
    """`label`: one of a few; `json`: an object; `text`: anything."""
    examples: tuple[Example, ...]
    given: str
    """The column's name."""
    wanted: str
    left_out: dict[str, int] = field(default_factory=dict)
    """How many, by why."""

    @property
    def labels(self) -> tuple[str, ...]:
        """All different answers, where one is to be chosen; else none."""
        return tuple(sorted({e.wanted for e in self.examples})) if self.kind == "label" else ()

    def part(self, name: str) -> list[Example]:
        return [example for example in self.examples if example.part == name]

    @property
    def sha256(self) -> str:
        """Of all examples, in any order."""
        lines = sorted(f"{e.given}{GIVEN_MARK}{e.wanted}" for e in self.examples)
        return hashlib.sha256(END_MARK.join(lines).encode()).hexdigest()

    def report(self) -> dict[str, Any]:
        """What a visitor is shown of them, ready for JSON."""
        wanted = Counter(e.wanted for e in self.examples)
        given = [len(e.given) for e in self.examples]
        return {
            "kind": self.kind,
            "examples": len(self.examples),
            "given": self.given,
            "wanted": self.wanted,
            "parts": {part: len(self.part(part)) for part in ("train", "check", "held-out")},
            "left_out": dict(self.left_out),
            "labels": dict(wanted.most_common()) if self.kind == "label" else {},
            "different": len(wanted),
            "characters": {
                "shortest": min(given), "middle": sorted(given)[len(given) // 2],
                "longest": max(given), "longest_wanted": max(len(e.wanted) for e in self.examples),
            },
            "sha256": self.sha256,
        }  # fmt: skip


def guess_columns(table: Table) -> tuple[str, str]:
    """Return which columns are given and wanted: by their names, else the first two."""
    names = {name.casefold(): name for name in reversed(table.columns)}
    given = next((names[name] for name in GIVEN if name in names), None)
    wanted = next((names[n] for n in WANTED if n in names and names[n] != given), None)
    rest = [name for name in table.columns if name not in (given, wanted)]
    given = given or (rest.pop(0) if rest else None)
    wanted = wanted or (rest.pop(0) if rest else None)
    if given is None or wanted is None:
        raise FormatError(
            f"there is one column, {table.columns[0]!r:.60}: an example has two, what is given and "
            "what is wanted"
        )
    return given, wanted


def make_examples(table: Table, *, given: str = "", wanted: str = "", kind: str = "") -> Examples:
    """Return a table's examples; columns and kind are found out where they are not named.

    Raises OptionError for a column or kind that there is not, and where the examples cannot be
    learned from, saying why.
    """
    if kind and kind not in KINDS:
        raise OptionError(f"the kind is {kind!r:.40}; it must be one of {', '.join(KINDS)}")
    usual = guess_columns(table) if not (given and wanted) else (given, wanted)
    columns = (given or usual[0], wanted or usual[1])
    for name in columns:
        if name not in table.columns:
            raise OptionError(
                f"there is no column {name!r:.60}; there are {', '.join(table.columns):.200}"
            )
    if columns[0] == columns[1]:
        raise OptionError(f"the column {columns[0]!r:.60} cannot be both given and wanted")
    places = [table.columns.index(name) for name in columns]
    kept, left_out = _sound((row[places[0]], row[places[1]]) for row in table.rows)
    left_out |= {"broken rows": table.broken} if table.broken else {}
    found = kind or _kind(kept)
    if found == "json":
        kept = [Example(e.given, _plain_json(e)) for e in kept]
    made = Examples(found, tuple(kept), *columns, left_out)
    _check(made, table)
    return made


def _sound(rows: Iterable[tuple[str, str]]) -> tuple[list[Example], dict[str, int]]:
    """The examples of rows: those that are empty, too long or there already are left out, and those
    that want something else for what was given before."""
    seen: dict[str, str] = {}
    out: Counter[str] = Counter()
    for row in rows:
        given, wanted = (" ".join(_MARKS.sub(" ", cell).split(" ")).strip() for cell in row)
        if not given or not wanted:
            out["empty"] += 1
        elif len(given) + len(wanted) > MOST_CHARACTERS:
            out[f"longer than {MOST_CHARACTERS:,} characters"] += 1
        elif given in seen:
            out["duplicates" if seen[given] == wanted else "contradictions"] += 1
        else:
            seen[given] = wanted
    return [Example(given, wanted) for given, wanted in seen.items()], dict(out)


def _kind(examples: Sequence[Example]) -> str:
    """What is wanted, going by the examples."""
    wanted = {e.wanted for e in examples}
    if wanted and all(_is_object(text) for text in wanted):
        return "json"
    short = all(len(text) <= MOST_LABEL for text in wanted)
    return "label" if short and len(wanted) <= min(MOST_LABELS, len(examples) / 4) else "text"


def _is_object(text: str) -> bool:
    if not text.startswith("{"):
        return False
    try:
        return isinstance(parse_json(text, "an answer"), dict)
    except FormatError:
        return False


def _plain_json(example: Example) -> str:
    """An object as it is to be written: in one line, in the order of its members."""
    if not _is_object(example.wanted):
        raise OptionError(
            f"an answer is no JSON object: {example.wanted!r:.60}, for {example.given!r:.40}"
        )
    return json.dumps(json.loads(example.wanted), ensure_ascii=False)


def _check(made: Examples, table: Table) -> None:
    """Raise where these are no examples to learn from."""
    n = len(made.examples)
    if not FEWEST <= n <= MOST:
        out = ", ".join(f"{count:,} {why}" for why, count in made.left_out.items())
        raise OptionError(
            f"there are {n:,} examples{f' (left out: {out})' if out else ''}; from {FEWEST} to "
            f"{MOST:,} can be learned from and measured on"
        )
    wanted = {e.wanted for e in made.examples}
    if len(wanted) == 1:
        raise OptionError(
            f"all {n:,} examples want {wanted.pop()!r:.60}: there is nothing to tell apart"
        )
    if made.kind == "label" and (longest := max(wanted, key=len)) and (
        len(wanted) > MOST_LABELS or len(longest) > MOST_LABEL
    ):  # fmt: skip
        raise OptionError(
            f"there are {len(wanted):,} different labels, the longest of {len(longest):,} "
            f"characters; at most {MOST_LABELS} of {MOST_LABEL} are chosen from: let them be texts "
            "(kind text)"
        )
    for part in ("train", "held-out"):
        few = len(made.part(part))
        if few < 3:
            raise OptionError(
                f"of {n:,} examples {few} fall into the part {part!r}, too few: more are needed"
            )
    learned = {e.wanted for e in made.part("train")}
    if made.kind == "label" and (unseen := wanted - learned):
        raise OptionError(
            f"the label {min(unseen)!r:.60} has no example to learn from: it needs more than "
            f"{sum(e.wanted in unseen for e in made.examples)}"
        )
