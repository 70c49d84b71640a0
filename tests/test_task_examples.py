"""Examples out of tables and lines of JSON: what is read, found out, left out and refused."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import pytest

from thimble.errors import FormatError, OptionError
from thimble.tasks.examples import Example, make_examples
from thimble.tasks.sets import SETS, N, example_set
from thimble.tasks.tables import Table, read_table

ROWS = [(f"text number {i}, with words", ("good", "bad")[i % 2]) for i in range(60)]


def joined(mark: str, rows: list[tuple[str, str]], head: tuple[str, str] | None) -> str:
    lines = [*([head] if head else []), *rows]
    return "\n".join(mark.join(f'"{c}"' if mark in c else c for c in line) for line in lines)


@pytest.mark.parametrize("mark", [",", "\t", ";"])
@pytest.mark.parametrize("head", [("text", "label"), None])
def test_tables_are_read_whatever_stands_between_cells(
    mark: str, head: tuple[str, str] | None
) -> None:
    examples = make_examples(read_table(joined(mark, ROWS, head).encode("utf-8-sig")))
    assert examples.examples == tuple(Example(*row) for row in ROWS)
    assert examples.kind == "label" and examples.labels == ("bad", "good")
    assert examples.given == ("text" if head else "column 1")


def test_quoted_cells_keep_lines_and_quotes() -> None:
    rows = [(f'He said ""{i}""\nand left', f"no. {i}") for i in range(40)]
    text = "input,output\n" + "\n".join(f'"{a}","{b}"' for a, b in rows)
    examples = make_examples(read_table(text))
    assert examples.examples[3] == Example('He said "3"\nand left', "no. 3")
    assert examples.kind == "text"


LINES: list[tuple[str, dict[str, Any]]] = [
    ("chat", {"messages": [{"role": "user", "content": "t{i}"},
                           {"role": "assistant", "content": "a{j}"}]}),
    ("prompt and completion", {"prompt": "t{i}", "completion": "a{j}"}),
    ("text and label", {"label": "a{j}", "text": "t{i}", "id": "x"}),
]  # fmt: skip


@pytest.mark.parametrize("line", [line for _, line in LINES], ids=[name for name, _ in LINES])
def test_lines_of_json_are_read_in_their_usual_shapes(line: dict[str, Any]) -> None:
    said = json.dumps(line)
    lines = [said.replace("{i}", str(i)).replace("{j}", str(i % 3)) for i in range(40)]
    for text in ("\n".join(lines), f"[{','.join(lines)}]"):
        examples = make_examples(read_table(text))
        assert examples.examples[5] == Example("t5", "a2") and examples.kind == "label"


def test_objects_are_answers_in_one_order_and_line() -> None:
    lines = [
        json.dumps({"text": f"t {i}", "json": {"b": i, "a": ["é", None]}}, indent=None)
        for i in range(40)
    ]
    examples = make_examples(read_table("\n".join(lines)))
    assert examples.kind == "json"
    assert examples.examples[7].wanted == '{"b": 7, "a": ["é", null]}'


def test_what_is_no_use_is_left_out_and_counted() -> None:
    rows = [*ROWS, ROWS[0], ("", "good"), ("x", ""), (ROWS[1][0], "good")]
    text = joined(",", rows, ("text", "label")) + "\na row, with, five, cells, in it"
    examples = make_examples(read_table(text))
    # The text has a comma, so it is quoted above; the last row is broken.
    assert examples.left_out == {
        "duplicates": 1, "empty": 2, "contradictions": 1, "broken rows": 1,
    }  # fmt: skip
    report = examples.report()
    assert report["examples"] == 60 and sum(report["parts"].values()) == 60
    assert report["labels"] == {"good": 30, "bad": 30}


def test_parts_follow_from_what_is_given_alone() -> None:
    """So that nobody's order or answers change them, and near copies stay together."""
    given = "  Where is my parcel?"
    tenth = int.from_bytes(hashlib.sha256(b"where is my parcel").digest()[:8], "big") % 10
    part = "held-out" if tenth < 2 else "check" if tenth == 2 else "train"
    for text in (given, "where is my PARCEL", "Where is my parcel!!"):
        assert {Example(text, wanted).part for wanted in ("a", "b")} == {part}
    examples, other = (make_examples(Table(("a", "b"), tuple(r))) for r in (ROWS, ROWS[::-1]))
    assert set(examples.part("held-out")) == set(other.part("held-out"))
    assert examples.sha256 == other.sha256


MANY = [(f"t{i}", f"label {i}") for i in range(2000)]
BAD: list[tuple[bytes, str]] = [
    (b"", "there is nothing in it"),
    (b"\x00\x01\x02", "NUL characters"),
    ("text,label\ncafé,a".encode("latin-1"), "is not in UTF-8: byte 0xe9 in line 2"),
    (b"\xff\xfe\x00", "begins as UTF-16"),
    (b"just one column\nof words", "there is one column"),
    (joined(",", ROWS[:10], ("text", "label")).encode(), "there are 10 examples; from 20"),
    (b'{"text": "a"', "line 1 is no JSON"),
    (b'{"text": NaN, "label": 1}', "is no JSON"),
    (b"[1, 2]", "line 1 is no object"),
    (b'{"messages": [{"role": "user", "content": "a"}]}', "ends with the assistant's"),
    (b"[" * 5000, "more than 100 lists"),
]


@pytest.mark.parametrize(("data", "words"), BAD, ids=[words[:30] for _, words in BAD])
def test_what_is_no_table_is_told_in_words(data: bytes, words: str) -> None:
    with pytest.raises((FormatError, OptionError), match=words):
        make_examples(read_table(data))


def test_what_cannot_be_learned_is_told_in_words() -> None:
    def made(rows: list[tuple[str, str]], **chosen: str) -> None:
        make_examples(Table(("text", "label"), tuple(rows)), **chosen)

    with pytest.raises(OptionError, match="all 60 examples want 'good': there is nothing to tell"):
        made([(text, "good") for text, _ in ROWS])
    with pytest.raises(OptionError, match=r"2,000 different labels, .* at most 100"):
        made(MANY, kind="label")
    made(MANY)  # texts, then
    with pytest.raises(OptionError, match=r"60 examples want more|has no example to learn from"):
        made([(text, "rare" if Example(text, "").part == "held-out" else f"b{i % 2}")
              for i, (text, _) in enumerate(ROWS)], kind="label")  # fmt: skip
    with pytest.raises(OptionError, match="no column 'answer'; there are text, label"):
        made(ROWS, wanted="answer")
    with pytest.raises(OptionError, match="cannot be both"):
        made(ROWS, given="text", wanted="text")
    with pytest.raises(OptionError, match="the kind is 'tag'"):
        made(ROWS, kind="tag")
    with pytest.raises(OptionError, match="is no JSON object"):
        made(ROWS, kind="json")


DIGESTS = {
    "intent": "27123c5225257088", "sentiment": "f38845c722aa5f09",
    "fields": "29bd57aa577c853c", "units": "86347ba9d97d5357", "tone": "511767ef9d6603cc",
}  # fmt: skip


@pytest.mark.parametrize("name", SETS)
def test_our_sets_are_the_same_for_ever(name: str) -> None:
    table = example_set(name)
    assert len({given for given, _ in table.rows}) == len(table.rows) == N
    examples = make_examples(table)
    assert examples.kind == SETS[name].kind
    assert examples.sha256[:16] == DIGESTS[name]


def test_answers_of_our_sets_are_right() -> None:
    for question, answer in example_set("units").rows:
        number = next(word for word in question.split() if word.isdigit())
        size = {"cm": 100, "m": 1000, "mm": 10, "g": 1000, "min": 60, "s": 60, "ml": 1000,
                "inches": 12}[answer.split()[1]]  # fmt: skip
        assert int(number) * size == int(answer.split()[0]), question
    for sentence, fields in example_set("fields").rows:
        assert all(str(value) in sentence for value in json.loads(fields).values())
