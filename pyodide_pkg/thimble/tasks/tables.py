"""Tables out of files and pasted texts: CSV, TSV, lines of JSON.

    table = read_table(data)
    table.columns, table.rows

Of JSON's shapes it knows those that examples come in: `messages` (chat), `prompt` and `completion`,
`text` and anything else. It does not know which columns matter (`examples.py`).
"""

from __future__ import annotations

import csv
import io
import json
from dataclasses import dataclass
from typing import Any

from ..errors import FormatError
from ..json_text import parse_json

MOST_BYTES = 64 << 20
MOST_COLUMNS = 200
NAMED = frozenset((
    "text", "input", "prompt", "question", "message", "sentence", "review", "utterance", "label",
    "output", "completion", "answer", "class", "category", "intent", "sentiment", "json", "target",
    "response", "fields", "reply", "id",
))  # fmt: skip
"""Cells that make a first row a row of names."""


@dataclass(frozen=True, slots=True)
class Table:
    """Rows of equal width, all of them texts."""

    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    broken: int = 0
    """Rows that were left out since they have another number of cells."""


def read_table(data: bytes | str) -> Table:
    """Read a file's bytes or a pasted text. Raises FormatError for what is no table."""
    text = data if isinstance(data, str) else decoded(data)
    text = text.removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n").strip("\n")
    if not text.strip():
        raise FormatError("there is nothing in it: an example is a row with two cells")
    if "\0" in text:
        raise FormatError("there are NUL characters in it: this is no table of text")
    first = text.lstrip()[0]
    if first == "{":
        return _of_objects(_lines(text))
    if first == "[":
        return _of_objects(_array(text))
    return _of_cells(text)


def decoded(data: bytes) -> str:
    """Return a file's text. Raises FormatError where it is too large or in another encoding."""
    if len(data) > MOST_BYTES:
        raise FormatError(f"the file has {len(data):,} bytes; at most {MOST_BYTES:,} are read")
    if data[:2] in (b"\xff\xfe", b"\xfe\xff"):
        try:
            return data.decode("utf-16")
        except UnicodeDecodeError as error:
            raise FormatError(f"the file begins as UTF-16 and is none: {error.reason}") from None
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise FormatError(
            f"the file is not in UTF-8: byte 0x{data[error.start]:02x} in line {line:,}; save it "
            "as UTF-8"
        ) from None


def _lines(text: str) -> list[tuple[int, Any]]:
    """JSON values by their lines' numbers."""
    found = []
    for number, line in enumerate(text.split("\n"), 1):
        if line.strip():
            found.append((number, _parsed(line, f"line {number:,}")))
    return found


def _array(text: str) -> list[tuple[int, Any]]:
    return list(enumerate(_parsed(text, "the list"), 1))


def _parsed(text: str, where: str) -> Any:
    return parse_json(text, where)


def _of_objects(values: list[tuple[int, Any]]) -> Table:
    rows: list[dict[str, str]] = []
    columns: dict[str, None] = {}
    for number, value in values:
        if not isinstance(value, dict) or not value:
            raise FormatError(f"line {number:,} is no object with what is given and wanted")
        row = _chat(value["messages"], number) if "messages" in value else {
            str(name): _words(cell) for name, cell in value.items()
        }  # fmt: skip
        rows.append(row)
        columns |= dict.fromkeys(row)
    return _table(list(columns), [tuple(row.get(name, "") for name in columns) for row in rows])


def _chat(messages: Any, number: int) -> dict[str, str]:
    """A conversation: all up to the last answer is given."""
    ok = isinstance(messages, list) and all(
        isinstance(m, dict) and isinstance(m.get("content"), str) for m in messages
    )
    if not ok or len(messages) < 2 or messages[-1].get("role") != "assistant":
        raise FormatError(
            f"line {number:,}: messages must be a list of roles and contents that ends with the "
            "assistant's"
        )
    *before, last = messages
    return {"prompt": "\n".join(m["content"] for m in before), "completion": last["content"]}


def _words(cell: Any) -> str:
    if isinstance(cell, str):
        return cell
    return "" if cell is None else json.dumps(cell, ensure_ascii=False)


def _of_cells(text: str) -> Table:
    mark = _delimiter(text)
    try:
        rows = [tuple(row) for row in csv.reader(io.StringIO(text), delimiter=mark) if any(row)]
    except csv.Error as error:
        raise FormatError(f"the table cannot be read: {error}") from None
    if not rows:
        raise FormatError("the table has no rows")
    first = [cell.strip() for cell in rows[0]]
    named = len({*first}) == len(first) and any(cell.casefold() in NAMED for cell in first)
    names = first if named else [f"column {i}" for i in range(1, len(first) + 1)]
    return _table(names, rows[1:] if named else rows)


def _delimiter(text: str) -> str:
    """What stands between cells: the mark that most of the first lines have as often."""
    lines = [line for line in text.split("\n", 40)[:40] if line]
    best, score = ",", 0.0  # commas last: they are also part of what people write
    for mark in "\t;|,":
        counts = [line.count(mark) for line in lines]
        if counts[0]:
            same = sum(count == counts[0] for count in counts) / len(counts)
            same += 0.5 * (mark == "\t")
            if same > score:
                best, score = mark, same
    return best


def _table(columns: list[str], rows: list[tuple[str, ...]]) -> Table:
    if len(columns) > MOST_COLUMNS:
        raise FormatError(f"there are {len(columns):,} columns; at most {MOST_COLUMNS} are read")
    kept = tuple(row for row in rows if len(row) == len(columns))
    if not kept:
        raise FormatError(f"no row has {len(columns)} cells, as the first has")
    return Table(tuple(columns), kept, len(rows) - len(kept))
